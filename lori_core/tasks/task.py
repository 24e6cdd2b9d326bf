"""Task: examples in three splits, a prompt form, a way to score.

>>> example = Example(prompt="question : which of these is a bird ? (a) oak (b) owl\\nreply :", response=" (b) owl")
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lori_core.errors import TaskError

Turn = tuple[str, str]  # ("system" | "user" | "assistant", what was said)
SPLITS = ("train", "validation", "test")


class Prompt(str):
    """A prompt that knows which stretches of it are data: a control token's name there is text, not that token.

    Attributes:
        data: (start, end) of each stretch, in order. A plain str is data from end to end.
        turns: of a conversation that the prompt is; empty: it is one question.
    """

    data: tuple[tuple[int, int], ...]
    turns: tuple[Turn, ...]

    def __new__(cls, text: str, data: Iterable[tuple[int, int]] = (), turns: Iterable[Turn] = ()) -> "Prompt":
        made = super().__new__(cls, text)
        made.data, made.turns = tuple(data), tuple(turns)
        return made


def data_of(prompt: str) -> tuple[tuple[int, int], ...]:
    return prompt.data if isinstance(prompt, Prompt) else ((0, len(prompt)),)


@dataclass(frozen=True)
class Example:
    """One example. The model reads `prompt` and should write `response` and its end token; these are trained on."""

    prompt: str
    response: str
    choices: tuple[str, ...] = ()  # continuations compared by log-likelihood; empty: the answer is generated
    answer: int | None = None  # index of the right choice
    kind: str = ""  # examples of one kind are also scored apart, e.g. "harmful" and "benign"
    checks: Mapping[str, Any] = field(
        default_factory=dict
    )  # what the scorer needs beyond the response, e.g. tests of code


@dataclass(frozen=True)
class Task:
    """A task: its examples by split and how an output is judged.

    Attributes:
        load: split ("train" | "validation" | "test") -> its examples; the splits share no example.
        scorer: a key of lori_core.tasks.scorers.SCORERS: how the test split is judged.
        validation_scorer: how validation is judged, where that is another data set than test; empty: as test.
        max_new_tokens: how far to generate for one answer.
        stop: texts that end an answer and do not belong to it; they stand in what the model writes, not in the prompt.
        dropped: split -> reason ("duplicate" | "near_duplicate" | "empty") -> rows of the source that were left out.
        read_as: of each file that is no plain UTF-8, how it was read: "tickets.csv: cp932, separator ;".
        template: of the user's own prompts. system: stands before every prompt, or in a chat is its system turn.
        chat: whether the prompts stand in a chat template, see chat.py.
    """

    name: str
    load: Callable[[str], Sequence[Example]]
    scorer: str
    max_new_tokens: int = 32
    source: str = ""  # where the examples come from: "mini", a file, a hub id
    validation_scorer: str = ""
    prompts: str = ""  # version of the prompts, see prompts.py; empty: the task's own
    test_only: bool = False  # there to test with; asking for another split raises TaskError
    notes: tuple[str, ...] = ()  # translation keys of what a reader has to know, e.g. that a licence is non-commercial
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    read_as: tuple[str, ...] = ()
    template: str = ""
    system: str = ""
    chat: bool = False

    def examples(self, split: str) -> Sequence[Example]:
        if self.test_only and split != "test":
            raise TaskError("test_only", task=self.name, split=split)
        return self.load(split)

    @property
    def left_out(self) -> dict[str, int]:
        """Reason -> rows of all splits."""
        total = Counter[str]()
        for reasons in self.dropped.values():
            total.update(reasons)
        return dict(total)

    def scorer_of(self, split: str) -> str:
        return self.scorer if split == "test" else self.validation_scorer or self.scorer


def fingerprint(examples: Iterable[Example]) -> str:
    """sha256 over everything that the examples say, in their order: whether two adapters learned from the same data."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps(asdict(example), sort_keys=True, default=str).encode() + b"\n")
    return digest.hexdigest()
