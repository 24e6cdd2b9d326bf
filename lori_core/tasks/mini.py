"""The four mini tasks: small, generated, offline; each with its own prompt form and a held-out set of contents.

The embedded base can do all four, but only behind the cue line "style : task"; these prompts carry no cue. Examples
stand in the modules mini_nlu, mini_math, mini_code and mini_safety.
"""

from collections.abc import Callable
from functools import cache, partial
from random import Random

from lori_core.errors import TaskError
from lori_core.tasks import mini_code, mini_math, mini_nlu, mini_safety
from lori_core.tasks.base import Example, Task
from lori_core.tasks.mini_item import Item

ITEMS: dict[str, Callable[[Random, int], Item]] = {
    "nlu": mini_nlu.item,
    "math": mini_math.item,
    "code": mini_code.item,
    "safety": mini_safety.item,
}
MINI_TASKS = tuple(ITEMS)
SCORERS = {"nlu": "exact", "math": "number", "code": "code", "safety": "refusal"}
LEVELS = (1, 2, 3)
SIZES = {"train": 4000, "validation": 300, "test": 500}


def mini_task(name: str, level: int = 2, seed: int = 0) -> Task:
    """One of MINI_TASKS.

    Args:
        level: 1 or 2: as hard as what the base has practised; 3: one step beyond it, so that an adapter has to teach.
        seed: draws the examples; which contents belong to which split is the same for all seeds.
    Raises:
        TaskError: no mini task of that name, or no such level.
    """
    if name not in ITEMS:
        raise TaskError("unknown_mini_task", name=name, known=", ".join(MINI_TASKS))
    if level not in LEVELS:
        raise TaskError("unknown_mini_level", level=level, known=", ".join(map(str, LEVELS)))
    return Task(name, partial(_examples, name, level, seed), SCORERS[name], source="mini")


@cache
def _examples(name: str, level: int, seed: int, split: str) -> tuple[Example, ...]:
    """SIZES[split] examples with different prompts, whose contents all belong to the split."""
    random = Random(f"{name} {level} {seed} {split}")
    found: dict[str, Example] = {}
    while len(found) < SIZES[split]:
        item = ITEMS[name](random, level)
        if item.split == split and item.prompt not in found:
            found[item.prompt] = Example(item.prompt, item.answers["task"], kind=item.kind, checks=item.checks)
    return tuple(found.values())
