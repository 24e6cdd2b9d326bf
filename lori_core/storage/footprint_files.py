"""Footprint files: a folder that is whole or absent, and refused where one byte of it is not as it was saved.

    footprint.json           name, record, tokens; module -> the input it reads; of each input its widths and energy
    footprint.safetensors    "factors": the lower triangles of all inputs' factors, fp16, row by row, behind each other

At Llama-3-8B's shapes and 256 directions that is 8.4 MB. docs/format.md describes both files byte for byte.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, model_validator
from safetensors.torch import save
from torch import Tensor

from lori_core.config import Config
from lori_core.errors import AdapterError, ConfigError
from lori_core.files import LARGEST_JSON, folder_atomic, parse_json, read_file
from lori_core.method.footprint import Footprint, Moments
from lori_core.storage.adapter_files import software_versions
from lori_core.storage.records import readable
from lori_core.storage.sealed import checksum_of, text_of, write_sealed
from lori_core.storage.tensors import read_tensors

FORMAT_VERSION = 1
HEADER, TENSORS = "footprint.json", "footprint.safetensors"
LARGEST_ENERGY = 2.0**64  # of an input, a token; squares of it stay far within fp64

# Entries of R that may be drawn for one input for each byte of the tensors' file, and those that may be beside any.
ROWS_PER_BYTE, ROWS_ANYWAY = 64, 2**22


class StoredMoments(Config):
    """What footprint.json says about one input."""

    in_features: int = Field(ge=1)
    directions: int = Field(ge=1)  # m; of an input whose whole C is known as many as in_features
    energy: float = Field(gt=0, le=LARGEST_ENERGY)

    @model_validator(mode="after")
    def _is_possible(self) -> "StoredMoments":
        if self.directions > self.in_features:
            raise ValueError(f"an input of {self.in_features} features has no more directions")
        return self

    @property
    def entries(self) -> int:
        """Of the lower triangle."""
        return self.directions * (self.directions + 1) // 2


class StoredFootprint(Config):
    """footprint.json, without its own checksum."""

    version: int
    name: str
    record: dict[str, Any]
    software: dict[str, str]
    tokens: int = Field(ge=1)
    inputs: dict[str, str] = Field(min_length=1)  # module -> the one under whose name its input's moments stand
    moments: dict[str, StoredMoments]
    tensors: str  # sha256 of footprint.safetensors

    @model_validator(mode="after")
    def _is_possible(self) -> "StoredFootprint":
        if set(self.inputs.values()) != self.moments.keys():
            raise ValueError("the moments are not those of the inputs")
        return self


def save_footprint(footprint: Footprint, folder: str | Path) -> None:
    """Writes the footprint to a new folder.

    Raises:
        StorageError: the folder exists (a saved footprint never changes), or the disk refused.
    """
    packed = [_triangle(each.factor) for each in footprint.moments.values()]
    data = save({"factors": torch.cat(packed)})
    header = StoredFootprint(
        version=FORMAT_VERSION,
        name=footprint.name,
        record={key: value for key, value in footprint.record.items() if key not in ("id", "version")},
        software=software_versions(),
        tokens=footprint.tokens,
        inputs=dict(footprint.inputs),
        moments={
            source: StoredMoments(in_features=each.in_features, directions=len(each.factor), energy=each.energy)
            for source, each in footprint.moments.items()
        },
        tensors=hashlib.sha256(data).hexdigest(),
    ).model_dump()
    with folder_atomic(folder) as temporary:
        write_sealed(temporary / HEADER, header, temporary / TENSORS, data)


def load_footprint(folder: str | Path) -> Footprint:
    """The footprint in a folder; its record's "id" is the checksum of all that was saved.

    Raises:
        AdapterError: there is none, its format is of another version, or anything in it is not as it was saved.
    """
    header, identity = read_footprint_header(folder)
    factors = _factors(Path(folder) / TENSORS, header)
    moments = {source: Moments(factors[source], m.in_features, m.energy) for source, m in header.moments.items()}
    record = readable(header.record) | {"id": identity}
    return Footprint(header.name, header.inputs, moments, header.tokens, record)


def read_footprint_header(folder: str | Path) -> tuple[StoredFootprint, str]:
    """footprint.json and its checksum, which covers the tensors' one. Reads no tensor.

    Raises:
        AdapterError: there is none, its format is of another version, or it is not as it was saved.
    """
    path = Path(folder) / HEADER
    try:
        data = read_file(path, LARGEST_JSON)
        content = parse_json(data)
        if (found := content["version"]) != FORMAT_VERSION:
            raise AdapterError("unknown_footprint_version", path=path.parent, version=found, known=FORMAT_VERSION)
        as_saved = text_of(content).encode() == data
        if (identity := content.pop("checksum")) != checksum_of(content) or not as_saved:
            raise AdapterError("footprint_changed", path=path)
        return StoredFootprint(**content), identity
    except (FileNotFoundError, NotADirectoryError):
        raise AdapterError("no_footprint", path=path.parent) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ConfigError) as error:
        raise AdapterError("footprint_unreadable", path=path, reason=error) from None


def _factors(path: Path, header: StoredFootprint) -> dict[str, Tensor]:
    """Input -> factor (m, m) fp16; what the header claims is held against the bytes before anything is made of it."""
    try:
        data = read_file(path)
        if hashlib.sha256(data).hexdigest() != header.tensors:
            raise AdapterError("footprint_changed", path=path)
        tensors = read_tensors(data)
    except FileNotFoundError:
        raise AdapterError("no_footprint", path=path.parent) from None
    except (OSError, ValueError) as error:
        raise AdapterError("footprint_unreadable", path=path, reason=error) from None
    entries = {source: each.entries for source, each in header.moments.items()}
    found = {name: (tuple(each.shape), each.dtype) for name, each in tensors.items()}
    if found != (expected := {"factors": ((sum(entries.values()),), torch.float16)}):
        raise AdapterError("footprint_tensors", path=path, got=found, expected=expected)
    most = ROWS_ANYWAY + ROWS_PER_BYTE * len(data)
    for source, each in header.moments.items():
        if each.directions < each.in_features and each.directions * each.in_features > most:
            raise AdapterError("footprint_claims", path=path.parent, module=source, width=each.in_features)
    rows = dict(zip(entries, tensors["factors"].split(list(entries.values())), strict=True))
    for source, row in rows.items():
        if not (row.isfinite().all() and row.any()):
            raise AdapterError("footprint_values", path=path, module=source)
    return {source: _square(row, header.moments[source].directions) for source, row in rows.items()}


def _triangle(factor: Tensor) -> Tensor:
    """(m, m), lower triangular -> (m (m + 1) / 2,), row by row."""
    return factor[tuple(torch.tril_indices(*factor.shape))]


def _square(row: Tensor, directions: int) -> Tensor:
    factor = row.new_zeros(directions, directions)
    factor[tuple(torch.tril_indices(directions, directions))] = row
    return factor
