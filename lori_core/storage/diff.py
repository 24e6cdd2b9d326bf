"""Difference between two saved adapters: only what changed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lori_core.errors import IncompatibleAdapters
from lori_core.method.adapter import Adapter
from lori_core.method.metrics import cosine_matrix, mask_overlap
from lori_core.results import PairMatrix
from lori_core.storage.adapter_files import StoredAdapter, load_adapter, read_header


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


def difference(left: Path, right: Path) -> Difference:
    """Of the adapters in two folders; raises AdapterError where one cannot be loaded."""
    headers = [read_header(folder)[0] for folder in (left, right)]
    one, other = (dict(entries(header)) for header in headers)
    keys = [*one, *(key for key in other if key not in one)]
    ours, theirs = (header.modules for header in headers)
    adapters = load_adapter(left), load_adapter(right)
    return Difference(
        {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)},
        tuple(module for module in ours if module in theirs and ours[module].checksum != theirs[module].checksum),
        _measured(mask_overlap, adapters),
        _measured(cosine_matrix, adapters),
    )


def entries(header: StoredAdapter) -> Iterator[tuple[str, Any]]:
    """What adapter.json says, as "config.rank" and its value ...; of the modules, what a reader can take in."""
    said = header.model_dump(exclude={"modules", "tensors"})
    yield from _flat(said)
    yield "modules", len(header.modules)
    yield "kept", sum(each.kept for each in header.modules.values())


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
