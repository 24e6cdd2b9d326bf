"""Before training: what tasks feed into the embedded base, and what an A between a random and a conditioned one reads.

Questions of the page Interference. Footprints and projections of the tasks asked for last are kept, so that a look at
another module takes no time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from lori_core.bases.load import target_modules
from lori_core.config import AdapterConfig, BaseConfig
from lori_core.errors import ConfigError, IncompatibleAdapters
from lori_core.method.adapter import Adapter, blank
from lori_core.method.conditioned import Conditions, conditioned
from lori_core.method.footprint import Footprint
from lori_core.method.forecast import forecast
from lori_core.results import Spectrum
from lori_core.service.base_cache import BaseCache
from lori_core.service.shelf import Shelf
from lori_core.study.reach import SHOWN
from lori_core.study.units import load_tasks
from lori_core.training.footprints import task_footprint

BLENDS = (0.0, 0.25, 0.5, 0.75, 1.0)  # share of the conditioned A; the rest is the random one
EXAMPLES = 32  # of each task: a look that takes seconds

Several = Annotated[list[str], Field(min_length=2, max_length=6)]
Rank = Annotated[int, Field(ge=1, le=128)]
Projections = dict[str, Tensor]  # module -> A (rank, in_features)


@dataclass(frozen=True, eq=False)
class Prepared:
    """By task, in their order: footprints, and the A of each blend."""

    footprints: list[Footprint]
    blends: dict[float, list[Adapter]]


class Forecasting:
    """Questions about adapters that are not trained yet."""

    def __init__(self, shelf: Shelf, bases: BaseCache) -> None:
        self.shelf, self.bases = shelf, bases
        self._asked: tuple[tuple[str, ...], int] | None = None
        self._prepared: Prepared | None = None

    def before_training(self, tasks: Several, rank: Rank) -> Iterator[dict[str, Any]]:
        """{"forecasts": [PairMatrix of each of BLENDS], "modules": names}; loads the embedded base."""
        found = self._of(tasks, rank)
        matrices = [forecast(adapters, found.footprints) for adapters in found.blends.values()]
        # what it says module by module is nowhere drawn, and would be most of the answer
        bare = [asdict(matrix) | {"by_module": {}} for matrix in matrices]
        yield {"forecasts": bare, "modules": sorted(set(found.footprints[0].inputs.values()))}

    def spectrum(self, tasks: Several, rank: Rank, module: str, task: int) -> Iterator[dict[str, Any]]:
        """{"spectra": [Spectrum of each of BLENDS]} of the task at that place of the tasks."""
        found = self._of(tasks, rank)
        if not 0 <= task < len(tasks):
            raise ConfigError("no_such_place", place=task, count=len(tasks))
        footprints = [found.footprints[task], *(each for n, each in enumerate(found.footprints) if n != task)]
        yield {"spectra": [asdict(_spectrum(module, footprints, each[task])) for each in found.blends.values()]}

    def _of(self, tasks: Sequence[str], rank: int) -> Prepared:
        asked = tuple(tasks), rank
        if self._prepared is None or asked != self._asked:
            self._prepared = None
            self._prepared, self._asked = self._prepare(tasks, rank), asked
        return self._prepared

    def _prepare(self, tasks: Sequence[str], rank: int) -> Prepared:
        for spec in tasks:
            if not self.shelf.reach.has_task(spec):
                raise ConfigError("path_out_of_reach", field="tasks", got=spec[:SHOWN])
        loaded = load_tasks(tasks, allow_code_execution=False)
        base = self.bases.base(BaseConfig())
        footprints = [task_footprint(base, task, examples=EXAMPLES) for task in loaded]
        config = AdapterConfig(rank=rank)
        shapes = target_modules(base.model)
        blends: dict[float, list[Adapter]] = {blend: [] for blend in BLENDS}
        for place, own in enumerate(footprints):
            others = [each for n, each in enumerate(footprints) if n != place]
            drawn = blank(own.name, shapes, config)
            random = {module: each.A for module, each in drawn.factors.items()}
            designed = conditioned(Conditions(own, others), shapes, rank, config.ridge)
            for blend, adapters in blends.items():
                adapters.append(blank(own.name, shapes, config, projections=_between(random, designed, blend)))
        return Prepared(footprints, blends)


def _between(random: Mapping[str, Tensor], designed: Mapping[str, Tensor], blend: float) -> Projections:
    return {module: torch.lerp(random[module], designed[module], blend) for module in random}


def _spectrum(module: str, footprints: Sequence[Footprint], adapter: Adapter) -> Spectrum:
    """Of the task whose footprint stands first, against the mean of the others.

    Raises:
        IncompatibleAdapters: the module has no moments of its own, or those of random rows of its input alone.
    """
    if module not in footprints[0].moments:
        raise IncompatibleAdapters("footprint_without_module", name=footprints[0].name, module=module[:SHOWN])
    every = [each.of(module) for each in footprints]
    own, *others = (each.matrix / each.energy for each in every)
    mean = torch.stack(others).mean(dim=0)
    directions = torch.linalg.eigh(own).eigenvectors.flip(1)  # (n, n), by falling energy of the task
    rows = torch.linalg.qr(adapter.factors[module].A.double().T).Q  # (n, rank), what A reads
    by_direction = {
        "own": ((directions.T @ own) * directions.T).sum(dim=1),
        "others": ((directions.T @ mean) * directions.T).sum(dim=1),
        "read": (directions.T @ rows).square().sum(dim=1),
    }
    groups = _groups(len(own))
    summed = {name: [values[a:b].sum().item() for a, b in groups] for name, values in by_direction.items()}
    return Spectrum(
        module=module,
        task=footprints[0].name,
        rank=rows.shape[1],
        directions=tuple((a + 1, b) for a, b in groups),
        own=tuple(summed["own"]),
        others=tuple(summed["others"]),
        read=tuple(share / (b - a) for share, (a, b) in zip(summed["read"], groups, strict=True)),
        read_of_own=((rows.T @ own) * rows.T).sum().item(),
        read_of_others=((rows.T @ mean) * rows.T).sum().item(),
    )


def _groups(size: int) -> list[tuple[int, int]]:
    """[0, 1), [1, 2), [2, 4), [4, 8) ... up to size: energies fall over some decades."""
    edges = [0, 1]
    while edges[-1] < size:
        edges.append(min(2 * edges[-1], size))
    return list(pairwise(edges))
