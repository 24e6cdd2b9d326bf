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

from lori_core.config import AdapterConfig
from lori_core.method.adapter import Adapter, Factors, blank, check_comparable
from lori_core.method.conditioned import Conditions, conditioned
from lori_core.method.footprint import Footprint, check_footprints, through_each
from lori_core.method.pair_matrix import Reading, pair_matrix
from lori_core.results import PairMatrix

Cell = tuple[float, float]  # energy, and its mean by chance; both add up over modules


def forecast(adapters: Sequence[Adapter], footprints: Sequence[Footprint]) -> PairMatrix:
    """Of adapters s (rows) on tasks t (columns); adapters that are blank, or trained ones.

    Args:
        footprints: one for each adapter's task, in their order.
    Raises:
        IncompatibleAdapters: not one footprint an adapter, one is of another base or lacks a module, or the adapters do
            not fit each other.
    """
    check_comparable(adapters)
    check_footprints(footprints, adapters)
    by_module = {module: _cells(module, adapters, footprints) for module in adapters[0].factors}
    tasks = range(len(adapters))
    total = [[_sum([cells[s][t] for cells in by_module.values()]) for t in tasks] for s in tasks]
    names = [adapter.name for adapter in adapters]
    return pair_matrix("forecast", names, _readings(total), {m: _readings(cells) for m, cells in by_module.items()})


def untrained(adapter: Adapter) -> Adapter:
    """The adapter as it was before training, B = 0: what is forecast of it is of its A alone."""
    factors = {m: replace(each, values=torch.zeros_like(each.values)) for m, each in adapter.factors.items()}
    return replace(adapter, factors=factors)


def forecast_before(footprints: Sequence[Footprint], config: AdapterConfig) -> PairMatrix:
    """Before anything is trained, and without the base: of the A that the settings draw for each footprint's task, or
    condition on it and all the others.

    Raises:
        IncompatibleAdapters, ConfigError: there is no footprint, or as conditioned() and forecast() have it.
    """
    return forecast([_untrained(footprints, index, config) for index in range(len(footprints))], footprints)


def _untrained(footprints: Sequence[Footprint], index: int, config: AdapterConfig) -> Adapter:
    """The adapter of one footprint's task before training; how many outputs its modules have does not matter."""
    own = footprints[index]
    config = config.changed(sparsity=0.0)
    if config.projection == "orthogonal":
        config = config.changed(slot=index, slots=len(footprints))
    projections = None
    if config.projection == "conditioned":
        others = [*footprints[:index], *footprints[index + 1 :]]
        projections = conditioned(Conditions(own, others), own.inputs, config.rank, config.ridge)
    shapes = {module: (1, own.of(module).in_features) for module in own.inputs}
    return blank(own.name, shapes, config, projections=projections)


def input_map(*factors: Factors) -> Tensor:
    """P (rank of all, in_features) with ‖P x‖ = ‖Σ dW x‖ for every x, of one module in one adapter or several."""
    B = torch.cat([each.scaling * each.B for each in factors], dim=1)
    return torch.linalg.qr(B).R @ torch.cat([each.A for each in factors])


def _cells(module: str, adapters: Sequence[Adapter], footprints: Sequence[Footprint]) -> list[list[Cell]]:
    """[s][t] of one module."""
    found = []
    every = [footprint.of(module) for footprint in footprints]
    for adapter in adapters:
        factors = adapter.factors[module]
        P = input_map(factors) if bool(factors.values.any()) else factors.A
        size = P.double().square().sum().item() / P.shape[1]
        energies = through_each(P, every)
        found.append([(energy, size * moments.energy) for energy, moments in zip(energies, every, strict=True)])
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
