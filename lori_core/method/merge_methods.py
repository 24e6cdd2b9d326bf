"""Merge methods: how one module's updates become one, a table of functions; merge.py applies it module by module.

    concat           dW = Σ_t w_t scaling_t B_t A_t exactly, as stacked factors of rank Σ r_t (the paper's)
    task_arithmetic  the same dW (arXiv 2212.04089) in the fewest factors, or its best approximation of a given rank
    magnitude        each task's dW pruned to its largest entries, then summed
    ties             trim, elect a sign, mean of those that agree (arXiv 2306.01708)
    mergekit_ties    ties as mergekit weights it, a weighted mean
    peft_ties_svd    ties as PEFT weights it, after the sign; at weights of 1 all three are one
    removal          concat after each A is turned away from what the other tasks feed into the module (footprints)
    dare             entries dropped at random and the rest rescaled, then summed (arXiv 2311.03099)
    core_*, knots_ties, tsv_m, iso_c, pico, compress_then_merge, wudi: on factors alone, in core_space.py
    linear and the other peft_*: PEFT's ways, As and Bs combined apart, which brings in cross terms B_s A_t; baselines

Except for PEFT's and some in the core a method sees updates only: how one is written as factors changes nothing.
Except for PEFT's and mergekit's the weight w of an adapter does what scaling its update by w would do.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lori_core.config import MergeOptions
from lori_core.errors import IncompatibleAdapters
from lori_core.method.adapter import Factors
from lori_core.method.core_space import (
    compress_then_merge,
    core_dare,
    core_magnitude,
    core_ties,
    iso_c,
    knots_ties,
    pico,
    tsv_m,
    wudi,
)
from lori_core.method.footprint import check_alike
from lori_core.method.merge_parts import Merged, Part, compress, drop_at_random, elect, factorise, trim


def concat(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """As stacked, w · scaling folded into the Bs beside each other: exact, and entries of B at zero stay out of it."""
    A = torch.cat([part.factors.A for part in parts])
    B = torch.cat([part.scale * part.factors.B for part in parts], dim=1)
    mask = torch.cat([part.factors.mask for part in parts], dim=1)
    return Merged(Factors(A, B[mask], mask, 1.0))


def task_arithmetic(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """concat's dW in the fewest factors."""
    return compress(concat(module, parts, options).factors, options.rank)


