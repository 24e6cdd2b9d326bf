"""Uploads: adapters as a zip archive or as files, in PEFT's format, as LoRI's authors publish, or ours.

An archive is not trusted: it is looked through before a byte is written, and only the files that an adapter consists of
are taken out of it, into a folder of our own. What they hold is checked by the readers of each format.
"""

import os
import re
import shutil
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from lori_core.config import Precision
from lori_core.errors import AdapterError, LoRIError
from lori_core.files import open_plain, refusals
from lori_core.method.adapter import Adapter
from lori_core.storage.adapter_files import load_adapter
from lori_core.storage.peft import import_peft
from lori_core.storage.published import as_lori, has_mask, import_published

UploadFormat = Literal["peft", "lori"]

LARGEST = 4 * 2**30  # bytes of an archive's files, unpacked
MOST = 2000  # entries of an archive
# Trained numbers hardly shrink, masks of a byte an entry do by 17 at most: bytes that an archive may unpack to for each
# of its own, and those that any may.
UNPACKED_PER_BYTE, UNPACKED_ANYWAY = 20, 2**24
_HEADS = ("adapter_config.json", "adapter.json")  # the file that says that a folder is an adapter
_FILES = (*_HEADS, "adapter_model.safetensors", "adapter_model.bin", "lori.safetensors")
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MASK = re.compile(r"[\d.]+_mask\.pt")


def unpack(files: Sequence[Path], into: Path) -> None:
    """The adapter's files, from one zip archive or as they are, in the new folder `into`.

    Raises:
        AdapterError: it is no archive, a hostile one (names that leave the folder, links, too large), or holds no
            adapter or several. StorageError: the disk refused. Nothing is left.
    """
    with refusals(into):
        into.mkdir()
    try:
        if len(files) == 1 and files[0].name not in _FILES:
            _unzip(files[0], into)
        else:
            for file in files:
                if (inside := _place(PurePosixPath(file.name))) is not None:
                    _copy(file, into / inside)
        if not any((into / head).exists() for head in _HEADS):
            raise AdapterError("upload_no_adapter", name=", ".join(file.name for file in files))
    except BaseException:
        shutil.rmtree(into)
        raise


def read_adapters(folder: Path, name: str, origin: UploadFormat | None = None) -> dict[str, Adapter]:
    """What to append to the name -> adapter, in a folder of any of the three formats.

    "" is the adapter itself; of a published one with masks there is "-mask-<sparsity>" too, with that mask applied.

    Args:
        name: of the adapter.
        origin: how tensors in PEFT's format are meant; None: "lori" where masks lie beside or among them.
    Raises:
        AdapterError: as load_adapter, import_peft and import_published have it.
    """
    if (folder / "adapter.json").exists():
        return {"": replace(load_adapter(folder), name=name)}
    if (origin or ("lori" if (folder / "masks").is_dir() else "peft")) == "peft":
        adapter = import_peft(folder, name)
        return {"": as_lori(adapter) if origin is None and has_mask(adapter) else adapter}
    found = import_published(folder, name)
    masked = {f"-mask-{sparsity}": found.adapter.with_masks(masks) for sparsity, masks in found.masks.items()}
    return {"": found.adapter} | masked


def exact_precision(adapter: Adapter) -> Precision:
    """bf16 where what save_adapter rounds keeps every bit, as what was saved in bf16 does, else fp32."""
    rounded = [factors.values for factors in adapter.factors.values()]
    if adapter.config.train_projection:
        rounded += [factors.A for factors in adapter.factors.values()]
    return "bf16" if all(bool((tensor == tensor.bfloat16()).all()) for tensor in rounded) else "fp32"


def _unzip(path: Path, into: Path) -> None:
    try:
        with open_plain(path) as file, zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _refuse_hostile(path.name, entries, file.seek(0, os.SEEK_END))
            home = _home(path.name, entries)
            for entry in entries:
                name = PurePosixPath(entry.filename)
                inside = _place(name.relative_to(home)) if name.is_relative_to(home) else None
                if inside is not None:
                    with archive.open(entry) as source:
                        _write(source, into / inside)  # stops at the size that was looked at
    except LoRIError:
        raise
    except Exception:  # a damaged archive fails in as many ways as it has parts
        raise AdapterError("upload_not_zip", name=path.name) from None


def _refuse_hostile(name: str, entries: Sequence[zipfile.ZipInfo], size: int) -> None:
    """size: bytes of the archive."""
    unpacked = sum(entry.file_size for entry in entries)
    if len(entries) > MOST or unpacked > LARGEST:
        raise AdapterError("upload_too_large", name=name, most=MOST, largest=LARGEST // 2**30)
    if unpacked > UNPACKED_ANYWAY + UNPACKED_PER_BYTE * size:
        raise AdapterError("upload_swells", name=name, bytes=size, unpacked=unpacked)
    seen: set[PurePosixPath] = set()
    for entry in entries:
        path = PurePosixPath(entry.filename)
        names = path.parts and not path.is_absolute() and ".." not in path.parts and ":" not in path.parts[0]
        plain = (
            not stat.S_ISLNK(entry.external_attr >> 16) and not entry.flag_bits & 1 and entry.compress_type in _PACKED
        )
        if not names or not plain or "\\" in entry.orig_filename or path in seen:
            raise AdapterError("upload_hostile", name=name, entry=entry.filename)
        seen.add(path)


def _home(name: str, entries: Sequence[zipfile.ZipInfo]) -> PurePosixPath:
    """The archive's folder that holds the adapter; raises AdapterError where there is none or more than one."""
    paths = [PurePosixPath(entry.filename) for entry in entries]
    found = {path.parent for path in paths if path.name in _HEADS}
    if not found:
        raise AdapterError("upload_no_adapter", name=name)
    if len(found) > 1:
        raise AdapterError("upload_many", name=name, found=", ".join(sorted(map(str, found))[:5]))
    return found.pop()


def _place(path: PurePosixPath) -> str | None:
    """Where a file belongs in an adapter's folder; None: an adapter has no such file, and it is left out."""
    if str(path) in _FILES:
        return path.name
    return f"masks/{path.name}" if _MASK.fullmatch(path.name) and str(path.parent) in (".", "masks") else None


def _copy(source: Path, target: Path) -> None:
    try:
        opened = open_plain(source)
    except OSError as error:
        raise AdapterError("adapter_unreadable", path=source.name, reason=error.strerror) from None
    with opened:
        _write(opened, target)


def _write(source: IO[bytes], target: Path) -> None:
    with refusals(target):
        target.parent.mkdir(exist_ok=True)
        with target.open("wb") as written:
            shutil.copyfileobj(source, written)
