"""Store: versions of adapters that are whole or absent, never change, and say where they come from.

    <root>/<name>/<number>/      an adapter's folder (adapter_files.py); numbers count from 1 and are given once
    <root>/<name>/tags.json      tag -> number
    <root>/.trash/<name>/<n>/    what was deleted, until gc(); an empty folder keeps its number from being given again
    <root>/.new/<random>/        a version being written, and a lock that is held as long as it is
    <root>/.footprints/          see footprint_store.py
    <root>/.index.sqlite         see store_index.py

A version is written aside, synced, and renamed under a lock that every process waits for: after a kill it is whole or
absent. A reference is "name" (the newest), "name@3" or "name@tag".
"""

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from lori_core.config import Precision
from lori_core.errors import AdapterError, LoRIError, StorageError
from lori_core.files import folder_size, is_locked, locked, move_folder, read_json, refusals, write_atomic
from lori_core.storage.header import HEADER, StoredAdapter, read_header
from lori_core.storage.store_index import Index, Key, Row
from lori_core.storage.summary import summary_of

if TYPE_CHECKING:  # import torch, which a list of versions need not wait for: see save, load and diff
    from lori_core.method.adapter import Adapter
    from lori_core.storage.diff import Difference

PATIENCE = 60  # seconds that a process waits for others to finish a rename

_NAME = re.compile(r"\w([\w.+ -]{0,98}[\w+-])?")  # one folder's name on every system: no separator, no leading dot
_TAGS = TypeAdapter(dict[str, int])
_NUMBER = re.compile("[1-9][0-9]{0,8}")
_TAG = re.compile(r"[^\W\d][\w.-]{0,49}")


@dataclass(frozen=True)
class Version:
    """One version as the list shows it."""

    row: Row
    tags: tuple[str, ...]

    @property
    def reference(self) -> str:
        return f"{self.row.name}@{self.row.number}"

    @property
    def id(self) -> str:
        """Empty where its header cannot be read."""
        return self.row.summary.id if self.row.summary else ""


