"""Data files of the user: read_rows(file) and split_files(folder). Errors name file, row and field.

JSON and CSV are read as they stand, not through `datasets`: that turned "2024-01-05" into a date and "007" into 7, and
does not say which line of a file is at fault. Parquet holds typed columns, so there `datasets` is exact.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lori_core.errors import DataError
from lori_core.files import parse_json, read_file

# A row of a few bytes takes hundreds in memory: so many rows for each byte of a file, and so many that any may have.
ROWS_PER_BYTE, ROWS_ANYWAY = 1 / 16, 100_000
# Parquet packs equal values into nothing: bytes that they may unpack to for each of the file's, and for any file.
UNPACKED_PER_BYTE, UNPACKED_ANYWAY = 10, 2**26

# How a file's name starts -> the split it belongs to: train_2k.jsonl, val.csv.
SPLIT_NAMES = {"train": "train", "val": "validation", "dev": "validation", "test": "test"}
# HEx-PHI comes as these: a prompt a row, and no row that names the column.
HEX_PHI = re.compile(r"category_(\d+)\.csv", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """One row. number: the line of a .jsonl file, else the row counted from 1, a CSV header aside."""

    file: Path
    number: int
    values: dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """All rows of a .csv, .json, .jsonl or .parquet file; raises DataError."""
    if path.suffix.lower() not in READERS:
        raise DataError("unknown_file_kind", file=path, known=", ".join(READERS))
    try:
        content = read_file(path)
    except OSError as error:
        raise DataError("data_unreadable", file=path, reason=error.strerror) from None
    rows, most = [], ROWS_ANYWAY + int(ROWS_PER_BYTE * len(content))
    for row in READERS[path.suffix.lower()](path, content):
        rows.append(row)
        if len(rows) > most:
            raise DataError("too_many_rows", file=path, most=most, bytes=len(content))
    if not rows:
        raise DataError("empty_file", file=path)
    return rows


def split_files(path: Path) -> dict[str, list[Path]]:
    """Split -> its files, by how their names start, or {"all": [file]}, one file for everything; raises DataError."""
    try:
        path = path.expanduser()
        if path.is_file():
            return {"all": [path]}
        if not path.is_dir():
            raise DataError("no_such_path", path=path)
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in READERS)
    except (OSError, RuntimeError) as error:  # it may not be read, is too long a name, or begins with nobody's ~name
        raise DataError("data_unreadable", file=path, reason=getattr(error, "strerror", None) or error) from None
    found: dict[str, list[Path]] = {}
    for file in files:
        for start, split in SPLIT_NAMES.items():
            if file.name.lower().startswith(start):
                found.setdefault(split, []).append(file)
    if files and all(HEX_PHI.fullmatch(file.name) for file in files):
        return {"test": files}
    if not found and len(files) == 1:
        return {"all": files}
    if not found:
        names = ", ".join(file.name for file in files)
        raise DataError("no_split_files", path=path, found=names or "-", known=", ".join(READERS))
    return found


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise DataError("not_utf8", file=path, row=row) from None


def _object(path: Path, number: int, value: Any) -> Row:
    if not isinstance(value, dict):
        raise DataError("row_not_object", file=path, row=number, got=type(value).__name__)
    return Row(path, number, value)


def _json_lines(path: Path, content: bytes) -> Iterator[Row]:
    # splitlines() would also cut at U+2028 inside a text
    for number, line in enumerate(_text(path, content).split("\n"), 1):
        if line.strip():
            yield _object(path, number, _parsed(path, number, line))


def _json(path: Path, content: bytes) -> Iterator[Row]:
    """A list of objects; many .json files hold one object a line instead."""
    text = _text(path, content)
    if not text.lstrip().startswith("["):
        yield from _json_lines(path, content)
        return
    for number, value in enumerate(_parsed(path, 1, text), 1):
        yield _object(path, number, value)


def _parsed(path: Path, first: int, text: str) -> Any:
    """first: the line of the file that the text begins with."""
    try:
        return parse_json(text, half_characters=True)
    except json.JSONDecodeError as error:
        raise DataError("bad_json", file=path, row=first + error.lineno - 1, reason=error.msg) from None
    except ValueError as error:
        raise DataError("bad_json", file=path, row=first, reason=error) from None


def _csv(path: Path, content: bytes) -> Iterator[Row]:
    """The first row names the columns; every value is a text."""
    lines = csv.reader(io.StringIO(_text(path, content), newline=""), strict=True)
    category = HEX_PHI.fullmatch(path.name)
    header = ["instruction", "category"] if category else None
    number = 0
    try:
        for line in lines:
            fields = [line[0], category[1]] if category and line else line
            if header is None:
                header = _columns(path, fields)
            elif fields:
                number += 1
                if len(fields) != len(header):
                    raise DataError("csv_fields", file=path, row=number, got=len(fields), expected=len(header))
                yield Row(path, number, dict(zip(header, fields, strict=True)))
    except csv.Error as error:
        raise DataError("bad_csv", file=path, reason=error) from None


def _columns(path: Path, header: list[str]) -> list[str]:
    """Raises DataError where two columns have one name: the second would hide the first."""
    twice = [name for name, times in Counter(header).items() if times > 1]
    if twice:
        raise DataError("columns_twice", file=path, column=twice[0], columns=", ".join(header))
    return header


def _parquet(path: Path, content: bytes) -> Iterator[Row]:
    """Batch by batch, none of which can unpack to more than what the whole file may: no value is larger than all."""
    from pyarrow import BufferReader  # these take a part of a second
    from pyarrow.parquet import ParquetFile

    most = UNPACKED_ANYWAY + UNPACKED_PER_BYTE * len(content)
    swells = DataError("parquet_swells", file=path, bytes=len(content), most=most)
    try:
        file = ParquetFile(BufferReader(content))
        claimed = _claimed(file.metadata)
        if claimed > most:
            raise swells
        number = held = 0
        for batch in file.iter_batches(batch_size=min(1024, max(1, most // max(1, claimed)))):
            held += batch.nbytes
            if held > most:
                raise swells
            for values in batch.to_pylist():
                number += 1
                yield Row(path, number, values)
    except DataError:
        raise
    except Exception as error:  # pyarrow fails in as many ways as the format has parts
        raise DataError("bad_parquet", file=path, reason=error) from None


def _claimed(metadata: Any) -> int:
    """Bytes of all columns before packing, a byte at least for each value."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    return sum(max(column.total_uncompressed_size, column.num_values) for column in columns)


READERS: dict[str, Callable[[Path, bytes], Iterator[Row]]] = {
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
