"""Weighted merges forecast from footprints: of all weights at once, what other adapters do to each task's inputs.

    ratio[t] = √( E‖Σ_{s≠t} w_s dW_s x_t‖² / E‖w_t dW_t x_t‖² ),   sums over modules

It is quadratic in the weights, so it follows from E⟨dW_s x_t, dW_u x_t⟩, which footprints give without a forward pass:
a grid of weights costs no more than one. Only ratios of weights count.
"""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from lori_core.method.adapter import Adapter, check_comparable
from lori_core.method.footprint import Footprint, check_footprints, through_each
from lori_core.method.forecast import input_map
from lori_core.results import WeightedMerges

STEPS = 24  # of the grid, from one adapter alone to another alone


def weighted_merges(adapters: Sequence[Adapter], footprints: Sequence[Footprint]) -> WeightedMerges:
    """Of two or three adapters, at weights on a grid that sum to 1.

    Args:
        footprints: one for each adapter's task, in their order.
    Raises:
        IncompatibleAdapters: as forecast() has it.
    """
    weights = torch.tensor(_grid(len(adapters)), dtype=torch.float64) / STEPS
    ratios = foreign_over_own(joint_energies(adapters, footprints), weights)
    return WeightedMerges(
        names=tuple(adapter.name for adapter in adapters),
        weights=tuple(tuple(each) for each in weights.tolist()),
        ratios=tuple(tuple(None if each == float("inf") else each for each in row) for row in ratios.tolist()),
    )


def joint_energies(adapters: Sequence[Adapter], footprints: Sequence[Footprint]) -> Tensor:
    """E⟨dW_s x_t, dW_u x_t⟩ at [t, s, u], (T, T, T) fp64, summed over modules."""
    check_comparable(adapters)
    check_footprints(footprints, adapters)
    places = range(len(adapters))
    found = torch.zeros(len(adapters), len(adapters), len(adapters), dtype=torch.float64)
    for module in adapters[0].factors:
        every = [footprint.of(module) for footprint in footprints]
        factors = [adapter.factors[module] for adapter in adapters]
        for s in places:
            found[:, s, s] += torch.tensor(through_each(input_map(factors[s]), every))
        for s, u in combinations(places, 2):
            both = torch.tensor(through_each(input_map(factors[s], factors[u]), every))
            found[:, s, u] += both  # ‖(dW_s + dW_u) x‖²
    for s, u in combinations(places, 2):
        found[:, s, u] = (found[:, s, u] - found[:, s, s] - found[:, u, u]) / 2
        found[:, u, s] = found[:, s, u]
    return found


def foreign_over_own(energies: Tensor, weights: Tensor) -> Tensor:
    """ratio (points, T) of the module's docstring; infinite where a task's own adapter has no weight.

    Args:
        energies: (T, T, T), see joint_energies(). weights: (points, T).
    """
    tasks = weights.shape[1]
    foreign = weights[:, None, :] * (1 - torch.eye(tasks, dtype=weights.dtype))  # (points, t, s), 0 where s = t
    acting = torch.einsum("pts,tsu,ptu->pt", foreign, energies, foreign).clamp(min=0)  # rounding may leave it below
    own = weights.square() * torch.einsum("ttt->t", energies)
    return torch.where(own > 0, (acting / own.clamp(min=torch.finfo(own.dtype).tiny)).sqrt(), torch.inf)


def _grid(adapters: int) -> list[tuple[int, ...]]:
    """All whole numbers that sum to STEPS."""
    if adapters == 2:
        return [(STEPS - second, second) for second in range(STEPS + 1)]
    pairs = [(second, third) for third in range(STEPS + 1) for second in range(STEPS + 1 - third)]
    return [(STEPS - second - third, second, third) for second, third in pairs]
