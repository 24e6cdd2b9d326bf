"""Answers of a model: texts that it writes, or the log-likelihoods of choices; in batches, longest first.

    log p(choice | prompt) = sum_i log p(token_i | prompt, token_1 ... token_{i-1}),     without the end token.

`model.generate` is used as it is: a loop of our own around the key-value cache was only 1.0 to 1.2 times as fast (Llama
of 4 layers x 256 on a CPU, 1 and 32 prompts).
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import cast

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from lori_core.config import ChoiceLength, Sampling
from lori_core.errors import DataError
from lori_core.tasks.encode import encode_prompt, encode_response, end_token, end_tokens
from lori_core.tasks.task import Example

# index of an example -> nats of its response and the end token, and how many tokens these are: training's loss of it
Losses = dict[int, tuple[float, int]]
# (examples done, index of an example -> its answers) a batch; examples that do not fit the model's positions never come
Answers = Iterator[tuple[int, dict[int, list[str]]]]
Compared = Iterator[tuple[int, dict[int, list[str]], Losses]]  # the same with the losses, which one pass has too

# --- texts


def write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    batch_size: int,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    stop: Sequence[str] = (),
) -> Answers:
    """One greedy answer each, or sampling.n drawn ones.

    An answer has at most half of the positions, whatever its batch. The batch changes the shapes that are computed
    with, and so the last bits of the logits: in fp32 that decides nothing but ties; in bf16, whose steps are coarse,
    some answers of a batch of 1 are others than in a batch of 8.

    Args:
        stop: texts before the first of which an answer ends.
    """
    prompts = [encode_prompt(tokenizer, example.prompt) for example in examples]
    room = min(max_new_tokens, positions(model) // 2)
    fitting = [index for index, prompt in enumerate(prompts) if len(prompt) + room <= positions(model)]
    each = sampling.n if sampling else 1
    for done, batch in _batches(fitting, [len(prompt) for prompt in prompts], max(1, batch_size // each)):
        ids, mask = _left_padded([prompts[index] for index in batch], end_token(tokenizer), model.device)
        with torch.random.fork_rng(enabled=sampling is not None):
            if sampling:
                torch.manual_seed(sampling.seed + done)
            new = _generate(model, tokenizer, ids, mask, room, sampling, stop)
        texts = [_before(text, stop) for text in _texts(tokenizer, new, end_tokens(model, tokenizer))]
        yield done, {index: texts[row * each : (row + 1) * each] for row, index in enumerate(batch)}


def stream_answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    max_new_tokens: int,
    stop: Sequence[str] = (),
) -> Iterator[str]:
    """The greedy answer that write() gives to one prompt, each time a token longer; whoever stops asking ends it.

    Raises:
        DataError: with room for an answer, the prompt does not fit the model's positions.
    """
    ids, room = encode_prompt(tokenizer, prompt), min(max_new_tokens, positions(model) // 2)
    if len(ids) + room > positions(model):
        raise DataError("prompt_too_long", tokens=len(ids), most=positions(model) - room)
    new, ends = [], end_tokens(model, tokenizer)
    for token, _ in islice(likeliest_tokens(model, ids), room):
        if token in ends:
            return
        new.append(token)
        text = str(tokenizer.decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        yield _before(text, stop).rstrip("\ufffd")  # half of a letter is written before its other half
        if any(each in text for each in stop):
            return


def likeliest_tokens(model: PreTrainedModel, ids: list[int]) -> Iterator[tuple[int, float]]:
    """(token, its logit) again and again, each the likeliest to follow ids and those before it; it has no end."""
    cache = DynamicCache(config=model.config)
    while True:
        logits = _next_logits(model, ids, cache)
        token = int(logits.argmax())
        yield token, logits[token].item()
        ids = [token]


@torch.inference_mode()
def _next_logits(model: PreTrainedModel, ids: list[int], cache: DynamicCache) -> Tensor:
    """(vocabulary,), of the token to follow what the cache holds and ids, which the cache then holds too."""
    read = model(
        input_ids=torch.tensor([ids], device=model.device), past_key_values=cache, use_cache=True, logits_to_keep=1
    )
    return read.logits[0, -1]


def _generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    ids: Tensor,
    mask: Tensor,
    max_new_tokens: int,
    sampling: Sampling | None,
    stop: Sequence[str],
) -> Tensor:
    """What the model writes after ids (batch, tokens): (batch · n, new tokens), ended rows filled with the end token.

    As asked for, whatever the checkpoint's own generation config says: some sample, some penalise repetition.
    """
    ends = end_tokens(model, tokenizer)
    drawn = (
        {
            "do_sample": True,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": 0,
            "num_return_sequences": sampling.n,
        }
        if sampling
        else {"do_sample": False}
    )
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        num_beams=1,
        repetition_penalty=1.0,
        pad_token_id=ends[0],
        eos_token_id=ends,
        stop_strings=list(stop) or None,
        **drawn,
    )
    generate = cast(Callable[..., Tensor], model.generate)  # its stub says Tensor | Module
    with_stop = {"tokenizer": tokenizer} if stop else {}
    return generate(ids, attention_mask=mask, generation_config=config, **with_stop)[:, ids.shape[1] :]


def _texts(tokenizer: PreTrainedTokenizerBase, new: Tensor, ends: Sequence[int]) -> list[str]:
    """What was written before an end token; new: (batch, tokens)."""
    rows = [row[: next((at for at, id in enumerate(row) if id in ends), len(row))] for row in new.tolist()]
    return [str(tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)) for row in rows]


def _before(text: str, stop: Sequence[str]) -> str:
    return text[: min((at for each in stop if (at := text.find(each)) >= 0), default=len(text))]


# --- choices


def choose(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    batch_size: int,
    length: ChoiceLength = "none",
) -> Compared:
    """The index of the likeliest choice, as text; length: what log-likelihoods are divided by."""
    prompts = [encode_prompt(tokenizer, example.prompt) for example in examples]
    choices = [[encode_response(tokenizer, choice) for choice in example.choices] for example in examples]
    ended = [_ended(tokenizer, example) for example in examples]
    rows = [[*those, whole] if whole else those for those, whole in zip(choices, ended, strict=True)]
    for done, found in _likelihoods(model, tokenizer, prompts, rows, batch_size):
        best, losses = {}, {}
        for index, tokens in found.items():
            own = zip(tokens, examples[index].choices, choices[index], strict=False)
            divided = [each.sum().item() / _length(length, text, ids) for each, text, ids in own]
            best[index] = [str(divided.index(max(divided)))]
            if ended[index]:
                losses[index] = _loss(tokens[-1])
        yield done, best, losses


def _length(length: ChoiceLength, text: str, ids: Sequence[int]) -> int:
    """In characters as lm-evaluation-harness counts them, without the space that joins a choice to its prompt."""
    return {"none": 1, "tokens": len(ids), "characters": len(text.removeprefix(" "))}[length]


def rate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], batch_size: int
) -> Compared:
    """The geometric mean of the probabilities of the response's tokens, as text."""
    for done, found in _ended_responses(model, tokenizer, examples, batch_size):
        means = {index: [f"{tokens[:-1].mean().exp().item():.6f}"] for index, tokens in found.items()}
        yield done, means, {index: _loss(tokens) for index, tokens in found.items()}


