"""List of the store's versions for the terminal. Of its own: the tables' figures and rich would take it seconds."""

from collections.abc import Iterable

from rich.cells import cell_len, set_cell_size

from lori_core.storage.store import Version
from lori_core.storage.summary import Summary
from lori_core.translate import translate

COLUMNS = ("version", "tags", "saved", "base", "mask", "id", "bytes")
SHORT = 12  # letters of a checksum that a list shows


def versions_list(versions: Iterable[Version], language: str) -> str:
    """A line a version, columns aligned."""
    rows = [[translate(f"command.column.{column}", language) for column in COLUMNS]]
    for version in versions:
        known = version.row.summary or Summary()
        said = [_printable(known.saved), _printable(known.base), (known.mask or "-")[:SHORT], (known.id or "?")[:SHORT]]
        rows.append([version.reference, " ".join(version.tags), *said, f"{version.row.bytes:,}"])
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(set_cell_size, row, widths)).rstrip() for row in rows)


def _printable(text: str) -> str:
    """What a record says, which is anybody's, on its line and without letters that a terminal obeys."""
    return "".join(letter if letter.isprintable() else "?" for letter in text) or "-"
