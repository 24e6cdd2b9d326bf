"""Adapter files: a folder that is whole or absent, and refused where one byte of it is not as it was saved.

    adapter.json       name, config, record, software versions; of each module shape, rank, scaling, checksum of A
    lori.safetensors   "masks", "exponents", "fractions" of all modules (packing.py); "<module>.A" where A is not drawn

A mask that is True everywhere is left out. A is left out where drawing it again gives the same bits on every machine; a
conditioned one is stored as the integers that it is made from, "<module>.W" and "<module>.e", once for all modules that
share it. Its checksum is always there and always checked. docs/format.md describes both files byte for byte.
"""

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from lori_core import __version__
from lori_core.config import Precision
from lori_core.errors import AdapterError
from lori_core.files import folder_atomic, read_file
from lori_core.method.adapter import Adapter, Factors
from lori_core.method.conditioned import StoredRows, recover_rows
from lori_core.method.masks import mask_id
from lori_core.method.projection import checksum, redraw
from lori_core.storage.header import FORMAT_VERSION, HEADER, WITH_ROWS, StoredAdapter, StoredModule, read_header
from lori_core.storage.packing import pack_masks, pack_values, unpack_masks, unpack_values
from lori_core.storage.records import readable
from lori_core.storage.sealed import write_sealed
from lori_core.storage.tensors import read_tensors

# Entries of A that are drawn for each byte of the tensors' file, and those that are drawn beside any. A byte holds the
# mask of 64 entries of B at most (packing.py), and B is about as large as A: what is drawn follows from what is there.
DRAWN_PER_BYTE, DRAWN_ANYWAY = 64, 2**22
_DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


def save_adapter(adapter: Adapter, folder: str | Path, dtype: Precision = "bf16") -> None:
    """Writes the adapter to a new folder.

    Args:
        dtype: what the values are rounded to, and A where it was trained; any other A keeps its bits.
    Raises:
        StorageError: the folder exists (a saved adapter never changes), or the disk refused.
    """
    modules, As = _described(adapter, _DTYPES[dtype])
    masked = {module: adapter.masks[module] for module, stored in modules.items() if stored.masked}
    values = torch.cat([torch.zeros(0), *(factors.values for factors in adapter.factors.values())])
    tensors = pack_values(values, dtype) | ({"masks": pack_masks(masked)} if masked else {})
    if _drawn(modules) > _may_be_drawn(sum(map(len, tensors.values()))):
        modules, As = _described(adapter, _DTYPES[dtype], draws=False)
    data = save(tensors | As)
    with_rows = any(each.rows for each in modules.values())
    header = StoredAdapter(
        version=WITH_ROWS if with_rows else FORMAT_VERSION,
        name=adapter.name,
        config=adapter.config,
        record={key: value for key, value in adapter.record.items() if key not in ("id", "version")},
        software=software_versions(),
        dtype=dtype,
        drawn_from=adapter.drawn_from,
        mask=mask_id(adapter.masks) if masked else None,
        modules=modules,
        tensors=hashlib.sha256(data).hexdigest(),
    ).model_dump(exclude={} if with_rows else {"modules": {"__all__": {"rows"}}})
    with folder_atomic(folder) as temporary:
        write_sealed(temporary / HEADER, header, temporary / "lori.safetensors", data)


def load_adapter(folder: str | Path) -> Adapter:
    """The adapter in a folder, values and A as fp32; its record's "id" is the checksum of all that was saved.

    Raises:
        AdapterError: there is none, its format is of another version, or anything in it is not as it was saved.
    """
    folder = Path(folder)
    header, identity = read_header(folder)
    tensors = _read_tensors(folder / "lori.safetensors", header)
    masks, values = _checked(folder, header, tensors)
    factors = {}
    for module, stored in header.modules.items():
        A = _projection(folder, header, module, tensors)
        factors[module] = Factors(A, values[module], masks[module], stored.scaling)
    record = readable(header.record) | {"id": identity}
    return Adapter(header.name, header.config, factors, record, header.drawn_from)


