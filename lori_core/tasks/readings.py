"""Readings: how the answers of a data set name one of their choices, decided once over all of its splits.

label   what stands beside the choice: a list's label, the letter or number that ends its column's name (A, option2),
        or the sign that its text begins with ("B) owl")
letter  A is the first
text    the choice's own text
truth   of two choices, False is the first and True the second
0, 1    the number of the first choice

Answers of one kind (letters, numbers, words) are read in one way. Signs beside the choices go before everything; where
two other ways fit all rows and name different choices, the file is refused, and the option `first=` says which it is.
"""

import re
import string
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lori_core.errors import DataError
from lori_core.tasks.files import Row

FIRST = ("0", "1", "A", "text")  # what `first=` may be: how an answer names the first choice
Readings = Mapping[str, str]  # kind of answer ("number" | "letter" | "word") -> a key of READINGS

_NUMBER = re.compile(r"\d{1,9}")  # \d: full-width digits too
_SIGN = re.compile(r"[(（]?([A-Za-zＡ-Ｚ0-9])(?:[.)．）:：、]| [-–] )")
_COUNTED = re.compile(r"(?P<start>.*?)(?P<end>\d+|[A-Za-z])", re.ASCII | re.DOTALL)  # answerA, choice10
# kind of answer -> what `first=` means for it
_ASKED = {"number": {"0": "0", "1": "1"}, "letter": {"A": "letter"}, "word": {}}


@dataclass(frozen=True)
class Answer:
    """One row's answer beside its choices. native: a number of the file's own, not the text of one."""

    row: Row
    value: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]  # of the choices; empty: none
    native: bool = False

    @property
    def kind(self) -> str:
        sign = plain_sign(self.value)
        if _NUMBER.fullmatch(sign):
            return "number"
        return "letter" if len(sign) == 1 and sign in string.ascii_uppercase else "word"


def plain_sign(text: str) -> str:
    """ "（ｂ）", "B." and "b" are the sign B."""
    return unicodedata.normalize("NFKC", text).strip(" ().:").upper()


def answer_text(value: Any) -> str:
    """Of a number that tables with gaps hold as 2.0, the 2."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def column_signs(columns: Sequence[str]) -> tuple[str, ...]:
    """What tells the columns apart where that counts from A, a, 0 or 1: (A, B) of answerA, answerB; else nothing."""
    parts = [_COUNTED.fullmatch(column) for column in columns]
    ends = tuple(part["end"] for part in parts if part)
    alike = len(ends) == len(columns) > 1 and len({part["start"] for part in parts if part}) == 1
    numbers = [tuple(str(first + n) for n in range(len(columns))) for first in (0, 1)]
    letters = [tuple(alphabet[: len(columns)]) for alphabet in (string.ascii_uppercase, string.ascii_lowercase)]
    return ends if alike and ends in (*numbers, *letters) else ()


def text_signs(texts: Sequence[str]) -> tuple[str, ...]:
    """The signs that all choices begin with, "B) owl"; nothing where one has none or two have the same."""
    found = [_SIGN.match(text) for text in texts]
    signs = tuple(match[1] for match in found if match)
    return signs if len(set(signs)) == len(texts) else ()


def decide(answers: Sequence[Answer], field: str, first: str = "") -> Readings:
    """The reading of each kind of answer.

    Args:
        field: the column of the answers. first: one of FIRST; empty: the answers say.
    Raises:
        DataError: two readings fit every answer and name different choices.
    """
    kinds = dict.fromkeys(answer.kind for answer in answers)
    return {kind: _decided([each for each in answers if each.kind == kind], kind, field, first) for kind in kinds}


def index_of(answer: Answer, readings: Readings) -> int | None:
    """Which choice the answer names; None: none."""
    return READINGS[readings[answer.kind]](answer) if answer.kind in readings else None


def _decided(answers: Sequence[Answer], kind: str, field: str, first: str) -> str:
    if asked := "text" if first == "text" else _ASKED[kind].get(first):
        return asked
    named = {name: tuple(map(read, answers)) for name, read in READINGS.items()}
    fitting = {name: indices for name, indices in named.items() if None not in indices}
    if any(answer.native for answer in answers):
        fitting.pop("text", None)  # 2 is a number, "2" may be what a choice says
    if "label" in fitting or len(set(fitting.values())) == 1:
        return next(iter(fitting))
    if not fitting:  # the row that the likeliest reading cannot read is told where it becomes an example
        return max(named, key=lambda name: sum(index is not None for index in named[name]))
    one, other, *_ = dict(zip(fitting.values(), fitting, strict=True)).values()
    place = next(n for n in range(len(answers)) if named[one][n] != named[other][n])
    texts = answers[place].texts
    raise DataError(
        "answers_in_doubt",
        file=answers[place].row.file,
        row=answers[place].row.number,
        field=field,
        got=answers[place].value,
        first=_option(one),
        choice=texts[named[one][place] or 0],
        second=_option(other),
        other=texts[named[other][place] or 0],
    )


def _option(reading: str) -> str:
    """What `first=` has to be for it; labels and truth values are never in doubt."""
    return "A" if reading == "letter" else reading


# --- the readings: an answer -> the place of the choice that it names, or None


def _by_label(answer: Answer) -> int | None:
    if answer.value in answer.labels:
        return answer.labels.index(answer.value)
    signs = [plain_sign(label) for label in answer.labels]
    sign = plain_sign(answer.value)
    return signs.index(sign) if signs.count(sign) == 1 else None


def _by_letter(answer: Answer) -> int | None:
    sign = plain_sign(answer.value)
    known = string.ascii_uppercase[: len(answer.texts)]
    return known.index(sign) if len(sign) == 1 and sign in known else None


def _by_text(answer: Answer) -> int | None:
    return answer.texts.index(answer.value) if answer.value in answer.texts else None


def _by_truth(answer: Answer) -> int | None:
    known = ("false", "true")
    return known.index(answer.value.lower()) if len(answer.texts) == 2 and answer.value.lower() in known else None


def _by_number(first: int) -> Callable[[Answer], int | None]:
    def read(answer: Answer) -> int | None:
        sign = plain_sign(answer.value)
        place = int(sign) - first if _NUMBER.fullmatch(sign) else -1
        return place if 0 <= place < len(answer.texts) else None

    return read


READINGS: dict[str, Callable[[Answer], int | None]] = {
    "label": _by_label,
    "text": _by_text,
    "letter": _by_letter,
    "truth": _by_truth,
    "0": _by_number(0),
    "1": _by_number(1),
}
