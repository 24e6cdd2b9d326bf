"""evaluate(model, tokenizer, task): how well a model does a task, with its interval and every output kept for reading.

Generated answers are greedy. Choices are compared by the summed log-likelihood of each continuation after the prompt,

    log p(choice | prompt) = sum_i log p(token_i | prompt, token_1 ... token_{i-1}),     without the end token.

`model.generate` is used as it is: a loop of our own around the key-value cache was only 1.0 to 1.2 times as fast (Llama
of 4 layers x 256 on a CPU, 1 and 32 prompts).
"""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from lori_core.errors import TaskError
from lori_core.results import Output, Score
from lori_core.tasks.base import Example, Task
from lori_core.tasks.encode import encode_prompt, encode_response, end_token
from lori_core.tasks.scorers import score_all

BATCH_SIZE = 32  # sequences a forward pass
Z95 = 1.959963984540054  # standard normal quantile of 97.5 %

OnEvent = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Evaluation:
    """A score and what it was made of.

    Attributes:
        outputs: one an example, in the order of score.outcomes.
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
) -> Evaluation:
    """Score the model on a split. The model is put back into the mode (training or not) that it was in.

    Args:
        limit: only so many examples: the first ones of an order that is the same for every model, so that scores pair.
        batch_size: sequences a forward pass; None: BATCH_SIZE.
        on_event: called after each batch with {"kind": "evaluate", "task", "split", "total", "done"}; it may raise.
    Raises:
        TaskError: the split is empty, or the scorer is unknown.
    """
    start = time.perf_counter()
    examples = _chosen(task, split, limit)
    names = {"kind": "evaluate", "task": task.name, "split": split, "total": len(examples)}
    by_choice = task.scorer == "choice"
    answer = _choose if by_choice else _generate
    outputs: dict[int, str] = {}
    with _in_eval_mode(model), torch.inference_mode():
        for done, found in answer(model, tokenizer, task, examples, batch_size or BATCH_SIZE):
            outputs |= found
            if on_event:
                on_event({**names, "done": done})
    written = [outputs.get(index, "") for index in range(len(examples))]
    correct = score_all(task.scorer, examples, written)
    kinds = [example.kind for example in examples]
    return Evaluation(
        score_of(task.name, split, task.scorer, correct, kinds, time.perf_counter() - start),
        tuple(_shown(*each, by_choice) for each in zip(examples, written, correct, strict=True)),
        too_long=len(examples) - len(outputs),
    )


def _chosen(task: Task, split: str, limit: int | None) -> list[Example]:
    examples = list(task.examples(split))
    if not examples:
        raise TaskError("empty_split", task=task.name, split=split)
    random.Random(0).shuffle(examples)
    return examples[:limit]


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


# --- answers that are generated


def _generate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, examples: Sequence[Example], batch_size: int
) -> Iterator[tuple[int, dict[int, str]]]:
    """(examples done, index -> text) a batch; prompts that leave too few positions for an answer never come.

    An answer has at most half of the positions. Its room does not depend on its batch, so neither does the answer.
    """
    prompts = [encode_prompt(tokenizer, example.prompt) for example in examples]
    room = min(task.max_new_tokens, _positions(model) // 2)
    fitting = [index for index, prompt in enumerate(prompts) if len(prompt) + room <= _positions(model)]
    for done, batch in _batches(fitting, [len(prompt) for prompt in prompts], batch_size):
        ids, mask = _left_padded([prompts[index] for index in batch], end_token(tokenizer), model.device)
        written = _greedy(model, tokenizer, ids, mask, room)
        yield done, dict(zip(batch, _texts(tokenizer, written), strict=True))


def _greedy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, ids: Tensor, mask: Tensor, max_new_tokens: int
) -> Tensor:
    """What the model writes after ids (batch, tokens): (batch, new tokens), ended rows filled with the end token.

    Greedy whatever the checkpoint's own generation config says: some sample, some penalise repetition.
    """
    end = end_token(tokenizer)
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        pad_token_id=end,
        eos_token_id=end,
    )
    generate = cast(Callable[..., Tensor], model.generate)  # its stub says Tensor | Module
    return generate(ids, attention_mask=mask, generation_config=config)[:, ids.shape[1] :]


def _texts(tokenizer: PreTrainedTokenizerBase, new: Tensor) -> list[str]:
    """What was written before the end token; new: (batch, tokens)."""
    end = end_token(tokenizer)
    rows = [row[: row.index(end)] if end in row else row for row in new.tolist()]
    return [str(tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)) for row in rows]


# --- choices


def _choose(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, examples: Sequence[Example], batch_size: int
) -> Iterator[tuple[int, dict[int, str]]]:
    """(examples done, index -> index of the likeliest choice) a batch; examples with a choice too long never come."""
    prompts = [encode_prompt(tokenizer, example.prompt) for example in examples]
    choices = [[encode_response(tokenizer, choice) for choice in example.choices] for example in examples]
    lengths = [
        len(prompt) + max((len(choice) for choice in those), default=0)
        for prompt, those in zip(prompts, choices, strict=True)
    ]
    fitting = [index for index, length in enumerate(lengths) if length <= _positions(model)]
    most = max((len(those) for those in choices), default=1)
    for done, batch in _batches(fitting, lengths, max(1, batch_size // most)):
        rows = [(prompts[index], choice) for index in batch for choice in choices[index]]
        scores = iter(log_likelihoods(model, rows, end_token(tokenizer)).tolist())
        by_example = {index: [next(scores) for _ in choices[index]] for index in batch}
        yield done, {index: str(values.index(max(values))) for index, values in by_example.items()}


def log_likelihoods(model: PreTrainedModel, rows: Sequence[tuple[list[int], list[int]]], pad: int) -> Tensor:
    """Summed log-likelihood of each continuation given its prompt.

    Args:
        rows: (prompt tokens, continuation tokens).
        pad: any token id; padding stands on the left, so that all continuations end at the last position.
    Returns:
        (rows,) fp32, nats.
    """
    ids, mask = _left_padded([[*prompt, *continuation] for prompt, continuation in rows], pad, model.device)
    longest = max(len(continuation) for _, continuation in rows)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    out = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=longest + 1)
    logits = out.logits[:, :-1].float()  # (rows, longest, vocabulary): the logits at each position foretell the next
    each = logits.log_softmax(-1).gather(-1, ids[:, -longest:, None])[..., 0]
    counted = torch.tensor([[0] * (longest - len(c)) + [1] * len(c) for _, c in rows], device=model.device)
    return (each * counted).sum(-1)


# --- batches


def _positions(model: PreTrainedModel) -> int:
    """Longest sequence the base was made for; where its config names none, nothing is too long."""
    return int(getattr(model.config, "max_position_embeddings", None) or 2**31)


def _batches(indices: Sequence[int], lengths: Sequence[int], size: int) -> Iterator[tuple[int, list[int]]]:
    """(examples done so far, indices of a batch), longest first: little padding, and scarce memory shows at once."""
    ordered = sorted(indices, key=lambda index: -lengths[index])
    for start in range(0, len(ordered), size):
        batch = ordered[start : start + size]
        yield start + len(batch), batch


def _left_padded(sequences: Sequence[list[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(ids, attention mask), both (batch, longest)."""
    longest = max(len(sequence) for sequence in sequences)
    ids = [[pad] * (longest - len(sequence)) + sequence for sequence in sequences]
    mask = [[0] * (longest - len(sequence)) + [1] * len(sequence) for sequence in sequences]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


