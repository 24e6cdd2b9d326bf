"""An adapter on disk: a folder that is whole or absent, and refused where one byte of it is not as it was saved.

    adapter.json       name, config, record, software versions; of each module shape, rank, scaling, checksum of A
    lori.safetensors   "<module>.values" (kept,), "<module>.mask" bits, "<module>.A" where it cannot be drawn again

A mask that is True everywhere is left out. A is left out where drawing it again gives the same bits on every machine;
its checksum is always there and always checked.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from lori_core import __version__
from lori_core.adapter import Adapter, Factors
from lori_core.config import AdapterConfig, Config, Precision
from lori_core.errors import AdapterError, ConfigError
from lori_core.files import folder_atomic, write_atomic
from lori_core.projection import PORTABLE, checksum, draw

FORMAT_VERSION = 1

_DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


class StoredModule(Config):
    """What adapter.json says about one module."""

    out_features: int = Field(ge=1)
    in_features: int = Field(ge=1)
    rank: int = Field(ge=1)
    kept: int = Field(ge=0)  # entries of B that the mask keeps
    scaling: float
    drawn: bool  # True: A is drawn again; False: it is in the file
    checksum: str  # of A, as projection.checksum makes it


class StoredAdapter(Config):
    """adapter.json, without its own checksum."""

    version: int
    name: str
    config: AdapterConfig
    record: dict[str, Any]
    software: dict[str, str]
    dtype: Precision  # of the values, and of A where it was trained
    modules: dict[str, StoredModule]
    tensors: str  # sha256 of lori.safetensors


def save_adapter(adapter: Adapter, folder: str | Path, dtype: Precision = "bf16") -> None:
    """Writes the adapter to a new folder.

    Args:
        dtype: what the values are rounded to, and A where it was trained; any other A keeps its bits.
    Raises:
        StorageError: the folder exists (a saved adapter never changes), or the disk refused.
    """
    tensors: dict[str, Tensor] = {}
    modules: dict[str, StoredModule] = {}
    for module, factors in adapter.factors.items():
        modules[module], found = _stored(adapter, module, factors, _DTYPES[dtype])
        tensors |= {f"{module}.{part}": tensor for part, tensor in found.items()}
    data = save(tensors)
    header = StoredAdapter(
        version=FORMAT_VERSION,
        name=adapter.name,
        config=adapter.config,
        record=adapter.record,
        software=software_versions(),
        dtype=dtype,
        modules=modules,
        tensors=hashlib.sha256(data).hexdigest(),
    ).model_dump()
    text = json.dumps(header | {"checksum": _header_checksum(header)}, ensure_ascii=False, indent=1)
    with folder_atomic(folder) as temporary:
        write_atomic(temporary / "lori.safetensors", data)
        write_atomic(temporary / "adapter.json", text)


def load_adapter(folder: str | Path) -> Adapter:
    """The adapter in a folder, values and A as fp32.

    Raises:
        AdapterError: there is none, its format is of another version, or anything in it is not as it was saved.
    """
    folder = Path(folder)
    header = _read_header(folder / "adapter.json")
    tensors = _read_tensors(folder / "lori.safetensors", header)
    factors = {
        module: _factors(folder, header, module, {part: tensors[f"{module}.{part}"] for part in _parts(stored)})
        for module, stored in header.modules.items()
    }
    return Adapter(header.name, header.config, factors, header.record)


def software_versions() -> dict[str, str]:
    """What adapters are made with, for their records."""
    packages = {name: version(name) for name in ("torch", "transformers", "numpy", "safetensors")}
    return {"lori_core": __version__, "python": platform.python_version()} | packages


def _stored(
    adapter: Adapter, module: str, factors: Factors, dtype: torch.dtype
) -> tuple[StoredModule, dict[str, Tensor]]:
    """The description of one module, and its tensors by part."""
    out_features, in_features = factors.shape
    A = factors.A.to(dtype) if adapter.config.train_projection else factors.A
    stored = StoredModule(
        out_features=out_features,
        in_features=in_features,
        rank=factors.rank,
        kept=factors.values.numel(),
        scaling=factors.scaling,
        drawn=_can_be_drawn(adapter, module, factors),
        checksum=checksum(A),
    )
    parts = {"values": factors.values.to(dtype), "mask": _to_bits(factors.mask), "A": A}
    # Cloned, since modules may share one A, and safetensors refuses shared memory.
    return stored, {part: parts[part].clone(memory_format=torch.contiguous_format) for part in _parts(stored)}


def _can_be_drawn(adapter: Adapter, module: str, factors: Factors) -> bool:
    """Whether config and name give this A again, tried out: that of a merge or a sequence may be another."""
    config = adapter.config
    if config.train_projection or config.projection not in PORTABLE:
        return False
    return torch.equal(factors.A, draw(config, adapter.name, module, factors.shape[1]))


def _parts(stored: StoredModule) -> list[str]:
    """The tensors that the file holds for a module."""
    masked = stored.kept < stored.out_features * stored.rank
    return ["values"] + ["mask"] * masked + ["A"] * (not stored.drawn)


def _read_header(path: Path) -> StoredAdapter:
    try:
        content = json.loads(path.read_bytes())
        if (found := content["version"]) != FORMAT_VERSION:
            raise AdapterError("unknown_adapter_version", path=path.parent, version=found, known=FORMAT_VERSION)
        if content.pop("checksum") != _header_checksum(content):
            raise AdapterError("adapter_changed", path=path)
        return StoredAdapter(**content)
    except (FileNotFoundError, NotADirectoryError):
        raise AdapterError("no_adapter", path=path.parent) from None
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise AdapterError("adapter_unreadable", path=path, reason=error) from None


def _read_tensors(path: Path, header: StoredAdapter) -> dict[str, Tensor]:
    """All tensors of the file, exactly those that the header asks for."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise AdapterError("no_adapter", path=path.parent) from None
    if hashlib.sha256(data).hexdigest() != header.tensors:
        raise AdapterError("adapter_changed", path=path)
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise AdapterError("adapter_unreadable", path=path, reason=error) from None
    expected = {f"{module}.{part}" for module, stored in header.modules.items() for part in _parts(stored)}
    if different := sorted(expected ^ tensors.keys()):
        raise AdapterError("adapter_tensors", path=path, expected=len(expected), got=len(tensors), first=different[0])
    return tensors


