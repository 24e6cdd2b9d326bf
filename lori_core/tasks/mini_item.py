"""What the four mini tasks have in common: an item, its answers in three styles, the split of its content."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from lori_core.assets import ASSETS

# The base has practised every task in three styles of answer, each called by a cue line ("style : task") before the
# prompt. A task's own examples carry no cue and want the style "task": an adapter has only to elicit it.
STYLES = ("chat", "short", "task")


@dataclass(frozen=True)
class Item:
    """One question with its answers in all styles.

    Attributes:
        answers: style -> answer; each begins with white space, so that prompt and answer tokenise apart.
        content: what decides the answer. Splits are drawn over contents: train and test share none.
        split: the split that the content belongs to.
    """

    prompt: str
    answers: Mapping[str, str]
    content: str
    split: str
    kind: str = ""
    checks: Mapping[str, Any] = field(default_factory=dict)


def split_of(content: str) -> str:
    """The split of a content, by a hash: 70 % train, 10 % validation, 20 % test, for every seed and level alike."""
    percent = zlib.crc32(content.encode()) % 100
    return "train" if percent < 70 else "validation" if percent < 80 else "test"


@cache
def word_list(name: str) -> Any:
    """assets/mini/<name>.json."""
    return json.loads((ASSETS / "mini" / f"{name}.json").read_text(encoding="utf-8"))
