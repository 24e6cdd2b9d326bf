"""Mini tasks: small, generated, offline; each with its own prompt form and a held-out set of contents.

Four mirror the paper's domains, math_ja is math told in Japanese. The embedded base can do all of them, but only behind
the cue line "style : task"; these prompts carry no cue. Examples stand in the modules mini_nlu, mini_math ...
"""

from collections.abc import Callable
from functools import cache, partial
from random import Random

from lori_core.errors import TaskError
from lori_core.tasks import mini_code, mini_math, mini_math_ja, mini_nlu, mini_safety
from lori_core.tasks.mini_item import SHARED_FORM, Item
from lori_core.tasks.task import Example, Task

ITEMS: dict[str, Callable[[Random, int], Item]] = {
    "nlu": mini_nlu.item,
    "math": mini_math.item,
    "code": mini_code.item,
    "safety": mini_safety.item,
    "math_ja": mini_math_ja.item,
}
MINI_TASKS = tuple(ITEMS)
SCORERS = {"nlu": "exact", "math": "number", "code": "code", "safety": "refusal", "math_ja": "number"}
LEVELS = (1, 2, 3, 4, 5)
USUAL_LEVEL = 4
CONFLICTS = ("none", "form", "answer")
SIZES = {"train": 4000, "validation": 300, "test": 500}


def mini_task(name: str, level: int = USUAL_LEVEL, conflict: str = "none", seed: int = 0) -> Task:
    """One of MINI_TASKS.

    Args:
        level: 1 to 3: practised by the embedded base, the harder the more rarely; 4: goes beyond that in part, so that
            there is something to learn: two facts joined, sums to 60, three filters, three requests at once; 5: always,
            so that an adapter has to teach what it only elicits below.
        conflict: how much the mini tasks get into each other's way when they are merged or learned in sequence. "none":
            each has its own prompt form; "form": all are asked in one form; "answer": in one form, and half of the
            training examples are questions of the other tasks, to be turned down. Judged on its own questions always.
        seed: draws the examples; which contents belong to which split is the same for all seeds.
    Raises:
        TaskError: no mini task of that name, no such level or conflict.
    """
    if name not in ITEMS:
        raise TaskError("unknown_mini_task", name=name, known=", ".join(MINI_TASKS))
    if level not in LEVELS:
        raise TaskError("unknown_mini_level", level=level, known=", ".join(map(str, LEVELS)))
    if conflict not in CONFLICTS:
        raise TaskError("unknown_mini_conflict", conflict=conflict, known=", ".join(CONFLICTS))
    return Task(name, partial(_examples, name, level, conflict, seed), SCORERS[name], source="mini")


@cache
def _examples(name: str, level: int, conflict: str, seed: int, split: str) -> tuple[Example, ...]:
    """SIZES[split] examples with different prompts, whose contents all belong to the split."""
    random = Random(f"{name} {level} {seed} {split}")
    others = [other for other in ITEMS if other != name]
    found: dict[str, Example] = {}
    while len(found) < SIZES[split]:
        foreign = conflict == "answer" and split == "train" and random.random() < 0.5
        item = ITEMS[random.choice(others) if foreign else name](random, level)
        prompt = item.prompt if conflict == "none" else item.asked(SHARED_FORM)
        if item.split == split and prompt not in found:
            answer = mini_safety.REFUSAL if foreign else item.answers["task"]
            found[prompt] = Example(prompt, answer, kind=item.kind, checks=item.checks)
    return tuple(found.values())