# --- the interval


def wilson(right: float, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of a share: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)."""
    share, scale = right / n, 1 + Z95**2 / n
    middle = (share + Z95**2 / (2 * n)) / scale
    half = Z95 / scale * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def score_of(
    task: str, split: str, metric: str, outcomes: Sequence[float], kinds: Sequence[str], seconds: float
) -> Score:
    """A Score from outcomes (1.0 right, 0.0 wrong) and the kind of each example.

    The value is the mean of the K kinds' shares p_k. Its interval joins their Wilson intervals (l_k, u_k), the kinds
    being independent samples, by the method of variance estimates recovery (Zou and Donner 2008, Statistics in
    Medicine 27):

        low = value - sqrt(sum (p_k - l_k)²) / K        high = value + sqrt(sum (u_k - p_k)²) / K

    With one kind it is the Wilson interval itself.
    """
    by_kind: dict[str, list[float]] = {}
    for outcome, kind in zip(outcomes, kinds, strict=True):
        by_kind.setdefault(kind, []).append(outcome)
    parts = {kind: sum(those) / len(those) for kind, those in by_kind.items()}
    intervals = {kind: wilson(sum(those), len(those)) for kind, those in by_kind.items()}
    value = sum(parts.values()) / len(parts)
    low = value - math.hypot(*(parts[kind] - intervals[kind][0] for kind in parts)) / len(parts)
    high = value + math.hypot(*(intervals[kind][1] - parts[kind] for kind in parts)) / len(parts)
    return Score(
        task=task,
        split=split,
        metric=metric,
        value=value,
        low=max(0.0, low),
        high=min(1.0, high),
        n=len(outcomes),
        seconds=seconds,
        parts=parts if len(parts) > 1 else {},
        outcomes=tuple(outcomes),
    )
