"""Forecast: from footprints, without a forward pass, how much of one task the adapter of another will let through.

    value[s][t] = √( Σ_modules E‖P_s x_t‖² / Σ_modules E‖P_t x_t‖² )

Before training P is the frozen A, since B is not known; once B has values P = scaling R_B A, with B = Q R_B, and the
value is the cross-talk of evaluation/probe.py, of the footprints' examples. Chance is a random A_s of the same size: it
lets through E‖x_t‖² / in_features of its own squared norm.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lori_core.errors import IncompatibleAdapters
from lori_core.method.adapter import Adapter, Factors, check_comparable
from lori_core.method.footprint import Footprint
from lori_core.method.pair_matrix import Reading, pair_matrix
from lori_core.results import PairMatrix

Cell = tuple[float, float]  # energy, and its mean by chance; both add up over modules


def forecast(adapters: Sequence[Adapter], footprints: Sequence[Footprint]) -> PairMatrix:
    """Of adapters s (rows) on tasks t (columns); adapters that are blank, or trained ones.

    Args:
        footprints: one for each adapter's task, in their order.
    Raises:
        IncompatibleAdapters: not one footprint an adapter, one lacks a module, or the adapters do not fit each other.
    """
    check_comparable(adapters)
    if len(footprints) != len(adapters):
        raise IncompatibleAdapters("footprints_count", adapters=len(adapters), footprints=len(footprints))
    by_module = {module: _cells(module, adapters, footprints) for module in adapters[0].factors}
    tasks = range(len(adapters))
    total = [[_sum([cells[s][t] for cells in by_module.values()]) for t in tasks] for s in tasks]
    names = [adapter.name for adapter in adapters]
    return pair_matrix("forecast", names, _readings(total), {m: _readings(cells) for m, cells in by_module.items()})


def untrained(adapter: Adapter) -> Adapter:
    """The adapter as it was before training, B = 0: what is forecast of it is of its A alone."""
    factors = {m: replace(each, values=torch.zeros_like(each.values)) for m, each in adapter.factors.items()}
    return replace(adapter, factors=factors)


def input_map(factors: Factors) -> Tensor:
    """P (rank, in_features) with ‖P x‖ = ‖dW x‖ for every x."""
    return torch.linalg.qr(factors.scaling * factors.B).R @ factors.A


def _cells(module: str, adapters: Sequence[Adapter], footprints: Sequence[Footprint]) -> list[list[Cell]]:
    """[s][t] of one module."""
    found = []
    for adapter in adapters:
        factors = adapter.factors[module]
        P = input_map(factors) if bool(factors.values.any()) else factors.A
        size = P.double().square().sum().item() / P.shape[1]
        every = [footprint.of(module) for footprint in footprints]
        found.append([(moments.through(P), size * moments.energy) for moments in every])
    return found


def _sum(cells: Sequence[Cell]) -> Cell:
    energies, means = zip(*cells, strict=True)
    return sum(energies), sum(means)


def _readings(cells: Sequence[Sequence[Cell]]) -> list[list[Reading | None]]:
    tasks = range(len(cells))
    own = [cells[t][t][0] for t in tasks]
    return [
        [Reading((cells[s][t][0] / own[t]) ** 0.5, (cells[s][t][1] / own[t]) ** 0.5) if own[t] else None for t in tasks]
        for s in tasks
    ]
