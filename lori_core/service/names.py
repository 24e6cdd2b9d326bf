"""Names that tell adapters apart: those of one task share a name, whichever method or seed they come from."""

import re
from collections.abc import Sequence


def told_apart(names: Sequence[str], references: Sequence[str]) -> list[str]:
    """The names; one that several adapters have is followed by what their references differ in: "math · lori_s".

    In the store a reference is a name already: "math@3".

    Args:
        references: of the adapters on the shelf, in the same order.
    """
    found = []
    for name, reference in zip(names, references, strict=True):
        alike = [other for named, other in zip(names, references, strict=True) if named == name]
        found.append(name if len(alike) == 1 else _told(name, reference, alike))
    return found


def _told(name: str, reference: str, alike: Sequence[str]) -> str:
    place, _, rest = reference.partition("/")
    return rest if place == "store" else f"{name} · {_difference(reference, alike)}"


def _difference(reference: str, alike: Sequence[str]) -> str:
    """Without the words that all of them begin and end with; one word stays."""
    every, own = [_words(each) for each in alike], _words(reference)
    shortest = min(map(len, every)) - 1
    head = _common(every, shortest)
    tail = _common([each[::-1] for each in every], shortest - head)
    return "".join(own[head : len(own) - tail])


def _words(reference: str) -> list[str]:
    """Words, and the marks between them."""
    return re.split("([/-])", reference)


def _common(every: Sequence[Sequence[str]], most: int) -> int:
    """How many words and marks all of them begin with, `most` at most; a mark goes with the word before it."""
    same = next((place for place in range(most) if len({each[place] for each in every}) > 1), most)
    return same - same % 2
