"""Adapter: Factors (A, kept values, mask of one module) of all modules, config, record. Values only, no model.

update of a module:  dW = scaling * (B ⊙ mask) A        A (rank, in_features), B and mask (out_features, rank)
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from lori_core.config import AdapterConfig, ProjectionSource
from lori_core.errors import IncompatibleAdapters
from lori_core.method.masks import Masks, kept_count, sparsity_of
from lori_core.method.projection import draw, source_of


@dataclass(frozen=True, eq=False)
class Factors:
    """A and B of one module.

    Attributes:
        A: (rank, in_features) fp32.
        values: (kept,) fp32, the entries of B where the mask is True, in row-major order.
        mask: (out_features, rank) bool, True where B may move.
        scaling: the update is scaled by this (alpha / rank).
    """

    A: Tensor
    values: Tensor
    mask: Tensor
    scaling: float

    @property
    def B(self) -> Tensor:
        """(out_features, rank), zero outside the mask."""
        B = self.values.new_zeros(self.mask.shape)
        B[self.mask] = self.values
        return B

    @property
    def rank(self) -> int:
        return self.A.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """(out_features, in_features) of the update."""
        return self.mask.shape[0], self.A.shape[1]

    @property
    def update(self) -> Tensor:
        """dW (out_features, in_features). Large: metrics and merges avoid it."""
        return self.scaling * (self.B @ self.A)


def dense_factors(A: Tensor, B: Tensor, scaling: float = 1.0) -> Factors:
    """Factors whose mask is all True."""
    return Factors(A, B.reshape(-1).contiguous(), torch.ones(B.shape, dtype=torch.bool), scaling)


@dataclass(frozen=True, eq=False)
class Adapter:
    """All factors of one task.

    Attributes:
        name: the task, or what a merge is called.
        factors: module name in the base -> Factors; every adapted module is there, also one whose mask keeps nothing.
        record: lineage and figures, JSON values only: base, data, parents, training, scores; "id" once it was loaded.
        drawn_from: what the rows of every A were drawn from; empty where that is not known, and A has to be stored.
    """

    name: str
    config: AdapterConfig
    factors: Mapping[str, Factors]
    record: dict[str, Any] = field(default_factory=dict)
    drawn_from: tuple[ProjectionSource, ...] = ()

    @property
    def masks(self) -> dict[str, Tensor]:
        """module -> (out_features, rank) bool."""
        return {module: factors.mask for module, factors in self.factors.items()}

    @property
    def trained_parameters(self) -> int:
        """Kept entries of B; for LoRA those of A too."""
        kept = sum(factors.values.numel() for factors in self.factors.values())
        return kept + sum(f.A.numel() for f in self.factors.values()) if self.config.train_projection else kept

    def with_masks(self, masks: Mapping[str, Tensor]) -> "Adapter":
        """The same A and B, B kept only where the masks are True; config says the sparsity that they have."""
        if masks.keys() != self.factors.keys():
            raise IncompatibleAdapters("modules_differ", left=self.name, right="masks")
        factors = {
            module: Factors(f.A, f.B[masks[module]], masks[module], f.scaling) for module, f in self.factors.items()
        }
        return replace(self, config=_as_sparse_as(masks, self.config), factors=factors)


def blank(
    name: str,
    shapes: Mapping[str, tuple[int, int]],
    config: AdapterConfig,
    masks: Mapping[str, Tensor] | None = None,
    projections: Mapping[str, Tensor] | None = None,
) -> Adapter:
    """An adapter that changes nothing: A drawn, B zero. Its config says the sparsity that its masks have.

    Args:
        shapes: module -> (out_features, in_features).
        masks: module -> (out_features, rank) bool; None: all True (LoRI-D, LoRA, calibration).
        projections: module -> A (rank, in_features) fp32, a conditioned one; None: drawn as the config says.
    """
    factors = {}
    for module, (out_features, in_features) in shapes.items():
        mask = torch.ones(out_features, config.rank, dtype=torch.bool) if masks is None else masks[module]
        A = draw(config, name, module, in_features) if projections is None else projections[module]
        factors[module] = Factors(A, torch.zeros(int(mask.sum())), mask, config.scaling)
    held = {module: each.mask for module, each in factors.items()}
    return Adapter(name, _as_sparse_as(held, config), factors, drawn_from=source_of(config, name))


def _as_sparse_as(masks: Masks, config: AdapterConfig) -> AdapterConfig:
    """The sparsity stays as it was named (0.9) where the masks keep just as many entries as it says."""
    sizes = [(int(mask.sum()), mask.numel()) for mask in masks.values()]
    kept, entries = map(sum, zip(*sizes, strict=True))
    return config if kept == kept_count(entries, config.sparsity) else config.changed(sparsity=sparsity_of(masks))


def as_parent(adapter: Adapter) -> dict[str, Any]:
    """What the record of an adapter made from this one says about it; it has an id if it was loaded."""
    return {"name": adapter.name} | {key: adapter.record[key] for key in ("version", "id") if key in adapter.record}


def check_base(adapter: Adapter, base: Mapping[str, Any]) -> None:
    """Refuse an adapter that was trained on another base; one whose record names no base is taken on trust.

    Args:
        base: record of the base to be used, as Base.record of bases/load.py has it.
    Raises:
        IncompatibleAdapters: the weights are others, or the revision of the same hub id is.
    """
    known = adapter.record.get("base", {})
    found, wanted, name = known.get("fingerprint"), known.get("name"), base["name"]
    if found is not None and found != base["fingerprint"] and not _rounded_alike(known, base):
        raise IncompatibleAdapters("wrong_base", adapter=adapter.name, wanted=wanted, got=name)
    revisions = (known.get("revision"), base["revision"])
    if wanted == name and None not in revisions and revisions[0] != revisions[1]:
        raise IncompatibleAdapters(
            "wrong_revision", adapter=adapter.name, base=name, wanted=revisions[0], got=revisions[1]
        )


def base_notes(adapter: Adapter, base: Mapping[str, Any]) -> tuple[str, ...]:
    """Translation keys of what a reader has to know of a base that check_base has nothing against."""
    known = adapter.record.get("base", {})
    if "fingerprint" not in known:
        return ()
    notes = []
    if known.get("quantization") != base.get("quantization"):
        notes.append("note.other_quantization")
    if known["fingerprint"] != base["fingerprint"]:
        notes.append("note.other_file_quantization")
    return tuple(notes)


def _rounded_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether one of two bases is a rounded copy, from a GGUF file, and all that such a file keeps whole agrees."""
    rounded = one.get("stored_as") or other.get("stored_as")
    return bool(rounded) and one.get("vectors") is not None and one["vectors"] == other.get("vectors")


