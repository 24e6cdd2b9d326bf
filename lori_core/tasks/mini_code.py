"""Mini code: small functions in a tiny Python, judged by running them.

    # return the sum of the numbers above 5 , each plus 3
    # code :
    def f(xs):
        return sum(x + 3 for x in xs if x > 5)

The content is the specification: filters, map and end. Syntax used: one function, return, a call of sum, max, min or
sorted (or a list), one comprehension, comparisons joined by `and`, + - * % on whole numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from lori_core.tasks.mini_item import Item, split_of

Numbers = list[int]
VERBS = ("return", "give", "get", "find", "compute", "build", "take", "write")
# words -> Python's name; "a list of" needs none
ENDS = {
    "a list of": "",
    "the sum of": "sum",
    "the largest of": "max",
    "the smallest of": "min",
    "a sorted list of": "sorted",
}
RUN: dict[str, Callable[[Numbers], object]] = {"": list, "sum": sum, "max": max, "min": min, "sorted": sorted}


@dataclass(frozen=True)
class Piece:
    """A filter or a map: in words, in Python, and as a function for the expected values."""

    words: str
    python: str
    apply: Callable[[int], int | bool]


FORM = ("# ", "\n# code :")
THREE_FILTERS = {4: 0.1, 5: 1.0}  # level -> share of such specifications
SAME = Piece("", "x", lambda x: x)


def a_filter(random: Random) -> Piece:
    n = random.randint(1, 60)
    return random.choice(
        (
            Piece(f"above {n}", f"x > {n}", lambda x: x > n),
            Piece(f"below {n}", f"x < {n}", lambda x: x < n),
            Piece("that are even", "x % 2 == 0", lambda x: x % 2 == 0),
            Piece("that are odd", "x % 2 == 1", lambda x: x % 2 == 1),
        )
    )


def a_map(random: Random) -> Piece:
    n = random.randint(2, 60)
    return random.choice(
        (
            Piece(f"plus {n}", f"x + {n}", lambda x: x + n),
            Piece(f"minus {n}", f"x - {n}", lambda x: x - n),
            Piece(f"times {n}", f"x * {n}", lambda x: x * n),
            Piece("squared", "x * x", lambda x: x * x),
        )
    )


def pieces(random: Random, level: int) -> tuple[list[Piece], Piece]:
    """Filters and map of a specification.

    Level 1 has one of them, 2 one of each, 3 two filters and a map; at level 4 one in ten has three filters and at
    level 5 each, which the base has never practised.
    """
    if level == 1:
        return ([a_filter(random)], SAME) if random.random() < 0.5 else ([], a_map(random))
    count = 3 if level > 3 and random.random() < THREE_FILTERS[level] else min(level - 1, 2)
    filters = [a_filter(random) for _ in range(count)]
    while not passing(filters):  # "above 50 and below 3"
        filters = [a_filter(random) for _ in range(count)]
    return filters, a_map(random)


def passing(filters: Sequence[Piece]) -> Numbers:
    """The whole numbers, out of those that tests use, that pass all filters."""
    return [x for x in range(-20, 100) if all(piece.apply(x) for piece in filters)]


def tests(random: Random, filters: Sequence[Piece], mapped: Piece, end: str) -> list[tuple[list[Numbers], object]]:
    """Four inputs with their results: (arguments, expected). Every input has numbers that pass the filters."""
    found = []
    for _ in range(4):
        xs = random.choices(passing(filters), k=2) + random.choices(range(-20, 100), k=5)
        random.shuffle(xs)
        kept = [int(mapped.apply(x)) for x in xs if all(piece.apply(x) for piece in filters)]
        found.append(([xs], RUN[end](kept)))
    return found


def item(random: Random, level: int) -> Item:
    """One specification: filters, a map and an end."""
    filters, mapped = pieces(random, level)
    words, end = random.choice(list(ENDS.items()))
    which = " and ".join(piece.words for piece in filters)
    each = f", each {mapped.words}" if mapped.words else ""
    content = " ".join(f"{words} the numbers {which} {each}".split())
    loop = f"{mapped.python} for x in xs" + (" if " + " and ".join(p.python for p in filters) if filters else "")
    expression = f"{end}({loop})" if end else f"[{loop}]"
    answers = {
        "chat": f" go over xs {each or ', each as it is'} , then {words.split()[1]} .",
        "short": f" {expression}",
        "task": f"\ndef f(xs):\n    return {expression}",
    }
    checks = {"entry_point": "f", "tests": tests(random, filters, mapped, end)}
    return Item(f"{random.choice(VERBS)} {content}", FORM, answers, content, split_of(content), checks=checks)
