"""Facts about the notebooks, read from their sources, for the pages of the teacher's pack.

In notebooks/source/teaching a fact stands in double braces; so no page can say what is no longer so:

    {{map}}                    a row of a table for each notebook
    {{minutes 05}} {{total}}   an estimate for one notebook, and for all
    {{go 05 Then remove it}}   a link to a section, which must be there
    {{task 05 3}}              an exercise with its number, name and difficulty
    {{asked cross_talk}}       what a prediction asks for
    {{predictions}}            a row of a table for each prediction

Minutes are reckoned, not measured: reading at WORDS a minute, a minute for each cell of code with its result and for
each prediction, STAR minutes for an exercise by its difficulty; up to the next five. "Try it yourself" is not in them.
"""

import math
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jupytext
from nbformat import NotebookNode

from lori_core.lessons.guesses import QUESTIONS
from lori_core.translate import translate

SOURCES = Path(__file__).parent / "source"
WORDS = 200
STAR = {"★": 2, "★★": 5, "★★★": 8}

_EXERCISE = re.compile(r"^##+ ((?:Exercise|演習) (\d)[^★\n]*) (★+)$", re.MULTILINE)


def filled(text: str, language: str) -> str:
    """The text with every fact in its place; KeyError, naming it, where there is no such fact."""
    facts: dict[str, Callable[[str], str]] = {
        "map": lambda _: _map(language),
        "minutes": lambda number: str(minutes(number)),
        "total": lambda _: str(sum(map(minutes, _numbers()))),
        "go": lambda place: _link(place, language),
        "task": lambda place: _exercise(place, language),
        "asked": lambda name: translate(f"lessons.asked.{name}", language),
        "predictions": lambda _: _predictions(language),
    }
    return re.sub(r"\{\{(\w+) ?(.*?)\}\}", lambda found: facts[found[1]](found[2]), text)


def minutes(number: str) -> int:
    """Of the notebook of that number ("05"), reckoned from its English cells."""
    cells = [cell for cell in cells_of(number, "en") if "answer" not in cell.metadata.get("tags", [])]
    words = sum(len(_prose(cell).split()) for cell in cells)
    code = [cell for cell in cells if cell.cell_type == "code" and not {"said", "check"} & set(cell.metadata["tags"])]
    stars = [stars for _, _, stars in _exercises(number, "en")]
    asked = sum(str(question.notebook) == number[1] for question in QUESTIONS.values())
    reckoned = words / WORDS + len(code) - len(stars) + sum(STAR[each] for each in stars) + asked
    return 5 * math.ceil(reckoned / 5)


def headings(number: str, language: str) -> list[str]:
    """Of all sections of a notebook, without the marks of difficulty."""
    found = re.findall(r"^##+ (.+)$", _markdown(number, language), re.MULTILINE)
    return [heading.rstrip(" ★") for heading in found]


@cache
def cells_of(number: str, language: str) -> tuple[NotebookNode, ...]:
    """The cells of a notebook in one language; each has tags, if none."""
    (path,) = SOURCES.glob(f"{number}_*.py")
    cells = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent").cells
    for cell in cells:
        cell.metadata.setdefault("tags", [])
    return tuple(cell for cell in cells if cell.metadata.get("lang", language) == language)


def _numbers() -> list[str]:
    return [path.name[:2] for path in sorted(SOURCES.glob("*.py"))]


def _markdown(number: str, language: str) -> str:
    return "\n\n".join(cell.source for cell in cells_of(number, language) if cell.cell_type == "markdown")


def _prose(cell: NotebookNode) -> str:
    """What is read of a cell: text but for what is folded, and sentences that are computed."""
    if cell.cell_type == "markdown":
        return re.sub(r"<details>.*?</details>", "", cell.source, flags=re.DOTALL)
    return cell.source if "said" in cell.metadata["tags"] else ""


def _exercises(number: str, language: str) -> list[tuple[str, str, str]]:
    """(name, number, stars) of each."""
    return _EXERCISE.findall(_markdown(number, language))


def _exercise(place: str, language: str) -> str:
    number, _, at_place = place.partition(" ")
    found = {at: f"{name} {stars}" for name, at, stars in _exercises(number, language)}
    return _linked(number, found[at_place], language)


def _link(place: str, language: str) -> str:
    number, _, heading = place.partition(" ")
    if heading not in headings(number, language):
        raise KeyError(place)
    return _linked(number, heading, language)


def _linked(number: str, text: str, language: str, kind: str = "student") -> str:
    (path,) = SOURCES.glob(f"{number}_*.py")
    return f"[{int(number)} · {text}](../../{kind}/{language}/{path.stem}.ipynb)"


def _map(language: str) -> str:
    rows = []
    for number in _numbers():
        first = _markdown(number, language)
        title, question = (re.search(p, first) for p in (r"^# \d · (.+)", r"\*\*(?:Question: |問い：)(.+?)\*\*"))
        assert title and question
        stars = " · ".join(stars for _, _, stars in _exercises(number, language))
        asks = question[1][0].upper() + question[1][1:]
        solution = _linked(number, translate("lessons.solution", language), language, "solution")
        rows.append(f"| {_linked(number, title[1], language)} | {asks} | {stars} | {minutes(number)} | {solution} |")
    return "\n".join(rows)


def _predictions(language: str) -> str:
    rows = []
    for name, question in QUESTIONS.items():
        words = translate(f"lessons.asked.{name}", language)
        rows.append(f"| {question.notebook} | {words} | {question.low:g} … {question.high:g} | | |")
    return "\n".join(rows)
