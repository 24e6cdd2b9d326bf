"""Own tasks that were added before: their specs lie beside the files that they read, so a reload offers them again."""

from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs

from app.lab import Context
from lori_core.errors import LoRIError
from lori_core.files import write_atomic
from lori_core.tasks.registry import name_of, places

SPECS = "tasks.txt"  # beside the kept file, a spec a line
LARGEST = 100_000  # bytes


def remember(file: Path, spec: str) -> None:
    """Of a kept file, see keep_file() of lori_core/tasks/own_files.py."""
    known = _specs(file.parent / SPECS)
    write_atomic(file.parent / SPECS, "\n".join(dict.fromkeys([*known, spec])))


def remembered(page: Context) -> list[tuple[str, str]]:
    """(label, spec) of all that the reader added, oldest first; what is out of reach or gone is left out."""
    found = []
    for path in sorted(page.workspace.data.glob(f"*/{SPECS}"), key=lambda path: path.stat().st_mtime_ns):
        for spec in _specs(path):
            with suppress(LoRIError):
                if places(spec) and page.workspace.reach.has_task(spec):
                    found.append((label_of(spec), spec))
    return found


def label_of(spec: str) -> str:
    """ "mine (question → answer)"."""
    options = parse_qs(spec.partition("?")[2])
    asked = next(iter(options.get("prompt") or options.get("template") or [""]))
    return f"{name_of(spec)} ({asked} → {next(iter(options.get('response', [''])))})"


def _specs(path: Path) -> list[str]:
    with suppress(OSError, UnicodeError):
        if path.is_file() and path.stat().st_size < LARGEST:
            return path.read_text(encoding="utf-8").splitlines()
    return []
