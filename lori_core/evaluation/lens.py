"""Interference lens: what each of several adapters does while one prompt is read and answered.

    width         √( mean over the prompt's tokens ‖w_t dW_t x‖² ),   x: what the module is fed at that moment
    attribution   logit(all adapters) − logit(none) = Σ_t c_t + residual,   of each token that all together write

        c_t = Σ_{S ∌ t} |S|! (T − |S| − 1)! / T! · (v(S ∪ {t}) − v(S))        v(S): the token's logit with those of S

c_t is the Shapley value (Shapley 1953): the mean, over all orders in which the adapters could be put in, of what the
t-th one moves when it comes. A gradient integrated along the common scale of all updates would sum to the change too.
Here every v(S) is a model that can be run, no adapter is asked at half its strength, no step size decides how well the
parts sum, and what changes nothing in any company gets nothing. The price is 2^T sets, which are rows of one batch: row
b has the adapters of set b in place, by gates on A x.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from math import factorial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lori_core.bases.attach import applied
from lori_core.config import MOST_IN_LENS
from lori_core.errors import DataError, IncompatibleAdapters
from lori_core.evaluation.answers import likeliest_tokens, positions
from lori_core.method.adapter import Adapter, Factors
from lori_core.method.merge import merge
from lori_core.results import Attribution, Lens
from lori_core.tasks.encode import encode_prompt, end_tokens

LENGTH = 24  # tokens of an answer that are accounted for


@dataclass(frozen=True)
class Widths:
    """Of one module: root mean square over a prompt's tokens of ‖w_t dW_t x‖ by adapter, and of ‖W x‖ on the base."""

    alone: tuple[float, ...]
    merged: tuple[float, ...]
    base: float


def lens(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    adapters: Sequence[Adapter],
    weights: Sequence[float],
    prompt: str,
    length: int = LENGTH,
) -> Lens:
    """Widths and attributions of one prompt under two to MOST_IN_LENS adapters, their weighted updates added (concat).

    Args:
        model: the base, nothing attached; it is left as it was.
        weights: one for each adapter.
        length: tokens of the merged answer at most, its end being one.
    Raises:
        IncompatibleAdapters: there are fewer or more adapters, or they fit neither each other nor the model.
        DataError: the prompt, with room for the answer, does not fit the model's positions.
    """
    if not 2 <= len(adapters) <= MOST_IN_LENS:
        raise IncompatibleAdapters("lens_of_some", got=len(adapters), most=MOST_IN_LENS)
    ids = encode_prompt(tokenizer, prompt)
    if len(ids) + length > positions(model):
        raise DataError("prompt_too_long", tokens=len(ids), most=positions(model) - length)
    merged = merge(adapters, "concat", weights, "merged")
    written, logits = _answer(model, tokenizer, merged, ids, length)
    row = torch.tensor([ids + written[:-1]], device=model.device)
    with torch.no_grad():
        bare = model(input_ids=row, logits_to_keep=len(written)).logits[0]
        with _in_sets(model, adapters, weights, len(ids)) as widths:
            rows = row.expand(1 << len(adapters), -1)
            every = model(input_ids=rows, logits_to_keep=len(written)).logits[:, range(len(written)), written]
    parts = shapley(every.double().cpu())
    attributions = [
        Attribution(
            token=str(tokenizer.decode([token])),
            instead=str(tokenizer.decode([int(bare[place].argmax())])),
            moved=logits[place] - bare[place, token].item(),
            parts=tuple(parts[:, place].tolist()),
        )
        for place, token in enumerate(written)
    ]
    return Lens(
        names=tuple(adapter.name for adapter in adapters),
        weights=tuple(weights),
        alone={module: each.alone for module, each in widths.items()},
        merged={module: each.merged for module, each in widths.items()},
        base={module: each.base for module, each in widths.items()},
        answer=str(tokenizer.decode(written, skip_special_tokens=True)),
        attributions=tuple(attributions),
    )


def shapley(values: Tensor) -> Tensor:
    """What each of T players adds, (T, ...), from what every set of them is worth, (2^T, ...).

    Row b of the values is the set of those players t whose bit t of b is 1. The parts sum to the last row less the
    first.
    """
    players = len(values).bit_length() - 1
    parts = values.new_zeros(players, *values.shape[1:])
    for t in range(players):
        for without in (b for b in range(len(values)) if not b >> t & 1):
            size = without.bit_count()
            share = factorial(size) * factorial(players - size - 1) / factorial(players)
            parts[t] += share * (values[without | 1 << t] - values[without])
    return parts


def _answer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, merged: Adapter, ids: list[int], length: int
) -> tuple[list[int], list[float]]:
    """The tokens that the merged adapter writes, up to the one that ends them, and the logit of each."""
    ends, tokens, logits = end_tokens(model, tokenizer), [], []
    with applied(model, merged):
        for token, logit in islice(likeliest_tokens(model, ids), length):
            tokens.append(token)
            logits.append(logit)
            if token in ends:
                break
    return tokens, logits


@contextmanager
def _in_sets(
    model: nn.Module, adapters: Sequence[Adapter], weights: Sequence[float], prompt: int
) -> Iterator[dict[str, Widths]]:
    """Row b of a batch of 2^T rows has those adapters t in place whose bit t of b is 1.

    A forward pass fills the dictionary, by module. Widths are of the first `prompt` tokens but the very first, where
    attention rests that has nowhere to go.
    """
    widths: dict[str, Widths] = {}
    device = next(model.parameters()).device
    players = range(len(adapters))
    sets = torch.tensor([[b >> t & 1 for t in players] for b in range(1 << len(adapters))], dtype=torch.float32)
    tokens = slice(min(1, prompt - 1), prompt)

    def adding(module: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        factors = [adapter.factors[module] for adapter in adapters]
        ranks = [each.rank for each in factors]
        A = torch.cat([each.A for each in factors]).to(device)  # (Σ ranks, in_features)
        Bs = [_weighted_B(each, weight).to(device) for each, weight in zip(factors, weights, strict=True)]
        grams = [B.T @ B for B in Bs]  # ‖B h‖² = h · (Bᵀ B) h: the update itself is not formed
        B = torch.cat(Bs, dim=1)  # (out_features, Σ ranks)
        gates = sets.repeat_interleave(torch.tensor(ranks), dim=1)[:, None].to(device)  # (2^T, 1, Σ ranks)

        def add(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            h = inputs[0].to(A.dtype) @ A.T
            by_adapter = h[:, tokens].split(ranks, dim=-1)
            widths[module] = Widths(
                alone=tuple(_width(by_adapter[t][1 << t], grams[t]) for t in players),
                merged=tuple(_width(by_adapter[t][-1], grams[t]) for t in players),
                base=output[0, tokens].float().square().sum(-1).mean().sqrt().item(),
            )
            return output + ((h * gates) @ B.T).to(output.dtype)

        return add

    handles = [model.get_submodule(module).register_forward_hook(adding(module)) for module in adapters[0].factors]
    try:
        yield widths
    finally:
        for handle in handles:
            handle.remove()


def _weighted_B(factors: Factors, weight: float) -> Tensor:
    return weight * factors.scaling * factors.B


def _width(h: Tensor, gram: Tensor) -> float:
    """h: (tokens, rank); rounding may leave an energy just below zero."""
    return (h @ gram * h).sum(-1).mean().clamp(min=0).sqrt().item()
