"""Page of a class: one self-contained HTML file with a histogram of the guesses of each question; no network."""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import median

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lori_core import figures
from lori_core.assets import ASSETS, PLOTLY_JS
from lori_core.figures import Drawing
from lori_core.lessons.guesses import QUESTIONS, Guess
from lori_core.report.page import DRAW, figures_json, policy_hash
from lori_core.translate import translate


def class_page(gathered: Mapping[str, Sequence[Guess]], language: str = "en") -> str:
    """The page as HTML text. gathered: question -> the guesses of a class."""
    pages = Environment(
        loader=FileSystemLoader(ASSETS / "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    drawings = {name: _drawing(name, guesses, language) for name, guesses in gathered.items()}
    plotly_js = PLOTLY_JS.read_text(encoding="utf-8")
    return pages.get_template("class.html").render(
        language=language,
        say=partial(translate, language=language),
        drawings=[(QUESTIONS[name].notebook, drawing) for name, drawing in drawings.items()],
        figures_json=figures_json(list(drawings.values())),
        scripts=(plotly_js, DRAW),
        script_hashes=[policy_hash(script) for script in (plotly_js, DRAW)],
    )


def _drawing(name: str, guesses: Sequence[Guess], language: str) -> Drawing:
    """Each student measured it: the machines may differ a little, so the line is the median."""
    question = QUESTIONS[name]
    return figures.guesses(
        translate(f"lessons.asked.{name}", language),
        [each.guess for each in guesses],
        median(each.measured for each in guesses),
        question.low,
        question.high,
        sum(each.grade(question) == "close" for each in guesses),
        language,
    )
