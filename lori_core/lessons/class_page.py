"""Page of a class: one self-contained HTML file with a histogram of the guesses of each question; no network."""

import math
from collections.abc import Mapping, Sequence
from statistics import median

from lori_core import figures
from lori_core.figures import Drawing
from lori_core.lessons.guesses import QUESTIONS, Guess
from lori_core.report.page import figures_page
from lori_core.translate import translate


def class_page(gathered: Mapping[str, Sequence[Guess]], language: str = "en") -> str:
    """The page as HTML text. gathered: question -> the guesses of a class."""
    sections = [
        (
            translate("lessons.class.notebook", language, number=QUESTIONS[name].notebook),
            _drawing(name, guesses, language),
        )
        for name, guesses in gathered.items()
    ]
    title, lead = (translate(f"lessons.class.{part}", language) for part in ("title", "lead"))
    return figures_page(title, lead, sections, language)


def _drawing(name: str, guesses: Sequence[Guess], language: str) -> Drawing:
    """Each student measured it: the machines may differ a little, so the line is the median.

    Where it could not be taken it is NaN, which has no place in an order.
    """
    question = QUESTIONS[name]
    measured = [each.measured for each in guesses if math.isfinite(each.measured)]
    return figures.guesses(
        translate(f"lessons.asked.{name}", language),
        [each.guess for each in guesses],
        median(measured) if measured else math.nan,
        question.low,
        question.high,
        sum(each.grade(question) == "close" for each in guesses),
        language,
    )
