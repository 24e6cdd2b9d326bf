"""Difference between two saved adapters, or two footprints: only what changed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lori_core.errors import ConfigError, IncompatibleAdapters
from lori_core.method.adapter import Adapter
from lori_core.method.footprint import distance
from lori_core.method.metrics import cosine_matrix, mask_overlap
from lori_core.results import PairMatrix
from lori_core.storage.adapter_files import load_adapter
from lori_core.storage.footprint_files import StoredFootprint, load_footprint, read_footprint_header
from lori_core.storage.header import StoredAdapter, read_header


@dataclass(frozen=True)
class Difference:
    """Of two adapters, left and right.

    Attributes:
        changed: "config.rank" and the like -> (left, right); None where a side has no such entry.
        projections: modules that both have, with another A.
        mask_jaccard: |kept by both| / |kept by either|; None where modules or shapes of B differ.
        cosine: of the two updates; None where they do not lie in one space, or the bases differ.
    """

    changed: dict[str, tuple[Any, Any]]
    projections: tuple[str, ...]
    mask_jaccard: float | None
    cosine: float | None


@dataclass(frozen=True)
class FootprintDifference:
    """Of two footprints, left and right.

    Attributes:
        changed: as in Difference.
        distances: input -> ‖C_left - C_right‖ / ‖C_left‖, Frobenius; None where their moments are not of one size.
            Inputs that only one of both knows are left out.
    """

    changed: dict[str, tuple[Any, Any]]
    distances: dict[str, float | None]


def difference(left: Path, right: Path) -> Difference:
    """Of the adapters in two folders; raises AdapterError where one cannot be loaded."""
    headers = [read_header(folder)[0] for folder in (left, right)]
    ours, theirs = (header.modules for header in headers)
    adapters = load_adapter(left), load_adapter(right)
    return Difference(
        _changed(*(dict(entries(header)) for header in headers)),
        tuple(module for module in ours if module in theirs and ours[module].checksum != theirs[module].checksum),
        _measured(mask_overlap, adapters),
        _measured(cosine_matrix, adapters),
    )


def footprint_difference(left: Path, right: Path) -> FootprintDifference:
    """Of the footprints in two folders; raises AdapterError where one cannot be loaded."""
    headers = [read_footprint_header(folder)[0] for folder in (left, right)]
    one, other = load_footprint(left), load_footprint(right)
    distances: dict[str, float | None] = {}
    for source, moments in one.moments.items():
        if source in other.inputs:
            try:
                distances[source] = distance(moments, other.of(source))
            except ConfigError:
                distances[source] = None
    return FootprintDifference(_changed(*(dict(footprint_entries(header)) for header in headers)), distances)


def footprint_entries(header: StoredFootprint) -> Iterator[tuple[str, Any]]:
    """What footprint.json says, as entries() does; of the inputs how many there are and their sizes."""
    yield from _flat(header.model_dump(exclude={"inputs", "moments", "tensors"}))
    yield "modules", len(header.inputs)
    yield "inputs", len(header.moments)
    sizes = {f"{each.directions} of {each.in_features}" for each in header.moments.values()}
    yield "directions", ", ".join(sorted(sizes))


def entries(header: StoredAdapter) -> Iterator[tuple[str, Any]]:
    """What adapter.json says, as "config.rank" and its value ...; of the modules, what a reader can take in."""
    said = header.model_dump(exclude={"modules", "tensors"})
    yield from _flat(said)
    yield "modules", len(header.modules)
    yield "kept", sum(each.kept for each in header.modules.values())


def _changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    keys = [*one, *(key for key in other if key not in one)]
    return {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)}


def _measured(measure: Callable[[Sequence[Adapter]], PairMatrix], adapters: Sequence[Adapter]) -> float | None:
    try:
        return measure(adapters).values[0][1]
    except IncompatibleAdapters:
        return None


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