class AdapterStore:
    """The store in a folder, which is made by the first save."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._index = Index(self.root / ".index.sqlite")

    def save(self, adapter: "Adapter", name: str | None = None, dtype: Precision = "bf16") -> str:
        """Keeps the adapter as the newest version of that name; returns its reference.

        Args:
            name: None: the adapter's own.
            dtype: what values are rounded to, as in save_adapter.
        Raises:
            StorageError: the name cannot be a folder's, or the disk refused.
        """
        from lori_core.storage.adapter_files import save_adapter

        name = checked_name(adapter.name if name is None else name)
        saved = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with being_written(self.root) as place:
            save_adapter(replace(adapter, record=adapter.record | {"saved": saved}), place / "version", dtype)
            with locked(self.root / ".lock", PATIENCE):
                number = next_number(self.root / name, self.root / ".trash" / name)
                move_folder(place / "version", self.root / name / str(number))
                self._index.change(put=[self._row(name, number)])
        return f"{name}@{number}"

    def load(self, reference: str) -> "Adapter":
        """The adapter, every checksum checked; its record's "version" and "id" say which it is.

        Raises:
            AdapterError: there is no such version, or anything in it is not as it was saved.
        """
        from lori_core.storage.adapter_files import load_adapter

        name, number = self._find(reference)
        adapter = load_adapter(self.folder(reference))
        return replace(adapter, record=adapter.record | {"version": f"{name}@{number}"})

    def show(self, reference: str) -> StoredAdapter:
        """What a version says about itself: config, record (base, data, parents, scores), software. Reads no tensor."""
        return read_header(self.folder(reference))[0]

    def folder(self, reference: str) -> Path:
        """The folder of a version; raises AdapterError where there is none."""
        name, number = self._find(reference)
        return self.root / name / str(number)

    def versions(self, name: str | None = None) -> list[Version]:
        """All versions, or those of one name, by name and number."""
        if name is not None:
            checked_name(name)
        rows = self._rows()
        wanted = [rows[key] for key in sorted(rows) if name in (None, key[0])]
        tags = {each: self._tags(each) for each in {row.name for row in wanted}}
        return [Version(row, _tags_of(tags[row.name], row.number)) for row in wanted]

    def verify(self, reference: str | None = None) -> dict[str, LoRIError]:
        """reference -> what is wrong with it, for every version that does not load: all checksums are checked."""
        found = [reference] if reference else [version.reference for version in self.versions()]
        wrong: dict[str, LoRIError] = {}
        for each in found:
            try:
                self.load(each)
            except LoRIError as error:
                wrong[each] = error
        return wrong

    def diff(self, left: str, right: str) -> "Difference":
        """What differs between two versions, and how far their updates and masks are apart."""
        from lori_core.storage.diff import difference

        return difference(self.folder(left), self.folder(right))

    def tag(self, reference: str, tag: str) -> None:
        """Gives a version a name of its own; a version that had it loses it."""
        if not _TAG.fullmatch(tag):
            raise StorageError("bad_tag", tag=tag)
        with self._lock():
            name, number = self._find(reference)
            self._write_tags(name, self._tags(name) | {tag: number})

    def delete(self, reference: str) -> Path:
        """Moves a version, without its tags, to the trash; returns where it lies until gc()."""
        with self._lock():
            name, number = self._find(reference)
            target = self.root / ".trash" / name / str(number)
            self._write_tags(name, {tag: n for tag, n in self._tags(name).items() if n != number})
            move_folder(self.root / name / str(number), target)
            self._index.change(remove=[(name, number)])
        return target

    def gc(self) -> int:
        """Empties the trash and removes what killed processes left; returns the bytes that became free."""
        with self._lock():
            deleted, abandoned = self._deleted(), self._abandoned()
            freed = sum(folder_size(path) for path in [*deleted, *abandoned] if not path.is_symlink())
            for path in abandoned:
                shutil.rmtree(path, ignore_errors=True)
            for version in deleted:
                _empty(version)
        return freed

    def reindex(self) -> int:
        """Makes the index again from the folders; returns how many versions there are."""
        with self._lock():
            rows = self._read(self._found(), {})
            self._index.remake(rows)
        return len(rows)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        if not self.root.is_dir():  # a mistyped path must not become a store
            raise StorageError("no_store", path=self.root)
        with locked(self.root / ".lock", PATIENCE), refusals(self.root):
            yield

    def _find(self, reference: str) -> Key:
        name, _, wanted = reference.partition("@")
        numbers = self._numbers(checked_name(name))
        number = max(numbers, default=None)
        if wanted:
            number = int(wanted) if re.fullmatch("[0-9]{1,9}", wanted) else self._tags(name).get(wanted)
        if number not in numbers or number is None:
            known = [f"@{each}" for each in (*sorted(numbers), *self._tags(name))]
            raise AdapterError("no_version", reference=reference, path=self.root, known=" ".join(known) or "-")
        return name, number

    def _found(self) -> dict[Key, int]:
        """Of all folders, the time of writing of each header (Row.changed)."""
        names = [path.name for path in self.root.glob("*") if _NAME.fullmatch(path.name) and not path.is_symlink()]
        return {
            (name, number): _written(self.root / name / str(number)) for name in names for number in self._numbers(name)
        }

    def _rows(self) -> dict[Key, Row]:
        """Of all folders; the index is brought up to them where it can be written."""
        found, rows = self._found(), self._index.rows()
        if {key: row.changed for key, row in rows.items()} == found:
            return rows
        try:  # a process died before it wrote its row, or somebody moved or changed folders by hand
            with self._lock():
                found, rows = self._found(), self._index.rows()
                self._index.change(put=self._read(found, rows), remove=rows.keys() - found.keys())
            return self._index.rows()
        except StorageError as error:
            if error.key != "not_writable":
                raise
            return {key: rows[key] for key in rows.keys() & found.keys()} | {
                row.key: row for row in self._read(found, rows)
            }

    def _read(self, found: dict[Key, int], rows: dict[Key, Row]) -> list[Row]:
        """Rows of the folders that the known ones are not of."""
        return [
            self._row(*key) for key, changed in sorted(found.items()) if key not in rows or rows[key].changed != changed
        ]

    def _numbers(self, name: str) -> set[int]:
        return numbers_in(self.root / name)

    def _row(self, name: str, number: int) -> Row:
        folder = self.root / name / str(number)
        changed = _written(folder)
        try:
            summary = summary_of(*read_header(folder))
        except AdapterError:  # listed all the same: verify() tells what is wrong
            summary = None
        return Row(name, number, changed, folder_size(folder), summary)

    def _deleted(self) -> list[Path]:
        """The versions in the trash; a name that is a link leads to what was never deleted here."""
        names = [path for path in (self.root / ".trash").glob("*") if not path.is_symlink()]
        return [path for name in names for path in name.glob("*") if path.is_dir()]

    def _abandoned(self) -> list[Path]:
        """What stands in .new and no living process is writing."""
        return [path for path in (self.root / ".new").glob("*") if not is_locked(path / "lock")]

    def _tags(self, name: str) -> dict[str, int]:
        path = self.root / name / "tags.json"
        try:
            return _TAGS.validate_python(read_json(path), strict=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError):  # pydantic's is a ValueError too
            raise StorageError("tags_unreadable", path=path) from None

    def _write_tags(self, name: str, tags: dict[str, int]) -> None:
        if tags != self._tags(name):
            write_atomic(self.root / name / "tags.json", json.dumps(tags, ensure_ascii=False))


@contextmanager
def being_written(root: Path) -> Iterator[Path]:
    """A new folder in a store's .new, removed after the block; its lock, not the clock, tells gc() to leave it."""
    place = root / ".new" / secrets.token_hex(8)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        with locked(root / ".lock", PATIENCE):  # gc() must not see it before it is locked
            stack.enter_context(locked(place / "lock"))
        yield place


def checked_name(name: str) -> str:
    """The name; raises StorageError where it cannot be that of a folder in the store."""
    if not _NAME.fullmatch(name):
        raise StorageError("bad_store_name", name=name)
    return name


def numbers_in(folder: Path, taken: bool = False) -> set[int]:
    """Of the versions in a folder; a link is none, since it may lead out of the store.

    Args:
        taken: of all that is there instead, a link too: a new version cannot have its place.
    """
    try:
        with os.scandir(folder) as entries:
            numbered = [each for each in entries if _NUMBER.fullmatch(each.name)]
            return {int(each.name) for each in numbered if taken or each.is_dir(follow_symlinks=False)}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def next_number(*folders: Path) -> int:
    """One that nothing in the folders has."""
    return 1 + max((number for folder in folders for number in numbers_in(folder, taken=True)), default=0)


def _empty(version: Path) -> None:
    """Leaves an empty folder; of a link, to the version or in it, the link alone goes."""
    if version.is_symlink():
        version.unlink()
        version.mkdir()
    for path in version.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _written(folder: Path) -> int:
    try:
        return os.stat(folder / HEADER).st_mtime_ns
    except OSError:
        return 0


def _tags_of(tags: dict[str, int], number: int) -> tuple[str, ...]:
    return tuple(sorted(tag for tag, each in tags.items() if each == number))
