"""Index of the store: one SQLite table of what stands in the folders, so that a list need not read every one of them.

The folders are the truth: the store compares names with them at every look, and the table can be made again from them.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lori_core.errors import StorageError
from lori_core.files import refusals
from lori_core.storage.summary import Summary

Key = tuple[str, int]  # name and number of a version


@dataclass(frozen=True)
class Row:
    """One version.

    Attributes:
        changed: time of writing of its header in ns, 0 where there is none: a row of another time is of another file.
        bytes: of its folder.
        summary: None: its header cannot be read.
    """

    name: str
    number: int
    changed: int
    bytes: int
    summary: Summary | None

    @property
    def key(self) -> Key:
        return self.name, self.number


SCHEMA = 2  # of the table, as the file's user_version; a table of another one is made again
COLUMNS = ", ".join(field.name for field in fields(Row))
_VALUES = TypeAdapter(tuple[str, int, int, int])  # but the summary
_SUMMARY = TypeAdapter(Summary)


class Index:
    """The table in one file. Whoever writes holds the store's lock, so that no two do at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> dict[Key, Row]:
        """All that are whole; none where there is no index yet, or where it could be neither used nor made again."""
        if not self.path.exists():
            return {}
        try:
            with self._connection() as connection:
                if not _is_of_schema(connection):
                    return {}
                found = connection.execute(f"SELECT {COLUMNS} FROM versions").fetchall()
        except StorageError:
            if self._is_writable():
                raise
            return {}
        return {row.key: row for values in found if (row := _row(values))}

    def change(self, put: Iterable[Row] = (), remove: Iterable[Key] = ()) -> None:
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")  # readers go on while somebody writes
            if not _is_of_schema(connection):
                connection.execute("DROP TABLE IF EXISTS versions")
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
            connection.execute(f"CREATE TABLE IF NOT EXISTS versions ({COLUMNS}, PRIMARY KEY (name, number))")
            connection.executemany("DELETE FROM versions WHERE name = ? AND number = ?", remove)
            places = ", ".join("?" * len(fields(Row)))
            connection.executemany(
                f"INSERT OR REPLACE INTO versions ({COLUMNS}) VALUES ({places})", [_values(row) for row in put]
            )
            connection.commit()

    def remake(self, rows: Iterable[Row]) -> None:
        """The table anew, whatever the file held."""
        with refusals(self.path):
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.change(put=rows)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        # SQLite writes beside an index that it reads, unless it is told that nobody can change it.
        source = self.path.absolute().as_uri() + ("" if self._is_writable() else "?immutable=1")
        try:
            with closing(sqlite3.connect(source, timeout=60, uri=True)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise StorageError("index_unusable", path=self.path, reason=error) from None

    def _is_writable(self) -> bool:
        return os.access(self.path.parent, os.W_OK)


def _is_of_schema(connection: sqlite3.Connection) -> bool:
    return connection.execute("PRAGMA user_version").fetchone() == (SCHEMA,)


def _values(row: Row) -> tuple[Any, ...]:
    summary = None if row.summary is None else _SUMMARY.dump_json(row.summary).decode()
    return row.name, row.number, row.changed, row.bytes, summary


def _row(values: tuple[Any, ...]) -> Row | None:
    """None where a value is of another type than its column: a damaged index."""
    *plain, summary = values
    try:
        return Row(*_VALUES.validate_python(tuple(plain), strict=True), summary and _SUMMARY.validate_json(summary))
    except ValidationError:
        return None