def magnitude(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """Σ w_t trim(dW_t)."""
    return factorise(_weighted_sum(parts, lambda part: trim(module, part.factors.update, options.keep)), options.rank)


def ties(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """Trim each w_t dW_t; an entry's sign is that of the sum; the mean over the tasks whose entry has that sign.

    The paper trims a task's whole update together; here each module is trimmed by itself.
    """
    trimmed = [part.weight * trim(module, part.factors.update, options.keep) for part in parts]
    return factorise(elect(torch.stack(trimmed)), options.rank)


def mergekit_ties(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """mergekit's "ties": the signs as ties has them, then the weighted mean Σ w_t dW_t / Σ w_t over those that agree.

    A factor on all weights changes nothing; a sum of zero counts as positive, and a divisor of zero as 1.
    """
    updates, weights = _peft_pruned(parts, options.keep)
    weighted = weights * updates
    agrees = weighted.sign() == torch.where(weighted.sum(dim=0) >= 0, 1, -1)
    divisor = (weights * agrees).sum(dim=0)
    return factorise((weighted * agrees).sum(dim=0) / divisor.where(divisor != 0, 1), options.rank)


def peft_ties_svd(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """PEFT's "ties_svd", on updates: the sign is elected before the weights count, then as ties."""
    return factorise(_peft_elect(*_peft_pruned(parts, options.keep)), options.rank)


def dare(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """Σ w_t keep_t ⊙ dW_t / (1 - drop), where an entry of keep_t is 0 with probability drop."""

    def dropped(part: Part) -> Tensor:
        return drop_at_random(part.factors.update, options.drop, options.seed, part.name, module)

    return factorise(_weighted_sum(parts, dropped), options.rank)


def removal(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """concat of A_t C_t (Σ_s C_s + λ tr(Σ_s C_s)/n · I)⁻¹ in place of A_t, C_t what task t feeds into the module.

    Of all updates M it has the least Σ_t E_t‖w_t dW_t x - M x‖² + ridge: RegMean (arXiv 2212.09849, equation 2) of
    updates, in closed form on their factors. Where footprints hold the moments of z = R x it is that of all M = N R.

    Raises:
        IncompatibleAdapters: a part has no footprint, or one of R x while its A is not W R.
        ConfigError: the footprints hold moments of different sizes.
    """
    every = [part.moments for part in parts]
    known = [moments for moments in every if moments is not None]
    if len(known) < len(parts):
        raise IncompatibleAdapters("needs_footprints", method="removal")
    check_alike(module, known)
    total = torch.stack([moments.matrix for moments in known]).sum(dim=0)
    size = sum(moments.energy for moments in known) / known[0].in_features
    total = total + options.ridge * size * known[0].gram
    changed = []
    for part, moments in zip(parts, known, strict=True):
        W = moments.in_span(part.factors.A)
        if W is None:
            raise IncompatibleAdapters("removal_outside_span", name=part.name, module=module, directions=len(total))
        W = torch.linalg.solve(total, moments.matrix @ W.T).T  # both matrices are symmetric
        A = W if moments.rows is None else W @ moments.rows
        changed.append(replace(part, factors=replace(part.factors, A=A.to(part.factors.A.dtype))))
    return concat(module, changed, options)


def linear(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """(Σ √(w s) B)(Σ √(w s) A), s the scaling: PEFT's add_weighted_adapter(combination_type="linear").

    Of a negative w it is √|w s| B and -√|w s| A, as PEFT 0.21 has it.
    """
    return _factor_wise(parts, lambda part, letter, factor: factor)


def peft_magnitude_prune(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """PEFT's "magnitude_prune": linear after pruning A and B apart."""
    return _factor_wise(parts, lambda part, letter, factor: _peft_prune(factor, options.keep))


def peft_ties(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """PEFT's "ties": A and B apart, and the sign is elected before the weights count."""
    return _factor_wise(parts, lambda part, letter, factor: _peft_prune(factor, options.keep), _peft_elect)


def peft_dare_linear(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """PEFT's "dare_linear" since 0.19 (before, it did not rescale): linear after dropping from A and B apart."""

    def dropped(part: Part, letter: str, factor: Tensor) -> Tensor:
        return drop_at_random(factor, options.drop, options.seed, part.name, module, letter)

    return _factor_wise(parts, dropped)


def _weighted_sum(parts: Sequence[Part], changed: Callable[[Part], Tensor]) -> Tensor:
    return torch.stack([part.weight * changed(part) for part in parts]).sum(dim=0)


def _factor_wise(
    parts: Sequence[Part],
    change: Callable[[Part, str, Tensor], Tensor],
    combine: Callable[[Tensor, Tensor], Tensor] = lambda factors, scales: (factors * scales).sum(dim=0),
) -> Merged:
    """PEFT's way: combine(changed factors, √|w s|) for the As, where w's sign goes too, and for the Bs.

    Args:
        change: (part, "A" or "B", the factor) to the factor that goes in.
        combine: (T, ...) factors and (T, 1, 1) square-root scales to one factor.
    """
    if len({part.factors.rank for part in parts}) > 1:
        raise IncompatibleAdapters("ranks_differ", ranks=", ".join(str(part.factors.rank) for part in parts))
    As = torch.stack([change(part, "A", part.factors.A) for part in parts])
    Bs = torch.stack([change(part, "B", part.factors.B) for part in parts])
    scales = torch.tensor([part.scale for part in parts], dtype=As.dtype).view(-1, 1, 1)
    sizes = scales.abs().sqrt()
    mask = torch.stack([part.factors.mask for part in parts]).any(dim=0)
    return Merged(Factors(combine(As, sizes * scales.sign()), combine(Bs, sizes)[mask], mask, 1.0))


def _peft_pruned(parts: Sequence[Part], keep: float) -> tuple[Tensor, Tensor]:
    """The pruned updates (T, out_features, in_features), and the weights (T, 1, 1)."""
    updates = torch.stack([_peft_prune(part.factors.update, keep) for part in parts])
    return updates, updates.new_tensor([part.weight for part in parts]).view(-1, 1, 1)


def _peft_prune(factor: Tensor, keep: float) -> Tensor:
    """The int(keep · N) entries of largest magnitude, PEFT's and mergekit's rounding."""
    flat = factor.reshape(-1)
    kept = flat.abs().topk(int(keep * flat.numel())).indices
    return torch.zeros_like(flat).index_copy_(0, kept, flat[kept]).view(factor.shape)


def _peft_elect(factors: Tensor, scales: Tensor) -> Tensor:
    """The scaled mean over those whose sign is that of the unscaled sum, a sum of zero taken as positive."""
    elected = torch.where(factors.sum(dim=0) >= 0, 1, -1)
    agrees = factors.sign() == elected
    return (factors * scales * agrees).sum(dim=0) / agrees.sum(dim=0).clamp(min=1)


MergeMethod = Callable[[str, Sequence[Part], MergeOptions], Merged]

MERGE_METHODS: dict[str, MergeMethod] = {
    "concat": concat,
    "task_arithmetic": task_arithmetic,
    "magnitude": magnitude,
    "ties": ties,
    "mergekit_ties": mergekit_ties,
    "peft_ties_svd": peft_ties_svd,
    "dare": dare,
    "core_magnitude": core_magnitude,
    "core_ties": core_ties,
    "core_dare": core_dare,
    "knots_ties": knots_ties,
    "tsv_m": tsv_m,
    "iso_c": iso_c,
    "pico": pico,
    "compress_then_merge": compress_then_merge,
    "wudi": wudi,
    "linear": linear,
    "peft_magnitude_prune": peft_magnitude_prune,
    "peft_ties": peft_ties,
    "peft_dare_linear": peft_dare_linear,
    "removal": removal,
}
