"""Data files of the user: read_rows(file) and split_files(folder). Errors name file, row and field.

JSON, CSV and Excel are read as they stand, not through `datasets`: that turned "2024-01-05" into a date and "007" into
7, and does not say which line of a file is at fault. Parquet and Arrow hold typed columns.
"""

import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, time
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from lori_core.errors import DataError
from lori_core.files import parse_json, read_file
from lori_core.tasks.encodings import PLAIN, decode

# A row of a few bytes takes hundreds in memory: so many rows for each byte of a file, and so many that any may have.
ROWS_PER_BYTE, ROWS_ANYWAY = 1 / 16, 100_000
# Parquet, gzip and zip pack equal values into nothing: bytes that they may unpack to, for each of the file's and any.
UNPACKED_PER_BYTE, UNPACKED_ANYWAY = 10, 2**26

SEPARATORS, TAB = (",", ";", "\t", "|"), "\t"
LOOKED_AT = 20_000  # characters that say what parts the columns
LINE_END = re.compile("\r\n|\r|\n")  # as csv.reader ends lines
PACKED = ".gz"

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


@dataclass(frozen=True)
class File:
    """A file as it is read.

    Attributes:
        path: of the file that was given; content: unpacked, where that was a .gz.
        columns: names that the user gives the columns of a table without a header.
        encoding: what the user says it is; empty: it is found out.
    """

    path: Path
    content: bytes
    columns: tuple[str, ...] = ()
    encoding: str = ""

    @cached_property
    def decoded(self) -> tuple[str, str]:
        return decode(self.path, self.content, self.encoding)

    @cached_property
    def separator(self) -> str:
        return separator_of(self.decoded[0])

    @property
    def read_as(self) -> str:
        """How the file was read, where that is not plain UTF-8 with commas; else nothing."""
        if kind_of(self.path) not in TEXTS:
            return ""
        parts = [] if (encoding := self.decoded[1]) in PLAIN else [encoding]
        if kind_of(self.path) in TABLES and self.separator != ",":
            parts.append(f"separator {'tab' if self.separator == TAB else self.separator}")
        return f"{self.path.name}: {', '.join(parts)}" if parts else ""


def kind_of(path: Path) -> str:
    """The end of a file's name that says what it is: ".csv" of "rows.CSV.gz"."""
    name = path.name.lower()
    return Path(name.removesuffix(PACKED)).suffix


def read_rows(path: Path) -> list[Row]:
    """All rows of a file of a kind in READERS, or such a one in .gz; raises DataError."""
    return rows_of(open_rows(path))


def open_rows(path: Path, columns: tuple[str, ...] = (), encoding: str = "") -> File:
    """Raises DataError where the file's kind is not known, it cannot be read, or unpacks to too much."""
    if kind_of(path) not in READERS:
        raise DataError("unknown_file_kind", file=path, known=", ".join(READERS))
    try:
        content = read_file(path)
    except OSError as error:
        raise DataError("data_unreadable", file=path, reason=error.strerror) from None
    packed = path.name.lower().endswith(PACKED)
    return File(path, _unpacked(path, content) if packed else content, columns, encoding)


def rows_of(file: File) -> list[Row]:
    rows, most = [], ROWS_ANYWAY + int(ROWS_PER_BYTE * len(file.content))
    for row in READERS[kind_of(file.path)](file):
        rows.append(row)
        if len(rows) > most:
            raise DataError("too_many_rows", file=file.path, most=most, bytes=len(file.content))
    if not rows:
        raise DataError("empty_file", file=file.path)
    return rows


def _most(content: bytes) -> int:
    """Bytes that a packed file may unpack to."""
    return UNPACKED_ANYWAY + UNPACKED_PER_BYTE * len(content)


