"""Views of masks: where one keeps entries, what two share, one B down to its bits, other sparsities.

Adapters are named by the shelf's references. The mask of another sparsity comes from the same calibration: from the
dense run that lies beside the adapter, whose values were rounded to bf16 when they were kept, so that entries next to
the threshold can differ from those that training would have kept. At the adapter's own sparsity the mask is therefore
the one that was trained.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from lori_core.errors import AdapterError, IncompatibleAdapters
from lori_core.files import write_atomic
from lori_core.method.masks import kept_fractions, magnitude_masks, matched_masks
from lori_core.results import Calibration, Magnitudes, MaskGrid, MaskLayout, MaskPair, from_json
from lori_core.service.names import told_apart
from lori_core.service.shelf import OF_RUNS, Shelf
from lori_core.storage.adapter_files import load_entries
from lori_core.storage.header import StoredAdapter, read_header
from lori_core.storage.mask_files import Mask, save_mask
from lori_core.study.layout import calibration_of, dense_run_of

RANDOM = "random"  # in place of a second adapter: the density-matched control of the first
DECADES, STEPS = 4, 64  # of the histogram of |B|: how far down from the largest, and in how many bins
BINS = 512  # cells along a B at most: more would be fewer than a pixel each, and a browser would leave some out

Sparsity = Annotated[float, Field(ge=0, lt=1)]
MaskForm = Literal["safetensors", "npz"]
Pair = Annotated[list[str], Field(min_length=1, max_length=2)]


class MaskViews:
    """Questions about the masks of a shelf's adapters. sparsity, everywhere: None is the mask as it was trained."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def mask_layout(self, reference: str, sparsity: Sparsity | None = None) -> dict[str, Any]:
        """MaskLayout. At the trained sparsity only the adapter's description is read."""
        (folder,) = map(Path, self.shelf.folders([reference]))
        header, _ = read_header(folder)
        if _is_trained(header, sparsity):
            kept = {module: m.kept / (m.out_features * m.rank) for module, m in header.modules.items()}
        else:
            kept = kept_fractions(self._masks(reference, sparsity))
        sizes = {module: m.out_features * m.rank for module, m in header.modules.items()}
        whole = sum(kept[module] * size for module, size in sizes.items()) / sum(sizes.values())
        outputs = {module: m.out_features for module, m in header.modules.items()}
        return asdict(MaskLayout(header.name, 1 - whole, kept, outputs, dense_beside(folder) is not None))

    def mask_pair(self, references: Pair, sparsity: Sparsity | None = None) -> dict[str, Any]:
        """MaskPair of two adapters, or of one and RANDOM."""
        names, (left, right) = self._all(references, sparsity)
        _check_shapes(names, left, right)
        shared = {module: int((mask & right[module]).count_nonzero()) for module, mask in left.items()}
        return asdict(
            MaskPair(
                (names[0], names[1]),
                shared,
                {module: int(mask.count_nonzero()) - shared[module] for module, mask in left.items()},
                {module: int(mask.count_nonzero()) - shared[module] for module, mask in right.items()},
                {module: mask.numel() for module, mask in left.items()},
            )
        )

    def mask_grid(
        self,
        references: Pair,
        module: str,
        sparsity: Sparsity | None = None,
        first: Annotated[int, Field(ge=0)] = 0,
        count: Annotated[int, Field(ge=1)] | None = None,
    ) -> dict[str, Any]:
        """MaskGrid of one adapter's mask, or of what two share: `count` outputs from `first` on; None: all."""
        names, masks = self._all(references, sparsity)
        if any(module not in each for each in masks):
            raise AdapterError("no_module_here", module=module[:120], name=names[0])
        if len(masks) == 2:
            _check_shapes(names, *masks)
        outputs = len(masks[0][module])
        first = min(first, outputs - 1)
        bits = [each[module].numpy()[first : first + (count or outputs)] for each in masks]
        step = -(-len(bits[0]) // BINS)
        panels = _panels(bits)
        return asdict(
            MaskGrid(
                names,
                module,
                outputs,
                first,
                step,
                {name: _rows(_pooled(panel, step).T) for name, panel in panels.items()},
                {name: _row(_pooled(panel, step).mean(axis=1)) for name, panel in panels.items()},
                {name: _row(panel.mean(axis=0)) for name, panel in panels.items()},
            )
        )

    def mask_file(self, reference: str, sparsity: Sparsity | None = None, form: MaskForm = "safetensors") -> str:
        """A file in the exports folder: a mask file (mask_files.py), which `lori train --mask` takes, or NumPy's NPZ.

        The NPZ has a bool array (out_features, rank) for each module, True where it is kept.
        """
        (folder,) = map(Path, self.shelf.folders([reference]))
        header, identity = read_header(folder)
        masks = self._masks(reference, sparsity)
        record = {"adapter": header.name, "adapter_id": identity, "base": header.record.get("base")}
        mask = Mask(masks, {key: value for key, value in record.items() if value is not None})
        name = re.sub(r"[^\w.+-]+", "-", reference.partition("/")[2])
        target = self.shelf.exports / f"{name}-{mask.sparsity:.3f}-mask.{form}"
        target.unlink(missing_ok=True)
        if form == "npz":
            arrays: dict[str, Any] = {module: bits.numpy() for module, bits in masks.items()}
            packed = BytesIO()
            np.savez_compressed(packed, **arrays)
            write_atomic(target, packed.getvalue())
        else:
            save_mask(mask, target)
        return str(target)

    def mask_magnitudes(self, reference: str, sparsity: Sparsity | None = None) -> dict[str, Any]:
        """Magnitudes of the dense run that lies beside the adapter.

        Raises:
            AdapterError: none does.
        """
        (folder,) = map(Path, self.shelf.folders([reference]))
        dense = _dense_of(folder, reference)
        masks, (_, values) = self._masks(reference, sparsity), _entries(dense, read_header(dense)[1])
        largest = max(each.abs().max().item() for each in values.values())
        top = np.log10(largest) if largest else 0.0
        edges = np.linspace(top - DECADES, top, STEPS + 1)
        kept, held = np.zeros(STEPS, dtype=np.int64), np.zeros(STEPS, dtype=np.int64)
        sizes = {module: each.abs().view(masks[module].shape) for module, each in values.items()}
        threshold = min((sizes[m][mask].min().item() for m, mask in masks.items() if bool(mask.any())), default=largest)
        smaller = larger = 0
        for module, mask in masks.items():
            logs = sizes[module].double().clamp(min=1e-30).log10().clamp(max=top).numpy()
            kept += np.histogram(logs[mask.numpy()].clip(min=edges[0]), edges)[0]
            held += np.histogram(logs[~mask.numpy()], edges)[0]
            smaller += int((logs[~mask.numpy()] < edges[0]).sum())
            larger += int((sizes[module][~mask] >= threshold).sum())
        whole = sum(mask.numel() for mask in masks.values())
        name, sparse = read_header(folder)[0].name, 1 - int(kept.sum()) / whole
        counts = (tuple(kept.tolist()), tuple(held.tolist()))
        return asdict(Magnitudes(name, sparse, tuple(edges.tolist()), *counts, smaller, threshold, larger))

    def mask_replay(self, reference: str) -> dict[str, Any] | None:
        """Calibration of the adapter's mask, look by look; None where no run keeps it."""
        (folder,) = map(Path, self.shelf.folders([reference]))
        place = calibration_of(folder) if reference.startswith(OF_RUNS) else None
        if place is None or not place.is_file():
            return None
        return asdict(from_json(Calibration, place.read_text(encoding="utf-8")))

    def mask_code(self, reference: str, beside: str = "", sparsity: Sparsity | None = None) -> str:
        """Python that has the same mask, in the lab's folder; and, where `beside` is RANDOM, that one too."""
        (folder,) = map(Path, self.shelf.folders([reference]))
        header, _ = read_header(folder)
        if _is_trained(header, sparsity):
            door, opened = _opened(reference)
            names, lines = [door], [f"masks = {opened}.masks"]
        else:
            dense = _dense_of(folder, reference)
            door, opened = _opened(f"{reference.rpartition('/')[0]}/{dense.name}" if dense != folder else reference)
            names = [door, "magnitude_masks"]
            whole = "{module: factors.B for module, factors in dense.factors.items()}"
            granularity = read_header(dense)[0].config.granularity
            lines = [f"dense = {opened}", f"masks = magnitude_masks({whole}, {sparsity}, {granularity!r})"]
        if beside == RANDOM:
            names.append("matched_masks")
            lines.append("random = matched_masks(masks, seed=0)")
        head = [f"from lori_core import {', '.join(sorted(names))}"]
        head += ["from lori_core.assets import ASSETS"] if reference.startswith("example/") else []
        return "\n".join([*head, "", *lines])

    def _all(
        self, references: Sequence[str], sparsity: float | None
    ) -> tuple[tuple[str, ...], list[dict[str, Tensor]]]:
        """Names, which tell them apart, and masks of one adapter or two."""
        first, *rest = references
        named = [first, *(each for each in rest if each != RANDOM)]
        names = told_apart([read_header(folder)[0].name for folder in self.shelf.folders(named)], named)
        masks = [self._masks(each, sparsity) for each in named]
        if RANDOM in rest:
            return (*names, RANDOM), [*masks, matched_masks(masks[0], seed=0)]
        return tuple(names), masks

    def _masks(self, reference: str, sparsity: float | None) -> dict[str, Tensor]:
        (folder,) = map(Path, self.shelf.folders([reference]))
        header, identity = read_header(folder)
        if _is_trained(header, sparsity):
            return _entries(folder, identity)[0]
        dense = _dense_of(folder, reference)
        return _thresholded(dense, read_header(dense)[1], sparsity)


def _is_trained(header: StoredAdapter, sparsity: float | None) -> bool:
    """Whether that is the sparsity at which the adapter was trained, to the whole percent."""
    return sparsity is None or (header.mask is not None and abs(sparsity - header.config.sparsity) < 0.005)


def dense_beside(folder: Path) -> Path | None:
    """The dense run that the adapter's mask comes from: itself for LoRI-D, else what a run or the lab keeps beside."""
    header, _ = read_header(folder)
    if header.config.train_projection or header.record.keys() & {"merge", "parents"}:
        return None  # a sum of several tasks, or what moved from where earlier tasks had left it
    if header.mask is None and header.version > 1:
        return folder
    if header.config.calibration != "dense":
        return None  # its mask ranks other things than |B|
    found = dense_run_of(folder)
    return found if found is not None and (found / "adapter.json").is_file() else None


def _dense_of(folder: Path, reference: str) -> Path:
    dense = dense_beside(folder)
    if dense is None:
        raise AdapterError("no_calibration", name=reference[:120])
    return dense


def _opened(reference: str) -> tuple[str, str]:
    """A name of the front door, and the expression by which it opens that adapter."""
    kind, _, rest = reference.partition("/")
    if kind == "store":
        return "AdapterStore", f"AdapterStore({'store'!r}).load({rest!r})"
    first, _, second = rest.partition("/")
    if kind == "ready":
        return "ready_made", f"ready_made({first!r}, {second!r})"
    if kind == "example":
        return "load_adapter", f"load_adapter(ASSETS / {f'examples/{first}/adapters/{second}'!r})"
    return "load_adapter", f"load_adapter({f'runs/{first}/adapters/{second}'!r})"


@lru_cache(maxsize=2)
def _entries(folder: Path, identity: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """One B of Llama-3-8B takes 44 MB of mask, dense ones 176 MB of values besides."""
    return load_entries(folder)


@lru_cache(maxsize=2)
def _thresholded(dense: Path, identity: str, sparsity: float) -> dict[str, Tensor]:
    """The mask of that calibration at another sparsity."""
    masks, values = _entries(dense, identity)
    header, _ = read_header(dense)
    B = {module: values[module].view(mask.shape) for module, mask in masks.items()}
    return magnitude_masks(B, sparsity, header.config.granularity)


def _check_shapes(names: Sequence[str], left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    if left.keys() != right.keys():
        raise IncompatibleAdapters("modules_differ", left=names[0], right=names[1])
    for module, mask in left.items():
        one, other = tuple(mask.shape), tuple(right[module].shape)
        if one != other:
            raise IncompatibleAdapters(
                "masks_differ", module=module, left_shape=one, right_shape=other, left=names[0], right=names[1]
            )


def _panels(bits: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """(outputs, rank) bool by what a cell of it means."""
    if len(bits) == 1:
        return {"kept": bits[0]}
    left, right = bits
    return {"shared": left & right, "left": left & ~right, "right": right & ~left}


def _pooled(bits: np.ndarray, step: int) -> np.ndarray:
    """(cells, rank): mean over `step` outputs; the last cell has what is left."""
    starts = np.arange(0, len(bits), step)
    counts = np.minimum(step, len(bits) - starts)
    return np.add.reduceat(bits, starts, axis=0, dtype=np.int64) / counts[:, None]


def _rows(cells: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(map(_row, cells))


def _row(values: np.ndarray) -> tuple[float, ...]:
    """Four decimals: what a reader sees, in a third of the text."""
    return tuple(values.round(4).tolist())
