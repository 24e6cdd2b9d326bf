"""Encoding of an example: tokenizer(prompt) with its special tokens, the response without any, the end token.

Prompt and response are tokenised apart and joined, so that training reads the very prompt tokens that evaluation gives:
a tokenizer that saw both at once could merge the last letter of one with the first of the other.
"""

import random
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from lori_core.config import Split
from lori_core.errors import DataError, ModelError
from lori_core.tasks.task import Example, Task


@dataclass(frozen=True)
class Encoded:
    """input_ids: prompt, response, end token. prompt_length: how many of these are the prompt's."""

    input_ids: list[int]
    prompt_length: int


def end_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of the token that ends a response; raises ModelError where the tokenizer has none."""
    if not isinstance(tokenizer.eos_token_id, int):
        raise ModelError("tokenizer_without_end", tokenizer=tokenizer.name_or_path or type(tokenizer).__name__)
    return tokenizer.eos_token_id


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[int]:
    return list(tokenizer(prompt)["input_ids"])


def encode_response(tokenizer: PreTrainedTokenizerBase, response: str) -> list[int]:
    """The response's tokens, without the end token."""
    return list(tokenizer(response, add_special_tokens=False)["input_ids"])


def encode(tokenizer: PreTrainedTokenizerBase, example: Example, max_length: int) -> Encoded | None:
    """The example's tokens; None if they are more than max_length (a cut example would teach the wrong end)."""
    prompt = encode_prompt(tokenizer, example.prompt)
    input_ids = [*prompt, *encode_response(tokenizer, example.response), end_token(tokenizer)]
    return Encoded(input_ids, len(prompt)) if len(input_ids) <= max_length else None


def sampled(
    tokenizer: PreTrainedTokenizerBase, task: Task, split: Split, examples: int, seed: int, max_length: int
) -> list[list[int]]:
    """The tokens, prompt and response, of that many examples of a split; those longer than max_length are left out.

    Raises:
        DataError: no example of those drawn is within max_length.
    """
    found = task.examples(split)
    chosen = random.Random(seed).sample(range(len(found)), min(examples, len(found)))
    encoded = [encode(tokenizer, found[i], max_length) for i in chosen]
    sequences = [each.input_ids for each in encoded if each is not None]
    if not sequences:
        raise DataError("sampled_none", task=task.name, max_length=max_length, examples=len(chosen))
    return sequences