def _unpacked(path: Path, content: bytes) -> bytes:
    """All parts of a .gz, which is several where `cat` joined some."""
    try:
        with gzip.open(io.BytesIO(content)) as parts:
            unpacked = parts.read(_most(content) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError("bad_gzip", file=path, reason=error) from None
    if len(unpacked) > _most(content):
        raise DataError("parquet_swells", file=path, bytes=len(content), most=_most(content))
    return unpacked


def split_files(path: Path) -> dict[str, list[Path]]:
    """Split -> its files, by how their names start, or {"all": [file]}, one file for everything; raises DataError."""
    try:
        path = path.expanduser()
        if path.is_file():
            return {"all": [path]}
        if not path.is_dir():
            raise DataError("no_such_path", path=path)
        if saved := saved_splits(path):
            return saved
        files = sorted(file for file in path.iterdir() if kind_of(file) in READERS)
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


def saved_splits(path: Path) -> dict[str, list[Path]]:
    """Split -> its .arrow files, of a folder that `datasets` saved; empty where it is none."""
    if (path / "dataset_dict.json").is_file():
        folders = sorted(each for each in path.iterdir() if (each / "state.json").is_file())
        named = {next((known for start, known in SPLIT_NAMES.items() if each.name.startswith(start)), ""): each
                 for each in folders}  # fmt: skip
        return {split: sorted(each.glob("data-*.arrow")) for split, each in named.items() if split}
    return {"all": sorted(path.glob("data-*.arrow"))} if (path / "state.json").is_file() else {}


def _object(path: Path, number: int, value: Any) -> Row:
    if not isinstance(value, dict):
        raise DataError("row_not_object", file=path, row=number, got=type(value).__name__)
    return Row(path, number, value)


def _json_lines(file: File) -> Iterator[Row]:
    # splitlines() would also cut at U+2028 inside a text
    for number, line in enumerate(file.decoded[0].split("\n"), 1):
        if line.strip():
            yield _object(file.path, number, _parsed(file.path, number, line))


def _json(file: File) -> Iterator[Row]:
    """A list of objects, one object that holds such a list, or as many .json files have it an object a line."""
    text = file.decoded[0].strip()
    opening = text.partition("\n")[0].strip()
    if not text or (text[0] != "[" and opening[-1] == "}" and "\n" in text):
        yield from _json_lines(file)
        return
    whole = _parsed(file.path, 1, file.decoded[0])
    if isinstance(whole, dict):
        lists = [value for value in whole.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        whole = lists[0] if len(lists) == 1 and len(whole) == 1 else [whole]
    for number, value in enumerate(whole if isinstance(whole, list) else [whole], 1):
        yield _object(file.path, number, value)


def _parsed(path: Path, first: int, text: str) -> Any:
    """first: the line of the file that the text begins with."""
    try:
        return parse_json(text, half_characters=True)
    except json.JSONDecodeError as error:
        raise DataError("bad_json", file=path, row=first + error.lineno - 1, reason=error.msg) from None
    except ValueError as error:
        raise DataError("bad_json", file=path, row=first, reason=error) from None


def separator_of(text: str) -> str:
    """What parts the columns: the first that finds as many, over one, in the first rows as in the header."""
    if text.startswith("sep=") and len(text) > 4:  # as Excel writes it
        return text[4]
    found = {each: _widths(text, each) for each in SEPARATORS}
    several = [each for each, widths in found.items() if widths and widths[0] > 1]
    return next((each for each in several if len(set(found[each])) == 1), [*several, ","][0])


def _widths(text: str, separator: str) -> list[int]:
    """Fields of the first rows that are not blank."""
    try:
        lines = islice(csv.reader(io.StringIO(text[:LOOKED_AT], newline=""), delimiter=separator), 20)
        widths = [len(fields) for fields in lines if fields]
    except csv.Error:
        return []
    return widths[:-1] if len(text) > LOOKED_AT and len(widths) > 1 else widths  # the last one may be cut


def _csv(file: File) -> Iterator[Row]:
    """The first row names the columns, unless the user does; every value is a text."""
    path, text = file.path, file.decoded[0]
    if text.startswith("sep="):
        text = LINE_END.split(text, maxsplit=1)[-1]
    category = HEX_PHI.fullmatch(path.name)
    separator = "," if category else file.separator
    lines = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    header = ["instruction", "category"] if category else list(file.columns) or None
    number = 0
    try:
        for line in lines:
            fields = [line[0], category[1]] if category and line else line
            if header is None:
                header = _columns(path, fields)
            elif fields and not (number == 0 and fields == header):  # named as they are
                number += 1
                if len(fields) != len(header):
                    raise DataError("csv_fields", file=path, row=number, got=len(fields), expected=len(header))
                yield Row(path, number, _named(header, fields))
    except csv.Error as error:
        raise DataError("bad_csv", file=path, reason=error) from None


def _excel(file: File) -> Iterator[Row]:
    """The first sheet; its first row names the columns, unless the user does. Numbers stay numbers, dates ISO texts."""
    from openpyxl import load_workbook  # takes a part of a second

    try:
        with ZipFile(io.BytesIO(file.content)) as parts:
            if sum(part.file_size for part in parts.infolist()) > _most(file.content):
                raise DataError("parquet_swells", file=file.path, bytes=len(file.content), most=_most(file.content))
        sheet = load_workbook(io.BytesIO(file.content), read_only=True, data_only=True).worksheets[0]
        lines = ([_cell(value) for value in line] for line in sheet.iter_rows(values_only=True))
        filled = (line for line in lines if any(value != "" for value in line))
        header = list(file.columns) or _columns(file.path, [str(name) for name in next(filled, [])])
        for number, line in enumerate(filled, 1):
            if number > 1 or line != header:
                line += [""] * (len(header) - len(line))
                yield Row(file.path, number, _named(header, line))
    except DataError:
        raise
    except Exception as error:  # a zip and the XML in it fail in as many ways as they have parts
        raise DataError("bad_excel", file=file.path, reason=error) from None


def _cell(value: Any) -> Any:
    if isinstance(value, date | time):
        return value.isoformat()
    return "" if value is None else value


def _columns(path: Path, header: list[str]) -> list[str]:
    """Raises DataError where two columns have one name: the second would hide the first."""
    twice = [name for name, times in Counter(header).items() if times > 1 and name.strip()]
    if twice:
        raise DataError("columns_twice", file=path, column=twice[0], columns=", ".join(header))
    return header


def _named(header: list[str], values: Sequence[Any]) -> dict[str, Any]:
    """Without the columns that have no name, as a spreadsheet writes them that is wider than what is in it."""
    return {name: value for name, value in zip(header, values, strict=False) if name.strip()}


def _parquet(file: File) -> Iterator[Row]:
    """Batch by batch, none of which can unpack to more than what the whole file may: no value is larger than all."""
    from pyarrow import BufferReader  # these take a part of a second
    from pyarrow.parquet import ParquetFile

    try:
        opened = ParquetFile(BufferReader(file.content))
        if (claimed := _claimed(opened.metadata)) > _most(file.content):
            raise DataError("parquet_swells", file=file.path, bytes=len(file.content), most=_most(file.content))
        _columns(file.path, opened.schema_arrow.names)
        size = min(1024, max(1, _most(file.content) // max(1, claimed)))
        yield from _typed(file, opened.iter_batches(batch_size=size))
    except DataError:
        raise
    except Exception as error:  # pyarrow fails in as many ways as the format has parts
        raise DataError("bad_parquet", file=file.path, reason=error) from None


def _arrow(file: File) -> Iterator[Row]:
    """As a file with an index at its end, or as a stream, which is how `datasets` saves."""
    from pyarrow import BufferReader, ipc

    try:
        indexed = file.content.startswith(b"ARROW1")
        opened = ipc.open_file(BufferReader(file.content)) if indexed else ipc.open_stream(BufferReader(file.content))
        _columns(file.path, opened.schema.names)
        batches = map(opened.get_batch, range(opened.num_record_batches)) if indexed else iter(opened)
        yield from _typed(file, batches)
    except DataError:
        raise
    except Exception as error:
        raise DataError("bad_arrow", file=file.path, reason=error) from None


def _typed(file: File, batches: Iterable[Any]) -> Iterator[Row]:
    """Raises DataError where the batches so far hold more than the file may unpack to."""
    number = held = 0
    for batch in batches:
        held += batch.nbytes
        if held > _most(file.content):
            raise DataError("parquet_swells", file=file.path, bytes=len(file.content), most=_most(file.content))
        for values in batch.to_pylist():
            number += 1
            yield Row(file.path, number, values)


def _claimed(metadata: Any) -> int:
    """Bytes of all columns before packing, a byte at least for each value."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    return sum(max(column.total_uncompressed_size, column.num_values) for column in columns)


READERS: dict[str, Callable[[File], Iterator[Row]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".txt": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
    ".xlsx": _excel,
    ".parquet": _parquet,
    ".arrow": _arrow,
}
TABLES = (".csv", ".tsv", ".txt")
TEXTS = (*TABLES, ".json", ".jsonl")
