"""Data files of the user: read_rows(file) and split_files(folder). Errors name file, row and field.

JSON and CSV are read as they stand, not through `datasets`: that turned "2024-01-05" into a date and "007" into 7, and
does not say which line of a file is at fault. Parquet holds typed columns, so there `datasets` is exact.
"""

import csv
import io
import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lori_core.errors import DataError

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
    rows = READERS[path.suffix.lower()](path)
    if not rows:
        raise DataError("empty_file", file=path)
    return rows


def split_files(path: Path) -> dict[str, list[Path]]:
    """Split -> its files, by how their names start, or {"all": [file]}, one file for everything; raises DataError."""
    if path.is_file():
        return {"all": [path]}
    if not path.is_dir():
        raise DataError("no_such_path", path=path)
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in READERS)
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


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise DataError("not_utf8", file=path, row=row) from None


def _object(path: Path, number: int, value: Any) -> Row:
    if not isinstance(value, dict):
        raise DataError("row_not_object", file=path, row=number, got=type(value).__name__)
    return Row(path, number, value)


def _json_lines(path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(_text(path).split("\n"), 1):  # splitlines() would also cut at U+2028 inside a text
        if not line.strip():
            continue
        try:
            rows.append(_object(path, number, json.loads(line)))
        except json.JSONDecodeError as error:
            raise DataError("bad_json", file=path, row=number, reason=error.msg) from None
    return rows


def _json(path: Path) -> list[Row]:
    """A list of objects; many .json files hold one object a line instead."""
    text = _text(path)
    if not text.lstrip().startswith("["):
        return _json_lines(path)
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError("bad_json", file=path, row=error.lineno, reason=error.msg) from None
    return [_object(path, number, value) for number, value in enumerate(values, 1)]


def _csv(path: Path) -> list[Row]:
    """The first row names the columns; every value is a text."""
    try:
        lines = list(csv.reader(io.StringIO(_text(path), newline=""), strict=True))
    except csv.Error as error:
        raise DataError("bad_csv", file=path, reason=error) from None
    if not lines:
        return []
    if category := HEX_PHI.fullmatch(path.name):
        lines = [["instruction", "category"], *([line[0], category[1]] for line in lines if line)]
    header, rows = lines[0], []
    for number, fields in enumerate((line for line in lines[1:] if line), 1):
        if len(fields) != len(header):
            raise DataError("csv_fields", file=path, row=number, got=len(fields), expected=len(header))
        rows.append(Row(path, number, dict(zip(header, fields, strict=True))))
    return rows


def _parquet(path: Path) -> list[Row]:
    from datasets import Dataset, disable_progress_bars, enable_progress_bars
    from datasets.utils.tqdm import are_progress_bars_disabled

    were_disabled = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        with tempfile.TemporaryDirectory() as cache:
            table = Dataset.from_parquet(str(path), cache_dir=cache, keep_in_memory=True)
            return [Row(path, number, dict(values)) for number, values in enumerate(table.to_list(), 1)]
    except Exception as error:  # datasets wraps whatever pyarrow says in classes of its own
        raise DataError("bad_parquet", file=path, reason=error.__cause__ or error) from None
    finally:
        if not were_disabled:
            enable_progress_bars()


READERS: dict[str, Callable[[Path], list[Row]]] = {
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