def load_entries(folder: str | Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """B without A, which takes longest: module -> mask, module -> kept values in row-major order, as in Factors.

    Raises:
        AdapterError: as load_adapter, but of A nothing is checked.
    """
    folder = Path(folder)
    header, _ = read_header(folder)
    masks, values = _checked(folder, header, _read_tensors(folder / "lori.safetensors", header))
    return {module: masks[module] for module in header.modules}, values


def software_versions() -> dict[str, str]:
    """What adapters are made with, for their records."""
    packages = {name: version(name) for name in ("torch", "transformers", "numpy", "safetensors")}
    return {"lori_core": __version__, "python": platform.python_version()} | packages


def _described(
    adapter: Adapter, dtype: torch.dtype, draws: bool = True
) -> tuple[dict[str, StoredModule], dict[str, Tensor]]:
    """The description of each module, and each A that has to be stored; all of them where `draws` is False."""
    modules, tensors = {}, {}
    holders: dict[str, str] = {}  # checksum of A -> the module under which its rows are stored
    for module, factors in adapter.factors.items():
        out_features, in_features = factors.shape
        A = factors.A.to(dtype) if adapter.config.train_projection else factors.A
        modules[module] = StoredModule(
            out_features=out_features,
            in_features=in_features,
            rank=factors.rank,
            kept=factors.values.numel(),
            scaling=factors.scaling,
            drawn=draws and _can_be_drawn(adapter, module, factors),
            checksum=checksum(A),
        )
        if modules[module].drawn:
            continue
        rows = _rows_of(adapter, A) if draws else None
        if rows is None:
            # Cloned, since modules may share one A, and safetensors refuses shared memory.
            tensors[f"{module}.A"] = A.clone(memory_format=torch.contiguous_format)
            continue
        holder = holders.setdefault(modules[module].checksum, module)
        modules[module] = modules[module].changed(rows=holder)
        tensors |= {f"{holder}.W": rows.W, f"{holder}.e": rows.exponents}
    return modules, tensors


def _rows_of(adapter: Adapter, A: Tensor) -> StoredRows | None:
    """The integers that a conditioned A was made from, tried out."""
    if adapter.config.projection != "conditioned" or adapter.config.train_projection:
        return None
    directions = adapter.config.directions
    narrow = recover_rows(A, None)
    return narrow if narrow or directions >= A.shape[1] else recover_rows(A, directions)


def _can_be_drawn(adapter: Adapter, module: str, factors: Factors) -> bool:
    """Whether drawing gives this A again, tried out: one that came from elsewhere may have replaced it."""
    if not adapter.drawn_from or sum(each.rank for each in adapter.drawn_from) != factors.rank:
        return False
    A = redraw(adapter.drawn_from, module, factors.shape[1])
    return factors.A.shape == A.shape and torch.equal(factors.A.view(torch.int32), A.view(torch.int32))


def _drawn(modules: Mapping[str, StoredModule]) -> int:
    """Entries of all A that are not in the file as they are."""
    return sum(each.rank * each.in_features for each in modules.values() if each.drawn or each.rows)


def _may_be_drawn(size: int) -> int:
    """Beside a file of so many bytes."""
    return DRAWN_ANYWAY + DRAWN_PER_BYTE * size


def _masked(header: StoredAdapter) -> dict[str, tuple[int, int]]:
    """module -> (out_features, rank) of those whose mask is in the file."""
    return {module: (m.out_features, m.rank) for module, m in header.modules.items() if m.masked}


def _expected(header: StoredAdapter) -> set[str]:
    """Names of the tensors that the file must hold."""
    stored = {f"{module}.A" for module, each in header.modules.items() if not each.drawn and not each.rows}
    stored |= {f"{each.rows}.{part}" for each in header.modules.values() if each.rows for part in ("W", "e")}
    if header.version == 1:
        masks = {f"{module}.mask" for module in _masked(header)}
        return stored | masks | {f"{module}.values" for module in header.modules}
    return stored | {"exponents", "fractions"} | ({"masks"} if _masked(header) else set())


def _read_tensors(path: Path, header: StoredAdapter) -> dict[str, Tensor]:
    """All tensors of the file, exactly those that the header asks for; what it draws is in proportion to them."""
    try:
        data = read_file(path)
        if hashlib.sha256(data).hexdigest() != header.tensors:
            raise AdapterError("adapter_changed", path=path)
        tensors = read_tensors(data)
    except FileNotFoundError:
        raise AdapterError("no_adapter", path=path.parent) from None
    except (OSError, ValueError) as error:
        raise AdapterError("adapter_unreadable", path=path, reason=error) from None
    if (drawn := _drawn(header.modules)) > _may_be_drawn(len(data)):
        raise AdapterError("adapter_claims", path=path.parent, drawn=drawn, bytes=len(data))
    expected = _expected(header)
    if different := sorted(expected ^ tensors.keys()):
        raise AdapterError("adapter_tensors", path=path, expected=len(expected), got=len(tensors), first=different[0])
    return tensors


def _checked(
    folder: Path, header: StoredAdapter, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """module -> mask and module -> values; the masks are those that the description names."""
    masks, values = _unpacked(folder, header, tensors)
    if header.version > 1 and header.mask != (mask_id(masks) if _masked(header) else None):
        raise AdapterError("adapter_mask_id", path=folder, got=header.mask)
    return masks, values


def _unpacked(
    folder: Path, header: StoredAdapter, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """module -> mask and module -> values, which fit each other and the description."""
    masked, kept = _masked(header), {module: stored.kept for module, stored in header.modules.items()}
    try:
        if header.version == 1:
            masks, values = _unpacked_as_1(header, tensors)
        else:
            masks = unpack_masks(tensors["masks"], masked) if masked else {}
            row = unpack_values(tensors["exponents"], tensors["fractions"], header.dtype)
            if len(row) != sum(kept.values()):
                raise AdapterError("packed_size", got=len(row), expected=sum(kept.values()))
            values = {m: v.clone() for m, v in zip(kept, row.split(list(kept.values())), strict=True)}
    except AdapterError as error:
        raise AdapterError("adapter_unreadable", path=folder / "lori.safetensors", reason=error) from None
    for module, mask in masks.items():
        if (found := np.count_nonzero(mask.numpy())) != kept[module]:
            raise AdapterError("adapter_mask", path=folder, module=module, got=found, expected=kept[module])
    everywhere = {
        m: torch.ones(s.out_features, s.rank, dtype=torch.bool) for m, s in header.modules.items() if not s.masked
    }
    return masks | everywhere, values


def _projection(folder: Path, header: StoredAdapter, module: str, tensors: Mapping[str, Tensor]) -> Tensor:
    """A of one module, fp32, stored, drawn again, or made again from its rows."""
    stored = header.modules[module]
    shape, A = (stored.rank, stored.in_features), tensors.get(f"{module}.A")
    if stored.rows:
        A = _expanded(folder, stored, tensors[f"{stored.rows}.W"], tensors[f"{stored.rows}.e"])
    elif A is None:
        if sum(each.rank for each in header.drawn_from) != stored.rank:
            raise AdapterError("adapter_projection", path=folder, module=module)
        A = redraw(header.drawn_from, module, stored.in_features)
    else:
        expected = (shape, _DTYPES[header.dtype] if header.config.train_projection else torch.float32)
        if (found := (tuple(A.shape), A.dtype)) != expected:
            raise AdapterError("adapter_tensor", path=folder, tensor=f"{module}.A", got=found, expected=expected)
    if checksum(A) != stored.checksum:
        raise AdapterError("adapter_projection", path=folder, module=module)
    return A.float()


def _expanded(folder: Path, stored: StoredModule, W: Tensor, exponents: Tensor) -> Tensor:
    fits = W.dim() == 2 and len(W) == stored.rank and 0 < W.shape[1] <= stored.in_features
    if not fits or exponents.shape != (stored.rank,) or {W.dtype, exponents.dtype} != {torch.int16}:
        found, expected = (tuple(W.shape), W.dtype), ((stored.rank, "..."), torch.int16)
        raise AdapterError("adapter_tensor", path=folder, tensor=f"{stored.rows}.W", got=found, expected=expected)
    return StoredRows(W, exponents).expand(stored.in_features)


# --- format version 1


def _unpacked_as_1(header: StoredAdapter, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """module -> mask and module -> values of tensors that are named "<module>.mask" and "<module>.values"."""
    masks, values = {}, {}
    for module, (out_features, rank) in _masked(header).items():
        bits = tensors[f"{module}.mask"]
        if (found := (tuple(bits.shape), bits.dtype)) != (expected := ((-(-out_features * rank // 8),), torch.uint8)):
            raise AdapterError("packed_tensor", tensor=f"{module}.mask", got=found, expected=expected)
        entries = np.unpackbits(bits.numpy(), count=out_features * rank, bitorder="little")
        masks[module] = torch.from_numpy(entries.view(bool)).reshape(out_features, rank)
    for module, stored in header.modules.items():
        row = tensors[f"{module}.values"]
        if (found := (tuple(row.shape), row.dtype)) != (expected := ((stored.kept,), _DTYPES[header.dtype])):
            raise AdapterError("packed_tensor", tensor=f"{module}.values", got=found, expected=expected)
        values[module] = row.float()
    return masks, values
