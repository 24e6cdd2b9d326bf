"""Pair matrix: from what was read for each pair of tasks to a PairMatrix."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lori_core.method.adapter import Adapter, Factors, check_comparable
from lori_core.results import PairMatrix

Table = tuple[tuple[float | None, ...], ...]  # T x T


class Reading(NamedTuple):
    """A pair's value and what chance would give; None where chance has no known mean or spread."""

    value: float
    null_mean: float | None = None
    null_sd: float | None = None
    even_mean: float | None = None  # of masks, see PairMatrix

    @property
    def z(self) -> float | None:
        """(value - null_mean) / null_sd; None where chance leaves no room."""
        return (self.value - self.null_mean) / self.null_sd if self.null_mean is not None and self.null_sd else None


Readings = Sequence[Sequence[Reading | None]]  # T x T, None where the measure is not defined


def pair_matrix(measure: str, names: Sequence[str], total: Readings, by_module: Mapping[str, Readings]) -> PairMatrix:
    """The diagonal has a value, and no null: chance says nothing about a task and itself."""

    def table(readings: Readings, read: Callable[[Reading], float | None], diagonal: bool) -> Table:
        return tuple(
            tuple(
                read(reading) if reading is not None and (diagonal or s != t) else None for t, reading in enumerate(row)
            )
            for s, row in enumerate(readings)
        )

    return PairMatrix(
        measure=measure,
        names=tuple(names),
        values=table(total, lambda reading: reading.value, True),
        null_mean=table(total, lambda reading: reading.null_mean, False),
        null_sd=table(total, lambda reading: reading.null_sd, False),
        even_mean=table(total, lambda reading: reading.even_mean, False) if measure == "jaccard" else (),
        z=table(total, lambda reading: reading.z, False),
        by_module={module: table(each, lambda reading: reading.value, True) for module, each in by_module.items()},
    )


def compare(
    measure: str,
    adapters: Sequence[Adapter],
    prepare: Callable[[Factors], Any],
    parts: Callable[[Any, Any], tuple[float, ...]],
    read: Callable[[Sequence[float]], Reading | None],
    combine: Callable[..., np.ndarray] = np.sum,
) -> PairMatrix:
    """Parts of each pair and module, one module's tensors at a time; read by module, and combined over modules.

    Args:
        parts: of a pair; what is read from them does not depend on which of the two comes first.
    """
    check_comparable(adapters)
    found, tasks = {}, range(len(adapters))  # found: module -> (T, T, parts)
    for module in adapters[0].factors:
        ready = [prepare(adapter.factors[module]) for adapter in adapters]
        once = {(s, t): parts(ready[s], ready[t]) for t in tasks for s in tasks[: t + 1]}
        found[module] = np.array([[once[min(s, t), max(s, t)] for t in tasks] for s in tasks], dtype=np.float64)
    total = combine(np.stack(list(found.values())), axis=0)
    by_module = {module: [[read(pair) for pair in row] for row in each.tolist()] for module, each in found.items()}
    names = [adapter.name for adapter in adapters]
    return pair_matrix(measure, names, [[read(pair) for pair in row] for row in total.tolist()], by_module)
