"""Mask files: a mask calibrated once, used by many adapters, handed out alone.

    <name>.safetensors   tensor "masks", packed (packing.py); in the metadata "lori_mask": a JSON text of shapes, id,
                         record and the tensor's sha256, and "checksum": the text's sha256

The id is the checksum of modules, shapes and bits (masks.mask_id); adapters name it. docs/format.md has every byte.
"""

import errno
import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveInt
from safetensors.torch import save
from torch import Tensor

from lori_core.config import Config
from lori_core.errors import AdapterError, ConfigError, StorageError
from lori_core.files import parse_json, read_file, write_atomic
from lori_core.method.masks import Masks, mask_id
from lori_core.storage.packing import pack_masks, unpack_masks
from lori_core.storage.tensors import read_metadata, read_tensors

FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class Mask:
    """masks: module -> (out_features, rank) bool; record: how it was calibrated, JSON values only."""

    masks: Masks
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return mask_id(self.masks)

    @property
    def sparsity(self) -> float:
        """Fraction of all entries that it holds at zero."""
        kept = sum(mask.count_nonzero().item() for mask in self.masks.values())
        return 1 - kept / sum(mask.numel() for mask in self.masks.values())


class StoredMask(Config):
    """The JSON text in the file's metadata."""

    version: int
    shapes: dict[str, tuple[PositiveInt, PositiveInt]] = Field(min_length=1)  # module -> (out_features, rank)
    sparsity: float
    id: str
    record: dict[str, Any]
    tensor: str  # sha256 of the packed masks


def save_mask(mask: Mask, path: str | Path) -> None:
    """Writes a new file.

    Raises:
        StorageError: something is at `path` already (a saved mask never changes), or the disk refused.
    """
    if (path := Path(path)).exists():
        raise StorageError("path_taken", path=path, reason=os.strerror(errno.EEXIST))
    packed = pack_masks(mask.masks)
    header = StoredMask(
        version=FORMAT_VERSION,
        shapes={module: (each.shape[0], each.shape[1]) for module, each in mask.masks.items()},
        sparsity=mask.sparsity,
        id=mask.id,
        record=mask.record,
        tensor=_checksum(packed.numpy().data),
    )
    text = json.dumps(header.model_dump(), ensure_ascii=False)
    write_atomic(path, save({"masks": packed}, {"lori_mask": text, "checksum": _checksum(text.encode())}))


def load_mask(path: str | Path) -> Mask:
    """The mask in a file.

    Raises:
        AdapterError: there is none, or anything in it is not as it was saved.
    """
    path = Path(path)
    try:
        data = read_file(path)
        packed, metadata = read_tensors(data)["masks"], read_metadata(data)
        return _mask(path, metadata["lori_mask"], metadata["checksum"], packed)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise AdapterError("no_mask", path=path) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise AdapterError("mask_unreadable", path=path, reason=error) from None


def _mask(path: Path, text: str, checksum: str, packed: Tensor) -> Mask:
    if _checksum(text.encode()) != checksum:
        raise AdapterError("mask_changed", path=path)
    content = parse_json(text)
    if content["version"] != FORMAT_VERSION:
        raise AdapterError("unknown_mask_version", path=path, version=content["version"], known=FORMAT_VERSION)
    header = StoredMask(**content)
    if _checksum(packed.contiguous().numpy().data) != header.tensor:
        raise AdapterError("mask_changed", path=path)
    try:
        mask = Mask(unpack_masks(packed, header.shapes), header.record)
    except AdapterError as error:
        raise AdapterError("mask_unreadable", path=path, reason=error) from None
    if mask.id != header.id or not math.isclose(mask.sparsity, header.sparsity, abs_tol=1e-9):
        raise AdapterError("mask_changed", path=path)
    return mask


def _checksum(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()