def check_comparable(adapters: Sequence[Adapter]) -> None:
    """Refuse adapters whose updates do not lie in one space, before they are merged or compared.

    Raises:
        IncompatibleAdapters: none was given, one differs from the first in modules or in the shape of an update, or
            two records name different bases: other weights, or where only names are known, other names.
    """
    if not adapters:
        raise IncompatibleAdapters("no_adapters")
    first = adapters[0]
    for other in adapters[1:]:
        if other.factors.keys() != first.factors.keys():
            raise IncompatibleAdapters("modules_differ", left=first.name, right=other.name)
        for module, factors in first.factors.items():
            left, right = factors.shape, other.factors[module].shape
            if left != right:
                names = {"left": first.name, "right": other.name}
                raise IncompatibleAdapters("shapes_differ", module=module, left_shape=left, right_shape=right, **names)
    _check_one_base(adapters)


def _check_one_base(adapters: Sequence[Adapter]) -> None:
    """Adapters whose records name no base are taken on trust."""
    for left, right in combinations(adapters, 2):
        one, other = left.record.get("base", {}), right.record.get("base", {})
        key = next((key for key in ("fingerprint", "name") if one.get(key) and other.get(key)), None)
        if key == "fingerprint" and one[key] != other[key]:
            named = {"left_base": one[key], "right_base": other[key]}
            raise IncompatibleAdapters("bases_differ", left=left.name, right=right.name, **named)
        if key == "name" and _last_part(one[key]) != _last_part(other[key]):
            named = {"left_base": one[key], "right_base": other[key]}
            raise IncompatibleAdapters("base_names_differ", left=left.name, right=right.name, **named)


def _last_part(name: str) -> str:
    """Of a hub id or a folder: a copy of a base keeps it, whoever owns it and wherever it lies."""
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1].casefold()
