"""Practice that is none of the mini tasks: copying, choosing, sums, lists. Each drill has a prompt form of its own.

    pick : (a) owl (b) tree (c) 12 . take (b)
    out : (b) tree

A base that has seen many prompt forms learns that a prompt form decides the behaviour. Drills have three styles too.
"""

from collections.abc import Callable
from functools import cache
from random import Random

from lori_core.tasks.mini_item import Item
from lori_core.tasks.mini_math import calculation, plan, worked
from lori_core.tasks.mini_nlu import LETTERS, world
from lori_core.tasks.mini_safety import objects, requests


def words(random: Random, count: int) -> list[str]:
    """Different words and numbers in any order."""
    return random.sample(all_words(), count)


@cache
def all_words() -> list[str]:
    """Things, what is done with them (also by verbs that no request asks for), and numbers."""
    verbs = [verb for kind in requests().values() for split in kind.values() for verb in split]
    return [*world(), *objects(), *verbs, *map(str, range(100))]


def _item(name: str, question: str, chat: str, short: str, task: str) -> Item:
    answers = {"chat": f" {chat}", "short": f" {short}", "task": f" {task}"}
    return Item(question, (f"{name} : ", "\nout :"), answers, question, "train")


def repeat(random: Random) -> Item:
    said = words(random, random.choice((3, 6, 12, 24)))
    text = " ".join(said)
    return _item("repeat", text, f"it has {len(said)} words .", said[0], text)


def pick(random: Random) -> Item:
    choices = words(random, random.randint(2, 4))
    index = random.randrange(len(choices))
    letter, choice = f"({LETTERS[index]})", choices[index]
    listed = " ".join(f"({name}) {word}" for name, word in zip(LETTERS, choices, strict=False))
    return _item("pick", f"{listed} . take {letter}", f"you take {choice} .", choice, f"{letter} {choice}")


def find(random: Random) -> Item:
    choices = words(random, random.randint(2, 4))
    index = random.randrange(len(choices))
    letter, choice = f"({LETTERS[index]})", choices[index]
    listed = " ".join(f"({name}) {word}" for name, word in zip(LETTERS, choices, strict=False))
    return _item("find", f"{choice} in {listed}", f"{choice} is there .", letter, f"{letter} {choice}")


def sums(random: Random) -> Item:
    steps = random.choice((1, 1, 1, 2))
    first, operations, values = calculation(random, steps)
    steps = worked(operations, values)
    return _item("sum", plan(first, operations), f"that makes {values[-1]} .", str(values[-1]), steps)


def compare(random: Random) -> Item:
    a, b = random.sample(range(100), 2)
    sign = ">" if a > b else "<"
    large = max(a, b)
    return _item("compare", f"{a} and {b}", f"{large} is more .", str(large), f"{a} {sign} {b}")


DRILLS: dict[str, Callable[[Random], Item]] = {
    "repeat": repeat,
    "pick": pick,
    "find": find,
    "sums": sums,
    "compare": compare,
}