def response_losses(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], batch_size: int
) -> Iterator[Losses]:
    """Batch by batch. An example without a prompt or a response has none."""
    for _, found in _ended_responses(model, tokenizer, examples, batch_size):
        yield {index: _loss(tokens) for index, tokens in found.items()}


def _ended_responses(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], batch_size: int
) -> Iterator[tuple[int, dict[int, Tensor]]]:
    prompts = [encode_prompt(tokenizer, example.prompt) for example in examples]
    ended = [_ended(tokenizer, example) for example in examples]
    asked = [index for index, (prompt, whole) in enumerate(zip(prompts, ended, strict=True)) if prompt and whole]
    rows = [[ended[index]] for index in asked]
    for done, found in _likelihoods(model, tokenizer, [prompts[index] for index in asked], rows, batch_size):
        yield done, {asked[place]: tokens for place, (tokens,) in found.items()}


def _ended(tokenizer: PreTrainedTokenizerBase, example: Example) -> list[int]:
    """Tokens of the response and the end; empty: there is no response."""
    response = encode_response(tokenizer, example.response)
    return [*response, end_token(tokenizer)] if response else []


def _loss(tokens: Tensor) -> tuple[float, int]:
    return -tokens.sum().item(), len(tokens)


def _likelihoods(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    continuations: Sequence[list[list[int]]],
    batch_size: int,
) -> Iterator[tuple[int, dict[int, list[Tensor]]]]:
    """(examples done, index -> log-likelihoods of the tokens of each continuation, nats) a batch."""
    lengths = [
        len(prompt) + max((len(each) for each in those), default=0)
        for prompt, those in zip(prompts, continuations, strict=True)
    ]
    fitting = [index for index, length in enumerate(lengths) if length <= positions(model)]
    most = max((len(those) for those in continuations), default=1)
    for done, batch in _batches(fitting, lengths, max(1, batch_size // most)):
        rows = [(prompts[index], each) for index in batch for each in continuations[index]]
        scores = iter(log_likelihoods(model, rows, end_token(tokenizer)))
        yield done, {index: [next(scores) for _ in continuations[index]] for index in batch}


def log_likelihoods(model: PreTrainedModel, rows: Sequence[tuple[list[int], list[int]]], pad: int) -> list[Tensor]:
    """Log-likelihoods of each continuation's tokens given its prompt; a prompt of several rows is read once.

    Args:
        rows: (prompt tokens, continuation tokens), neither empty.
        pad: any token id; prompts are padded on the left, continuations on the right.
    Returns:
        of each row (tokens of its continuation,) fp32 on the CPU, nats.
    """
    prompts = list(dict.fromkeys(tuple(prompt) for prompt, _ in rows))
    ids, mask = _left_padded([list(prompt) for prompt in prompts], pad, model.device)
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    read = model(
        input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True, logits_to_keep=1
    )
    prompt_of = torch.tensor([prompts.index(tuple(prompt)) for prompt, _ in rows], device=model.device)
    first = torch.tensor([continuation[0] for _, continuation in rows], device=model.device)
    found = read.logits[prompt_of, -1].float().log_softmax(-1).gather(-1, first[:, None])
    if max(len(continuation) for _, continuation in rows) == 1:
        return list(found.cpu())
    cache.batch_select_indices(prompt_of)
    # All but the last token of each continuation is read, all but the first foretold.
    ids, written = _left_padded([continuation[::-1] for _, continuation in rows], pad, model.device)
    ids, written = ids.flip(-1), written.flip(-1)  # padded on the right
    go_on = model(
        input_ids=ids[:, :-1],
        attention_mask=torch.cat([mask[prompt_of], written[:, :-1]], -1),
        position_ids=places[prompt_of, -1:] + torch.arange(1, ids.shape[1], device=model.device),
        past_key_values=cache,
        use_cache=True,
    )
    # Row by row: a long batch over a large vocabulary in fp32 is gigabytes.
    pairs = zip(go_on.logits, ids[:, 1:], strict=True)
    each = [row.float().log_softmax(-1).gather(-1, tokens[:, None])[:, 0] for row, tokens in pairs]
    found = torch.cat([found, torch.stack(each)], -1).cpu()
    return [row[: len(continuation)] for row, (_, continuation) in zip(found, rows, strict=True)]


# --- batches


def positions(model: PreTrainedModel) -> int:
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
