"""Header of an adapter's folder: adapter.json, what a saved adapter says about itself. Reads no tensor, needs no torch.

adapter_files.py writes and reads the folder; docs/format.md describes both of its files byte for byte.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from lori_core.config import LARGEST_RANK, LARGEST_SCALING, AdapterConfig, Config, Precision, ProjectionSource
from lori_core.errors import AdapterError, ConfigError
from lori_core.files import LARGEST_JSON, parse_json, read_file
from lori_core.storage.sealed import checksum_of, text_of

# 1 held "<module>.values" and "<module>.mask" as they are; it is read and no longer written. 3 is 2 with rows of
# conditioned As, and written only where there are some.
FORMAT_VERSION, WITH_ROWS = 2, 3
KNOWN_VERSIONS = (1, FORMAT_VERSION, WITH_ROWS)
HEADER = "adapter.json"


class StoredModule(Config):
    """What adapter.json says about one module."""

    out_features: int = Field(ge=1)
    in_features: int = Field(ge=1)
    rank: int = Field(ge=1, le=LARGEST_RANK)
    kept: int = Field(ge=0)  # entries of B that the mask keeps
    scaling: float = Field(ge=-LARGEST_SCALING, le=LARGEST_SCALING)
    drawn: bool  # True: A is drawn again; False: it is in the file
    rows: str | None = None  # a conditioned A: the module under whose name the file holds its rows
    checksum: str  # of A, as projection.checksum makes it

    @model_validator(mode="after")
    def _is_possible(self) -> "StoredModule":
        if self.kept > self.out_features * self.rank:
            raise ValueError(f"B has {self.out_features * self.rank} entries")
        return self

    @property
    def masked(self) -> bool:
        return self.kept < self.out_features * self.rank


class StoredAdapter(Config):
    """adapter.json, without its own checksum."""

    version: int
    name: str
    config: AdapterConfig
    record: dict[str, Any]
    software: dict[str, str]
    dtype: Precision  # of the values, and of A where it was trained
    drawn_from: tuple[ProjectionSource, ...]  # what the drawn A come from
    mask: str | None  # masks.mask_id of all masks together; None: all are True everywhere
    modules: dict[str, StoredModule] = Field(min_length=1)
    tensors: str  # sha256 of lori.safetensors


def read_header(folder: str | Path) -> tuple[StoredAdapter, str]:
    """adapter.json and its checksum, which covers the tensors' one: the id of the adapter. Reads no tensor.

    Raises:
        AdapterError: there is none, its format is of another version, or it is not as it was saved.
    """
    path = Path(folder) / HEADER
    try:
        data = read_file(path, LARGEST_JSON)
        content = parse_json(data)
        if (found := content["version"]) not in KNOWN_VERSIONS:
            known = " or ".join(map(str, KNOWN_VERSIONS))
            raise AdapterError("unknown_adapter_version", path=path.parent, version=found, known=known)
        text = text_of(content).encode()
        as_saved = found == 1 or text == data
        if (identity := content.pop("checksum")) != checksum_of(content) or not as_saved:
            raise AdapterError("adapter_changed", path=path)
        return StoredAdapter(**(_as_now(content) if found == 1 else content)), identity
    except (FileNotFoundError, NotADirectoryError):
        raise AdapterError("no_adapter", path=path.parent) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ConfigError) as error:
        raise AdapterError("adapter_unreadable", path=path, reason=error) from None


def _as_now(content: dict[str, Any]) -> dict[str, Any]:
    """The description with what it lacks: its A were drawn for its own name, its mask had no id."""
    from lori_core.method.projection import source_of  # imports torch, which a list of adapters need not wait for

    drawings = source_of(AdapterConfig(**content["config"]), content["name"])
    return content | {"drawn_from": drawings, "mask": None}
