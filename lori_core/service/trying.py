"""Trial of a prompt, answered by the base, by the base with each adapter alone, and with all of them merged.

Every pane's answer is written with exactly one adapter attached, which is taken off before the next one is; what comes
with the text is the id of the adapter that was attached.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from lori_core.bases.attach import applied
from lori_core.bases.load import Base
from lori_core.config import BaseConfig
from lori_core.errors import AdapterError
from lori_core.evaluation.answers import stream_answer
from lori_core.evaluation.evaluate import chosen_examples
from lori_core.method.adapter import Adapter, check_base
from lori_core.method.merge import merge
from lori_core.service.base_cache import BaseCache
from lori_core.service.origins import Origin, origin_of
from lori_core.service.shelf import Shelf
from lori_core.storage.adapter_files import load_adapter
from lori_core.tasks.chat import in_chat
from lori_core.tasks.registry import load_task
from lori_core.tasks.scorers import score_all
from lori_core.tasks.task import Example, Task

LENGTH = 96  # new tokens, where no task says how long its answers are
NOT_JUDGED = ("choice", "likelihood")  # scorers that compare likelihoods, not what is written

Number = Annotated[int, Field(ge=0)]
Prompt = Annotated[str, Field(min_length=1, max_length=20_000)]
Weight = Annotated[float, Field(gt=0, le=2)]


class Trying:
    """Prompts for a shelf's adapters."""

    def __init__(self, shelf: Shelf, bases: BaseCache) -> None:
        self.shelf, self.bases = shelf, bases

    def example(self, reference: str, number: Number = 0) -> dict[str, Any]:
        """{"prompt", "expected", "task"}: a test example of what the adapter learned, in the order that is scored.

        Raises:
            AdapterError: it learned no one task.
        """
        task, example = example_of(self.shelf, reference, number)
        return {"prompt": example.prompt, "expected": example.response.strip(), "task": task.name}

    def answers_of(
        self,
        references: Annotated[list[str], Field(max_length=4)],
        prompt: Prompt,
        task_of: str | None = None,
        number: Number = 0,
        merged: Weight | None = None,
    ) -> Iterator[dict[str, Any]]:
        """{"pane", "adapter", "text", "correct"} again and again while the answers grow, pane after pane.

        Pane 0 is the bare base (adapter ""), then comes one an adapter, then the merged one. correct is None until an
        answer is whole, and stays None where the prompt is no example.

        Args:
            task_of: the adapter whose task says how long an answer is, and whose example `number` the prompt may be.
            merged: the weight of each adapter in their sum; None: no such pane.
        """
        origin = origin_of(self.shelf, references[0]) if references else Origin(BaseConfig(), "")
        adapters: list[Adapter | None] = [None]
        adapters += [load_adapter(folder) for folder in self.shelf.folders(references)]
        base = self.bases.base(origin.base)
        for adapter in filter(None, adapters):
            check_base(adapter, base.record)
        if merged is not None:
            parts = [adapter for adapter in adapters if adapter is not None]
            adapters.append(merge(parts, "concat", [merged] * len(parts), "merged"))
        known = None if task_of is None else example_of(self.shelf, task_of, number)
        for pane, adapter in enumerate(adapters):
            identity = "" if adapter is None else str(adapter.record.get("id", ""))
            for text, correct in _answer(base, adapter, prompt, known, origin.base.chat):
                yield {"pane": pane, "adapter": identity, "text": text, "correct": correct}

    def answer_of_merge(
        self,
        references: Annotated[list[str], Field(min_length=1, max_length=8)],
        weights: list[float],
        prompt: Prompt,
    ) -> Iterator[str]:
        """What the weighted sum of the adapters' updates answers, again and again while it grows.

        Raises:
            IncompatibleAdapters: not one weight an adapter, or they do not fit each other or the base.
        """
        origin = origin_of(self.shelf, references[0])
        parts = [load_adapter(folder) for folder in self.shelf.folders(references)]
        base = self.bases.base(origin.base)
        for adapter in parts:
            check_base(adapter, base.record)
        merged = merge(parts, "concat", weights, "merged")
        for text, _ in _answer(base, merged, prompt, None, origin.base.chat):
            yield text


def example_of(shelf: Shelf, reference: str, number: int) -> tuple[Task, Example]:
    """The task that an adapter learned, and a test example of it, counted round."""
    origin = origin_of(shelf, reference)
    if not origin.task:
        raise AdapterError("no_task_known", reference=reference)
    task = load_task(origin.task, origin.base.allow_code_execution)
    examples = chosen_examples(task, "test", None)
    return task, examples[number % len(examples)]


def _answer(
    base: Base, adapter: Adapter | None, prompt: str, known: tuple[Task, Example] | None, chat: bool
) -> Iterator[tuple[str, float | None]]:
    """(text so far, whether it is right once it is whole)."""
    task, example = known or (Task("", lambda split: (), "exact", LENGTH), None)
    if example is not None and example.prompt == prompt:
        prompt = example.prompt  # it knows which of it is data
    base, asked = as_asked(base, task, prompt, chat)
    (wrapped,) = asked.load("test")
    text = ""
    with nullcontext() if adapter is None else applied(base.model, adapter):
        for text in stream_answer(base.model, base.tokenizer, wrapped.prompt, asked.max_new_tokens, asked.stop):
            yield text, None
    yield text, _judged(task, example, prompt, text)


def as_asked(base: Base, task: Task, prompt: str, chat: bool) -> tuple[Base, Task]:
    """A task of one example, that prompt, which is answered as the task's own are; and the base that answers it."""
    asked = Task("", lambda split: [Example(prompt, "")], "exact", task.max_new_tokens, stop=task.stop)
    asked = replace(asked, system=task.system if prompt.startswith(f"{task.system}\n\n") else "")
    if chat:
        base, (asked,) = in_chat(base, [asked])
    return base, asked


def _judged(task: Task, example: Example | None, prompt: str, text: str) -> float | None:
    """Only where the prompt is the example as it stands."""
    scorer = task.scorer_of("test")
    if example is None or example.prompt != prompt or scorer in NOT_JUDGED:
        return None
    return score_all(scorer, [example], [text])[0]
