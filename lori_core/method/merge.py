"""Merging: many adapters in, one adapter out. It needs no base model; one module's updates are in memory at a time."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from statistics import fmean
from typing import Any

import torch

from lori_core.config import METHOD_OPTIONS, NEED_FOOTPRINTS, AdapterConfig, MergeOptions, ProjectionSource
from lori_core.errors import ConfigError, IncompatibleAdapters
from lori_core.method.adapter import Adapter, Factors, as_parent, check_comparable
from lori_core.method.footprint import Footprint, as_source, check_footprints
from lori_core.method.masks import sparsity_of
from lori_core.method.merge_methods import MERGE_METHODS
from lori_core.method.merge_parts import Merged, Part, compress

__all__ = ["MERGE_METHODS", "merge", "reduce_rank"]


Weights = Sequence[float] | Mapping[str, Sequence[float]]  # one for each adapter, or these by module


def merge(
    adapters: Sequence[Adapter],
    method: str,
    weights: Weights,
    name: str,
    footprints: Sequence[Footprint] | None = None,
    **options: Any,
) -> Adapter:
    """One adapter out of many.

    Its record holds the base, `parents`, and under `merge`: method, weights (means where they differ by module, and
    `weights_by_module`), options, `error` (relative Frobenius error of writing the method's dW as factors, over all
    modules), `notes` (translation keys of what a reader must know), and of the methods of NEED_FOOTPRINTS `footprints`.

    Args:
        method: a key of MERGE_METHODS.
        weights: one for each adapter, or these by module; negative and zero are fine.
        footprints: one for each adapter, of its task; the methods of NEED_FOOTPRINTS need them, others ignore them.
        options: those fields of MergeOptions that METHOD_OPTIONS lists for the method.
    Raises:
        IncompatibleAdapters: the method or the number of weights is wrong, or the adapters do not fit each other.
        ConfigError: an option is outside its range.
    """
    check_comparable(adapters)
    settings = _checked_options(method, options)
    by_module = weights if isinstance(weights, Mapping) else dict.fromkeys(adapters[0].factors, weights)
    _check_weights(by_module, adapters)
    _check_footprints(adapters, method, footprints)
    names = _distinct([adapter.name for adapter in adapters])
    merged = {}
    for module in adapters[0].factors:
        moments = [each.of(module) for each in footprints] if footprints else [None] * len(adapters)
        rows = zip(names, adapters, by_module[module], moments, strict=True)
        parts = [Part(n, a.factors[module], w, m) for n, a, w, m in rows]
        merged[module] = MERGE_METHODS[method](module, parts, settings)
    factors = {module: each.factors for module, each in merged.items()}
    record: dict[str, Any] = {
        "parents": [as_parent(adapter) for adapter in adapters],
        "merge": {
            "method": method,
            "weights": [_mean(each) for each in zip(*by_module.values(), strict=True)],
            "options": {option: getattr(settings, option) for option in METHOD_OPTIONS[method]},
            "error": _relative_error(merged.values()),
            "notes": ["merge.shared_projection"] if _some_share_projection(adapters) else [],
        },
    }
    if isinstance(weights, Mapping):
        record["merge"]["weights_by_module"] = {module: list(each) for module, each in weights.items()}
    if footprints and method in NEED_FOOTPRINTS:
        record["merge"]["footprints"] = [as_source(each) for each in footprints]
    bases = [adapter.record["base"] for adapter in adapters if "base" in adapter.record]
    if bases:
        record["base"] = bases[0]
    config = _config(adapters[0].config, factors)
    wordings = [adapter.record.get("wording") for adapter in adapters]
    if wordings[0] and all(wording == wordings[0] for wording in wordings):
        record["wording"] = wordings[0]
    return Adapter(name, config, factors, record, _drawn_from(adapters, method))


def reduce_rank(adapter: Adapter, rank: int) -> Adapter:
    """The adapter with each update at its best approximation of that rank (Eckart-Young), computed from its factors.

    Sparsity is lost: all of B is kept. The record gains `reduced`: the rank, and `error`, the relative Frobenius error
    of all updates together.

    Raises:
        ConfigError: rank is below 1.
    """
    if rank < 1:
        raise ConfigError("rank_below_one", rank=rank)
    reduced = {module: compress(factors, rank) for module, factors in adapter.factors.items()}
    factors = {module: each.factors for module, each in reduced.items()}
    record = adapter.record | {"reduced": {"rank": rank, "error": _relative_error(reduced.values())}}
    return replace(adapter, config=_config(adapter.config, factors), factors=factors, record=record, drawn_from=())


def _relative_error(merged: Iterable[Merged]) -> float:
    """‖what was lost‖ / ‖dW‖ over all modules."""
    losts, sizes = zip(*((each.lost, each.size) for each in merged), strict=True)
    return math.sqrt(sum(losts) / sum(sizes)) if sum(sizes) else 0.0


def _checked_options(method: str, options: Mapping[str, Any]) -> MergeOptions:
    if method not in MERGE_METHODS:
        raise IncompatibleAdapters("unknown_merge", method=method, known=", ".join(MERGE_METHODS))
    for option in options.keys() - set(METHOD_OPTIONS[method]):
        known = ", ".join(METHOD_OPTIONS[method]) or "-"
        raise IncompatibleAdapters("merge_option", method=method, option=option, known=known)
    return MergeOptions(**options)


def _check_footprints(adapters: Sequence[Adapter], method: str, footprints: Sequence[Footprint] | None) -> None:
    if footprints is None and method in NEED_FOOTPRINTS:
        raise IncompatibleAdapters("needs_footprints", method=method)
    if footprints is not None:
        check_footprints(footprints, adapters)


def _check_weights(by_module: Mapping[str, Sequence[float]], adapters: Sequence[Adapter]) -> None:
    if wrong := by_module.keys() ^ adapters[0].factors.keys():
        raise IncompatibleAdapters("weights_modules", module=min(wrong), modules=len(wrong))
    for weights in by_module.values():
        if len(weights) != len(adapters):
            raise IncompatibleAdapters("weights_count", weights=len(weights), adapters=len(adapters))
        if not all(math.isfinite(weight) for weight in weights):
            raise IncompatibleAdapters("weight_not_finite", weights=", ".join(f"{weight:g}" for weight in weights))


def _mean(weights: Sequence[float]) -> float:
    """The weight itself, to the last bit, where it is the same in all modules."""
    return fmean(weights) if len(set(weights)) > 1 else float(weights[0])


def _distinct(names: Sequence[str]) -> list[str]:
    """Two versions of one adapter share a name; what is drawn for them must differ all the same."""
    return [f"{name}#{names[:i].count(name)}" if name in names[:i] else name for i, name in enumerate(names)]


def _some_share_projection(adapters: Sequence[Adapter]) -> bool:
    return any(
        all(torch.equal(factors.A, t.factors[module].A) for module, factors in s.factors.items())
        for s, t in combinations(adapters, 2)
    )


def _drawn_from(adapters: Sequence[Adapter], method: str) -> tuple[ProjectionSource, ...]:
    """concat stacks the As as they are, so they can be drawn again one below the other."""
    known = method == "concat" and all(adapter.drawn_from for adapter in adapters)
    return tuple(each for adapter in adapters for each in adapter.drawn_from) if known else ()


def _config(first: AdapterConfig, factors: Mapping[str, Factors]) -> AdapterConfig:
    """The first adapter's settings with the rank, scaling and sparsity that the merged factors have."""
    sparsity = sparsity_of({module: each.mask for module, each in factors.items()})
    return first.changed(rank=max(each.rank for each in factors.values()), scaling=1.0, sparsity=sparsity)
