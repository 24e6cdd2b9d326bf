"""Pair matrix: from what was read for each pair of tasks to a PairMatrix."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from lori_core.results import PairMatrix

Table = tuple[tuple[float | None, ...], ...]  # T x T


class Reading(NamedTuple):
    """A pair's value and what chance would give; None where chance has no known mean or spread."""

    value: float
    null_mean: float | None = None
    null_sd: float | None = None

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
        z=table(total, lambda reading: reading.z, False),
        by_module={module: table(each, lambda reading: reading.value, True) for module, each in by_module.items()},
    )
