"""Encoding of an example: tokenizer(prompt) with its special tokens, the response without any, the end token.

Prompt and response are tokenised apart and joined, so that training reads the very prompt tokens that evaluation gives:
a tokenizer that saw both at once could merge the last letter of one with the first of the other. A tokenizer that puts
a space before every text (SentencePiece's "▁") puts none before a response, which goes on with its prompt.

The names of control tokens inside data ("<|im_end|>" in a cell) are text: such a name is cut after its first letter,
and the parts are tokenised apart.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lori_core.config import Split
from lori_core.errors import DataError, ModelError
from lori_core.tasks.task import Example, Task, data_of

_BEFORE = "\n"  # stands before a text that goes on with another; in no tokenizer does it merge with a letter


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


def own_ends(model: PreTrainedModel) -> list[int]:
    """The ids at which a checkpoint's own generation config ends a text."""
    ends = getattr(model.generation_config, "eos_token_id", None)
    return [ends] if isinstance(ends, int) else list(ends or ())


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids at which an answer ends: the one that was trained first, and the checkpoint's own.

    Of these only control tokens: a config may be another tokenizer's, whose end is a letter here.
    """
    known = control_tokens(tokenizer).values()
    return list(dict.fromkeys([end_token(tokenizer), *(id for id in own_ends(model) if id in known)]))


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Name -> id of the tokens that are no text: those with a role, and those that are only flagged as special."""
    return _control_tokens(tokenizer, len(tokenizer), str(tokenizer.eos_token))


@lru_cache(maxsize=8)
def _control_tokens(tokenizer: PreTrainedTokenizerBase, size: int, end: str) -> dict[str, int]:
    """size, end: as they are now, since tokens can be added and another be made the end."""
    flagged = {str(token): id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    return flagged | dict(zip(map(str, tokenizer.all_special_tokens), tokenizer.all_special_ids, strict=True))


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[int]:
    first, *rest = _pieces(tokenizer, prompt, data_of(prompt))
    ids = list(tokenizer(first)["input_ids"])
    begin = tokenizer.bos_token_id
    if begin is not None and ids[:2] == [begin, begin]:  # the template has written it, and the tokenizer adds it
        del ids[0]
    return ids + [id for piece in rest for id in _going_on(tokenizer, piece)]


def encode_response(tokenizer: PreTrainedTokenizerBase, response: str) -> list[int]:
    """The response's tokens, without the end token."""
    return [id for piece in _pieces(tokenizer, response, ((0, len(response)),)) for id in _going_on(tokenizer, piece)]


def encode(tokenizer: PreTrainedTokenizerBase, example: Example, max_length: int) -> Encoded | None:
    """The example's tokens; None if they are more than max_length (a cut example would teach the wrong end)."""
    prompt = encode_prompt(tokenizer, example.prompt)
    input_ids = [*prompt, *encode_response(tokenizer, example.response), end_token(tokenizer)]
    return Encoded(input_ids, len(prompt)) if len(input_ids) <= max_length else None


def encode_all(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], max_length: int
) -> Sequence[Encoded | None]:
    """encode() of each. For tuples, which mini tasks have, the answers of two are kept: to encode thousands of examples
    takes as long as several steps of a small model, and a calibration and the trainings after it read the same ones."""
    if not isinstance(examples, tuple):  # it may have changed since
        return [encode(tokenizer, example, max_length) for example in examples]
    return _encode_all(tokenizer, _Same(examples), max_length, len(tokenizer), end_token(tokenizer))


class _Same:
    """The examples, equal only where they are the same object: to compare them would take long."""

    def __init__(self, examples: tuple[Example, ...]) -> None:
        self.examples = examples

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.examples is other.examples

    def __hash__(self) -> int:
        return id(self.examples)


@lru_cache(maxsize=2)
def _encode_all(
    tokenizer: PreTrainedTokenizerBase, of: _Same, max_length: int, size: int, end: int
) -> Sequence[Encoded | None]:
    """size, end: as in _control_tokens()."""
    return [encode(tokenizer, example, max_length) for example in of.examples]


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


def _pieces(tokenizer: PreTrainedTokenizerBase, text: str, data: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """The text, cut inside each name of a control token that reaches into data."""
    start = 0
    for at in _cuts(tokenizer, text, data):
        yield text[start:at]
        start = at
    yield text[start:]


def _cuts(tokenizer: PreTrainedTokenizerBase, text: str, data: tuple[tuple[int, int], ...]) -> list[int]:
    """Where in the text; names may overlap each other, and one may reach into data with an end of it only."""
    names = [name for name in control_tokens(tokenizer) if len(name) > 1 and name in text]
    found = ((match.start(), name) for name in names for match in re.finditer(f"(?={re.escape(name)})", text))
    return sorted({at + 1 for at, name in found if any(at < end and at + len(name) > start for start, end in data)})


def _going_on(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The tokens of a text that goes on with another: without the space that a tokenizer may put before a text."""
    if not _adds_space(tokenizer):
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    before = list(tokenizer(_BEFORE, add_special_tokens=False)["input_ids"])
    return list(tokenizer(_BEFORE + text, add_special_tokens=False)["input_ids"])[len(before) :]


@lru_cache(maxsize=8)
def _adds_space(tokenizer: PreTrainedTokenizerBase) -> bool:
    alone, before, both = (
        list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ("a", _BEFORE, f"{_BEFORE}a")
    )
    return both[: len(before)] == before and both[len(before) :] != alone
