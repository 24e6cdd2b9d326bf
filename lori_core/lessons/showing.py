"""Display in a notebook: a figure, a guess beside the result, progress, the scores of an adapter."""

from collections.abc import Sequence
from contextlib import nullcontext
from math import isnan
from pathlib import Path
from typing import Any

from IPython.display import Markdown, display
from transformers.utils import logging

from lori_core.bases.load import Base, load_base
from lori_core.bases.merged_base import merged_into
from lori_core.config import Split
from lori_core.errors import ModelError
from lori_core.evaluation.evaluate import evaluate
from lori_core.figures import Drawing
from lori_core.figures.wording import percent, sentences
from lori_core.lessons.guesses import FILE, QUESTIONS, Guess, checked, kept, read_guesses
from lori_core.lessons.static import as_html
from lori_core.lessons.working import told, watched
from lori_core.lessons.wrong_answer import WrongAnswer
from lori_core.method.adapter import Adapter
from lori_core.method.masks import kept_fractions
from lori_core.report.compared import compared
from lori_core.report.findings import warnings
from lori_core.results import Loss, MaskLayout, Score
from lori_core.tasks.task import Task
from lori_core.translate import translate

__all__ = [
    "compared",
    "embedded_base",
    "guessed",
    "layout_of",
    "losses",
    "percent",
    "progress",
    "real_base",
    "say",
    "score",
    "show",
    "told",
    "warnings",
]

say = Markdown  # a sentence that is computed
PLOTLY = "application/vnd.plotly.v1+json"  # drawn by JupyterLab itself, which does not look at the HTML beside it


def show(drawing: Drawing) -> None:
    """The figure with its title above, what it says in words, and what it does not show."""
    display(Markdown(f"**{drawing.title}**"))
    figure = {PLOTLY: drawing.untitled().to_plotly_json(), "text/html": as_html(drawing)}
    display(figure | {"text/plain": drawing.summary}, raw=True)
    display(Markdown(f"{drawing.summary} *{drawing.limits}*"))


def guessed(name: str, guess: Any, measured: float, language: str) -> Markdown:
    """The guess beside what came out: how far off it was, and whether that is close. The first guess is kept.

    Args:
        name: the question, one of guesses.QUESTIONS.
        guess: the student's; None where there is none.
        measured: NaN where there was nothing to measure.
    Raises:
        WrongAnswer: the guess is no number in the question's range.
    """
    values = {"measured": f"{measured:.3g}"}
    if guess is None:
        return Markdown(translate("lessons.no_measure" if isnan(measured) else "lessons.no_guess", language, **values))
    question = QUESTIONS[name]
    first = kept(name, Guess(checked(guess, question, language), measured))
    values |= {"guess": f"{first.guess:g}", "off": f"{abs(first.guess - measured):.3g}"}
    key = "no_measure" if isnan(measured) else f"guessed.{first.grade(question)}"
    parts = [translate(f"lessons.{key}", language, **values)]
    if first.guess != guess:
        parts.append(translate("lessons.guess.first_counts", language, file=FILE))
    return Markdown(sentences(parts, language))


def progress(folder: str | Path, language: str) -> Markdown:
    """How many of each notebook's predictions are written down, and how many were close: of all guesses' files below
    the folder, in either language's notebooks.

    Raises:
        DataError: such a file holds no guesses.
    """
    there: dict[str, Guess] = {}
    for file in sorted(Path(folder).rglob(FILE)):
        there |= read_guesses(file)
    rows = [[translate(f"lessons.progress.{column}", language) for column in ("notebook", "written", "close")]]
    rows.append(["---"] * 3)
    for number in sorted({question.notebook for question in QUESTIONS.values()}):
        asked = [name for name, question in QUESTIONS.items() if question.notebook == number]
        written = [name for name in asked if name in there]
        close = sum(there[name].grade(QUESTIONS[name]) == "close" for name in written)
        rows.append([str(number), f"{len(written)} / {len(asked)}", str(close)])
    return Markdown("\n".join(f"| {' | '.join(row)} |" for row in rows))


def embedded_base(language: str = "en") -> Base:
    """The base that ships, in fp32 everywhere; from here on cells that run it for long say so in that language, and
    transformers draws no progress bars in this kernel."""
    logging.disable_progress_bar()
    return watched(load_base("embedded", device="cpu", dtype="fp32"), language)


def real_base(language: str) -> Base:
    """SmolLM2-135M in fp32, and from here on as embedded_base().

    Raises:
        WrongAnswer: it is not on this machine; says how to get it, and that what needs no base has been shown.
    """
    logging.disable_progress_bar()
    try:
        return watched(load_base("smollm2", device="cpu", dtype="fp32"), language)
    except ModelError as error:
        raise WrongAnswer("no_real_base", language, reason=error.in_language(language)) from None


def layout_of(adapter: Adapter) -> MaskLayout:
    """Where the adapter's mask keeps entries, for figures.mask_layout."""
    outputs = {module: mask.shape[0] for module, mask in adapter.masks.items()}
    kept = kept_fractions(adapter.masks)
    return MaskLayout(adapter.name, adapter.config.sparsity, kept, outputs, calibrated=False)


def losses(base: Base, tasks: Sequence[Task], adapter: Adapter | None = None) -> dict[str, Loss]:
    """Task -> the loss of its right responses, of the base with the adapter, or of the bare base; as score()."""
    return {name: found.loss for name, found in score(base, adapter, tasks).items() if found.loss}


def score(
    base: Base, adapter: Adapter | None, tasks: Sequence[Task], examples: int = 64, split: Split = "test"
) -> dict[str, Score]:
    """Task -> its score, of the base with the adapter, or of the bare base.

    The update goes into the weights: in fp32 that rounds nothing away, and a merge of four is scored in two thirds of
    the time that its factors beside this small base would take.
    """
    with merged_into(base.model, adapter) if adapter else nullcontext():
        return {task.name: evaluate(base.model, base.tokenizer, task, split, examples).score for task in tasks}
