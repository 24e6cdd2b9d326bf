"""Guesses: what a student expects before the result is seen, graded, kept in a small file, gathered from a class.

A notebook asks QUESTIONS; each guess goes into FILE beside the notebook, once: the first one counts. The file names
nobody. Copies of it, under any names, in one folder are a class.

    {"share_of_lora": {"guess": 20.0, "measured": 5.25}}
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from lori_core.errors import DataError
from lori_core.files import read_file, write_atomic
from lori_core.lessons.wrong_answer import WrongAnswer

FILE = "guesses.json"
LARGEST = 1 << 20  # bytes of such a file
NEAR = 4  # times as far off as what is close is not far


@dataclass(frozen=True)
class Question:
    """A number that a notebook asks for; its words are `lessons.asked.<name>`.

    Attributes:
        low, high: every guess lies between these.
        close: how far off a guess may be and count as close.
    """

    notebook: int
    low: float
    high: float
    close: float


QUESTIONS: Mapping[str, Question] = {
    "share_of_lora": Question(1, 0, 100, 2),
    "cosine": Question(2, -1, 1, 0.05),
    "more_rank": Question(2, 0, 200, 0.1),
    "fullest_map": Question(3, 0, 100, 5),
    "longer_calibration": Question(3, -1, 1, 0.05),
    "file_share": Question(4, 0, 200, 3),
    "sparse_speed": Question(4, 0, 10, 0.2),
    "cross_talk": Question(5, 0, 10, 0.2),
    "kept_merged": Question(6, 0, 150, 5),
    "wrong_merge": Question(6, 0, 10, 0.1),
    "lost_by_safety": Question(7, -1, 1, 0.1),
    "retained": Question(8, 0, 2, 0.1),
    "kept_real": Question(9, -100, 150, 10),
}


@dataclass(frozen=True)
class Guess:
    """A guess beside what was measured; a measure that is not a number could not be taken."""

    guess: float
    measured: float

    def grade(self, question: Question) -> str:
        """ "close", "near" or "far", by the distance."""
        off = abs(self.guess - self.measured)
        return "close" if off <= question.close else "near" if off <= NEAR * question.close else "far"


def checked(guess: Any, question: Question, language: str) -> float:
    """The guess as a number.

    Raises:
        WrongAnswer: it is none, or lies outside the question's range.
    """
    asked = {"low": f"{question.low:g}", "high": f"{question.high:g}"}
    if isinstance(guess, bool) or not isinstance(guess, Real):
        digits = re.search(r"[-−]?\d+(?:[.,]\d+)?", guess) if isinstance(guess, str) else None
        example = digits[0].replace("−", "-").replace(",", ".") if digits else f"{(question.low + question.high) / 2:g}"
        raise WrongAnswer("guess.not_a_number", language, got=_short(guess), example=example, **asked)
    if not question.low <= float(guess) <= question.high:
        raise WrongAnswer("guess.outside", language, got=f"{float(guess):g}", **asked)
    return float(guess)


def kept(name: str, guess: Guess, folder: Path = Path()) -> Guess:
    """The guess that counts, which is the first one; it is written into the folder's file.

    Raises:
        DataError: the file that is there holds no guesses.
        StorageError: the folder cannot be written to.
    """
    path = folder / FILE
    there = read_guesses(path) if path.exists() else {}
    first = Guess(there[name].guess if name in there else guess.guess, guess.measured)
    content = {each: asdict(known) for each, known in (there | {name: first}).items()}
    write_atomic(path, json.dumps(content, indent=1) + "\n")
    return first


def read_guesses(path: Path) -> dict[str, Guess]:
    """Question -> guess, of one file; raises DataError where it is no such file."""
    try:
        content = json.loads(read_file(path, LARGEST))
        found = {name: Guess(float(each["guess"]), float(each["measured"])) for name, each in content.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError("no_guesses", path=path, reason=str(error) or type(error).__name__) from None
    if unknown := [name for name in found if name not in QUESTIONS]:
        raise DataError("no_guesses", path=path, reason=f"{unknown[0]!r}")
    return found


def gathered(folder: Path) -> dict[str, list[Guess]]:
    """Question -> the guesses of all .json files below the folder, in the order of QUESTIONS.

    Raises:
        DataError: there is no such file, or one of them holds no guesses.
    """
    files = sorted(folder.rglob("*.json"))
    if not files:
        raise DataError("no_guess_files", folder=folder, name=FILE)
    found: dict[str, list[Guess]] = defaultdict(list)
    for file in files:
        for name, guess in read_guesses(file).items():
            if math.isfinite(guess.guess):
                found[name].append(guess)
    return {name: found[name] for name in QUESTIONS if name in found}


def _short(got: Any) -> str:
    text = " ".join(repr(got).split())
    return text if len(text) <= 40 else text[:39] + "…"