def _factors(folder: Path, header: StoredAdapter, module: str, parts: Mapping[str, Tensor]) -> Factors:
    stored = header.modules[module]
    shape = (stored.out_features, stored.rank)
    dtype = _DTYPES[header.dtype]
    expected = {
        "values": ((stored.kept,), dtype),
        "mask": ((-(-stored.out_features * stored.rank // 8),), torch.uint8),
        "A": ((stored.rank, stored.in_features), dtype if header.config.train_projection else torch.float32),
    }
    for part, tensor in parts.items():
        if (found := (tuple(tensor.shape), tensor.dtype)) != expected[part]:
            name = f"{module}.{part}"
            raise AdapterError("adapter_tensor", path=folder, tensor=name, got=found, expected=expected[part])
    mask = _from_bits(parts["mask"], shape) if "mask" in parts else torch.ones(shape, dtype=torch.bool)
    if (kept := int(mask.sum())) != stored.kept:
        raise AdapterError("adapter_mask", path=folder, module=module, got=kept, expected=stored.kept)
    A = draw(header.config, header.name, module, stored.in_features) if stored.drawn else parts["A"].float()
    if A.shape != (stored.rank, stored.in_features) or checksum(A) != stored.checksum:
        raise AdapterError("adapter_projection", path=folder, module=module)
    return Factors(A, parts["values"].float(), mask, stored.scaling)


def _header_checksum(header: Mapping[str, Any]) -> str:
    """sha256 of the content, however it is indented."""
    return hashlib.sha256(json.dumps(header).encode()).hexdigest()


def _to_bits(mask: Tensor) -> Tensor:
    """(out_features, rank) bool -> (ceil(N / 8),) uint8, row-major, the first entry in the lowest bit."""
    return torch.from_numpy(np.packbits(mask.numpy().reshape(-1), bitorder="little"))


def _from_bits(bits: Tensor, shape: tuple[int, int]) -> Tensor:
    entries = np.unpackbits(bits.numpy(), count=shape[0] * shape[1], bitorder="little")
    return torch.from_numpy(entries.astype(bool)).reshape(shape)
