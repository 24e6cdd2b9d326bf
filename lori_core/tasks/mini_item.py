"""Mini item, which the mini tasks share: its prompt form, its answers in three styles, its content's split."""

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


Form = tuple[str, str]  # what stands before and behind a question
# Any task's question may be put in this form as well, where tasks should be hard to tell apart.
SHARED_FORM: Form = ("input : ", "\noutput :")


@dataclass(frozen=True)
class Item:
    """One question with its answers in all styles.

    Attributes:
        question: the prompt without its form.
        form: the task's own prompt form.
        answers: style -> answer; each begins with white space, so that prompt and answer tokenise apart.
        content: what decides the answer. Splits are drawn over contents: train and test share none.
        split: the split that the content belongs to.
    """

    question: str
    form: Form
    answers: Mapping[str, str]
    content: str
    split: str
    kind: str = ""
    checks: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        return self.asked(self.form)

    def asked(self, form: Form) -> str:
        """The question in some prompt form."""
        before, behind = form
        return before + self.question + behind


def split_of(content: str) -> str:
    """The split of a content, by a hash: 70 % train, 10 % validation, 20 % test, for every seed and level alike."""
    percent = zlib.crc32(content.encode()) % 100
    return "train" if percent < 70 else "validation" if percent < 80 else "test"


@cache
def word_list(name: str) -> Any:
    """assets/mini/<name>.json."""
    return json.loads((ASSETS / "mini" / f"{name}.json").read_text(encoding="utf-8"))
