"""Display in a notebook: a figure, a guess beside the result, the scores of an adapter."""

from collections.abc import Sequence
from contextlib import nullcontext
from math import isnan

from IPython.display import Markdown, display
from transformers.utils import logging

from lori_core.bases.load import Base, load_base
from lori_core.bases.merged_base import merged_into
from lori_core.config import Split
from lori_core.evaluation.evaluate import evaluate
from lori_core.figures import Drawing
from lori_core.figures.wording import percent
from lori_core.method.adapter import Adapter
from lori_core.report.compared import compared
from lori_core.report.findings import warnings
from lori_core.results import Score
from lori_core.tasks.task import Task
from lori_core.translate import translate

__all__ = ["compared", "embedded_base", "guessed", "percent", "say", "score", "show", "warnings"]

say = Markdown  # a sentence that is computed
PLOTLY = "application/vnd.plotly.v1+json"  # drawn by JupyterLab itself: nothing is fetched, nothing is embedded


def show(drawing: Drawing) -> None:
    """The figure with its title above, what it says in words, and what it does not show."""
    display(Markdown(f"**{drawing.title}**"))
    display({PLOTLY: drawing.untitled().to_plotly_json(), "text/plain": drawing.summary}, raw=True)
    display(Markdown(f"{drawing.summary} *{drawing.limits}*"))


def guessed(guess: float | None, measured: float, language: str) -> Markdown:
    """The prediction beside what came out; a measure that is not a number could not be taken."""
    key = "lessons.no_measure" if isnan(measured) else "lessons.no_guess" if guess is None else "lessons.guessed"
    return Markdown(translate(key, language, guess=guess, measured=f"{measured:.3g}"))


def embedded_base() -> Base:
    """The base that ships, in fp32 everywhere; from here on transformers draws no progress bars in this kernel."""
    logging.disable_progress_bar()
    return load_base("embedded", device="cpu", dtype="fp32")


def score(
    base: Base, adapter: Adapter | None, tasks: Sequence[Task], examples: int = 64, split: Split = "test"
) -> dict[str, Score]:
    """Task -> its score, of the base with the adapter, or of the bare base.

    The update goes into the weights: in fp32 that rounds nothing away, and a merge of four is scored in two thirds of
    the time that its factors beside this small base would take.
    """
    with merged_into(base.model, adapter) if adapter else nullcontext():
        return {task.name: evaluate(base.model, base.tokenizer, task, split, examples).score for task in tasks}
