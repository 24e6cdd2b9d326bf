"""Evaluation of a model on a task: a score and a held-out loss with their intervals, and every output for reading.

Written answers are greedy, or drawn where pass@k is wanted; choices are compared by log-likelihood. See answers.py.
The loss of the right response has signal where a small model gets nothing right, as in grade-school mathematics.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lori_core.config import ChoiceLength, Sampling
from lori_core.errors import TaskError
from lori_core.evaluation.answers import Compared, Losses, choose, rate, response_losses, write
from lori_core.evaluation.floors import chance_of, confusion_of, majority_of
from lori_core.evaluation.intervals import loss_of, pass_at, score_of, share_of
from lori_core.results import Output, Score, Share
from lori_core.sandbox.run import isolation
from lori_core.tasks.scorers import RUN_CODE, score_all
from lori_core.tasks.task import Example, Task

BATCH_SIZE = 32  # sequences a forward pass
PASS_AT = (1, 5, 10)  # the paper's k

OnEvent = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Evaluation:
    """A score and what it was made of.

    Attributes:
        outputs: one an example, in the order of score.outcomes; where answers were drawn, all of an example in a row.
        too_long: examples that, with room for an answer, do not fit the model's positions. They count as wrong, so that
            every model is scored on the same examples and a shorter context is no advantage.
    """

    score: Score
    outputs: tuple[Output, ...]
    too_long: int = 0


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    split: str = "test",
    limit: int | None = None,
    batch_size: int | None = None,
    on_event: OnEvent | None = None,
    *,
    sampling: Sampling | None = None,
    choice_length: ChoiceLength = "none",
) -> Evaluation:
    """Score the model on a split. The model is put back into the mode (training or not) that it was in.

    Args:
        limit: only so many examples: the first ones of an order that is the same for every model, so that scores pair.
        batch_size: sequences a forward pass; None: BATCH_SIZE.
        on_event: called after each batch with {"kind": "evaluate", "task", "split", "total", "done"}, and with all done
            after each batch of losses; it may raise.
        sampling: how answers are drawn; None: the greedy one. An example's outcome is then the share of its answers
            that are right, and score.shares has pass@k. Choices are not drawn.
        choice_length: what the log-likelihood of a choice is divided by.
    Raises:
        TaskError: the split is empty, or the scorer is unknown.
    """
    start = time.perf_counter()
    examples = chosen_examples(task, split, limit)
    scorer, size = task.scorer_of(split), batch_size or BATCH_SIZE
    names = {"kind": "evaluate", "task": task.name, "split": split, "total": len(examples)}
    found: dict[int, list[str]] = {}
    losses: Losses = {}  # of the examples that have a response and fit the model's positions
    with _in_eval_mode(model), torch.inference_mode():
        if scorer == "choice":
            compared = choose(model, tokenizer, examples, size, choice_length)
        elif scorer == "likelihood":
            compared = rate(model, tokenizer, examples, size)
        else:
            compared = _written(model, tokenizer, task, examples, size, sampling)
        for done, some, lost in compared:
            found |= some
            losses |= lost
            if on_event:
                on_event({**names, "done": done})
    each = max(map(len, found.values()), default=1)  # answers an example
    written = [text for index in range(len(examples)) for text in found.get(index, [""] * each)]
    asked = [example for example in examples for _ in range(each)]
    correct = score_all(scorer, asked, written)
    outcomes = [sum(correct[at : at + each]) / each for at in range(0, len(correct), each)]
    score = score_of(
        task.name,
        split,
        scorer,
        outcomes,
        [example.kind for example in examples],
        time.perf_counter() - start,
        task.prompts,
        _passes(outcomes, each) if sampling and each > 1 else None,
    )
    score = replace(
        score,
        chance=chance_of(scorer, examples),
        majority=majority_of(scorer, examples),
        confusion=confusion_of(scorer, examples, written) if each == 1 else {},
        isolation=isolation() if scorer in RUN_CODE else "",
    )
    return Evaluation(
        replace(
            score, loss=loss_of(*zip(*(losses[index] for index in sorted(losses)), strict=True)) if losses else None
        ),
        tuple(_shown(*one, scorer == "choice") for one in zip(asked, written, correct, strict=True)),
        too_long=len(examples) - len(found),
    )


def _written(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    examples: Sequence[Example],
    batch_size: int,
    sampling: Sampling | None,
) -> Compared:
    """The texts, then the losses, which take passes of their own; of these, too, each batch is told."""
    done = 0
    for done, some in write(model, tokenizer, examples, batch_size, task.max_new_tokens, sampling, task.stop):
        yield done, some, {}
    for lost in response_losses(model, tokenizer, examples, batch_size):
        yield done, {}, lost


def chosen_examples(task: Task, split: str, limit: int | None) -> list[Example]:
    """The split in an order that is the same everywhere, cut at `limit`; raises TaskError where it is empty."""
    examples = list(task.examples(split))
    if not examples:
        raise TaskError("empty_split", task=task.name, split=split)
    random.Random(0).shuffle(examples)
    return examples[:limit]


def _passes(outcomes: Sequence[float], n: int) -> dict[str, Share]:
    """ "pass@k" -> its share over the examples; outcomes: share of an example's n answers that are right."""
    right = [round(outcome * n) for outcome in outcomes]
    return {f"pass@{k}": share_of([pass_at(k, n, each) for each in right]) for k in PASS_AT if k <= n}


def _shown(example: Example, text: str, correct: float, by_choice: bool) -> Output:
    """The example as people read it: of a choice the text, not the index."""
    if not by_choice:
        return Output(example.prompt, example.response, text, correct, example.kind)
    right = "" if example.answer is None else example.choices[example.answer]
    return Output(example.prompt, right, example.choices[int(text)] if text else "", correct, example.kind)


@contextmanager
def _in_eval_mode(model: PreTrainedModel) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
