"""Run on disk: a folder that says what is to be done, what happened, and what came out.

    <time>-<kind>-<random>/
      spec.json      {"kind": "study", "version": 1, "config": {...}}, never changed
      events.jsonl   one JSON object a line, {"time": seconds since 1970, "kind": ..., ...}
      checkpoints/   of the training loop
      result.json    what came out
      run.lock       held by the process that runs it
      stop           there when somebody asked it to stop
      label.json     {"name": ..., "note": ...}, what its owner calls it; may change at any time

The state is derived: the lock says whether it runs, its last event of kind "state" how it ended.

A folder may have been damaged or filled by somebody else. Who reads one gets what can be used of it, and a RunError
where that is nothing, never another exception; only plain files are opened, since a pipe would never end.
"""

import json
import re
import secrets
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from lori_core.errors import LoRIError, RunError, Stopped, StorageError
from lori_core.files import (
    append_line,
    folder_atomic,
    is_locked,
    locked,
    named,
    open_plain,
    parse_json,
    read_file,
    read_json,
    read_lines_from,
    write_atomic,
)
from lori_core.results import from_json

SPEC_VERSION = 1
LARGEST_SPEC = 1_000_000  # bytes
LONGEST = 2_000  # letters of a message that an event keeps; of a traceback its last, ten times as many
TAIL = 4096  # bytes
LATEST_TIME = 1e11  # seconds since 1970, three thousand years: beyond it no calendar goes

LONGEST_NAME, LONGEST_NOTE = 80, 500  # letters that an owner gives

State = Literal["created", "running", "finished", "failed", "stopped", "orphaned"]
WRITTEN = ("running", "finished", "failed", "stopped")  # states that events tell; the others follow from them

ResultType = TypeVar("ResultType")


@dataclass(frozen=True)
class Run:
    """One run. kind: what is done ("study", "train" ...); config: its settings, JSON values."""

    path: Path
    kind: str
    config: dict[str, Any]

    @classmethod
    def create(cls, root: str | Path, kind: str, config: dict[str, Any]) -> "Run":
        """A new run folder in `root`; its name holds time, kind and a random part, nothing of the config."""
        if not re.fullmatch("[a-z_]+", kind):  # may come from a file, and becomes part of a folder's name
            raise RunError("bad_run_kind", kind=kind)
        path = Path(root) / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{kind}-{secrets.token_hex(3)}"
        with folder_atomic(path) as folder:
            spec = {"kind": kind, "version": SPEC_VERSION, "config": config}
            write_atomic(folder / "spec.json", json.dumps(spec, ensure_ascii=False, indent=1))
            (folder / "checkpoints").mkdir()
        return cls(path, kind, config)

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """The run in that folder; raises RunError where there is none or its spec cannot be used."""
        path = named(path)  # by which others know it: the store's versions, the copies of a launch
        return cls(path, *read_spec(path / "spec.json"))

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @contextmanager
    def start(self) -> Iterator["Run"]:
        """Runs the block as this run: holds its lock, and writes down how the block ended. Exceptions go on.

        A first start leaves a request to stop standing, since somebody may cancel a run that still waits for its
        turn; a later start is a wish to go on and clears it.

        Raises:
            RunError: "run_in_use" where another process runs it.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self.path / "run.lock"))
            except StorageError as error:
                if error.key != "in_use":
                    raise
                raise RunError("run_in_use", path=self.path, pid=error.values["pid"]) from None
            if self._last_state() is not None:
                (self.path / "stop").unlink(missing_ok=True)
            self._emit_state("running")
            try:
                yield self
            except (Stopped, KeyboardInterrupt):
                with suppress(StorageError):  # a full disk must not hide how the run ended
                    self._emit_state("stopped")
                raise
            except Exception as error:
                with suppress(StorageError):
                    self._emit_state("failed", **_description(error))
                raise
            self._emit_state("finished")

    def emit(self, event: dict[str, Any]) -> None:
        """Appends one event, {"kind": ..., ...} of JSON values; the time is added. Kind "state" is the run's own.

        Raises:
            StorageError: the disk refused, or somebody removed the run's folder, which is not made again.
        """
        if not (self.path / "spec.json").exists():
            raise StorageError("run_removed", path=self.path)
        append_line(self.path / "events.jsonl", json.dumps({"time": time.time(), "kind": event["kind"]} | event))

    def events(self) -> list[dict[str, Any]]:
        """All events so far, oldest first, each with a "time" and a "kind"; damaged ones are left out."""
        return self.events_from(0)[0]

    def events_from(self, place: int) -> tuple[list[dict[str, Any]], int]:
        """The events behind a place in the file, in bytes, and the place behind them, to go on from."""
        lines, end = read_lines_from(self.path / "events.jsonl", place)
        return [event for event in map(_event, lines) if event is not None], end

    def request_stop(self) -> None:
        """Asks the process that runs it to stop at its next step."""
        write_atomic(self.path / "stop", "")

    def stop_requested(self) -> bool:
        return (self.path / "stop").exists()

    def state(self) -> State:
        """created | running | finished | failed | stopped | orphaned (it began, and its process is gone)."""
        lock = self.path / "run.lock"
        with suppress(OSError):  # a lock that nobody can open is one that nobody holds
            if lock.is_file() and is_locked(lock):
                return "running"
        match self._last_state():
            case None:
                return "created"
            case "running":
                return "orphaned"
            case state:
                return state

    def save_result(self, text: str) -> None:
        """Keeps the result, JSON text."""
        write_atomic(self.path / "result.json", text)

    def result(self) -> str:
        """The JSON text of the result; raises RunError where there is none yet, or none that can be read."""
        path = self.path / "result.json"
        try:
            return read_file(path).decode()
        except FileNotFoundError:
            raise RunError("no_result", path=self.path, state=self.state()) from None
        except (OSError, ValueError):
            raise RunError("damaged_result", path=path) from None

    def result_as(self, kind: type[ResultType]) -> ResultType:
        """The result as that dataclass of results.py; raises RunError as result(), and where it is none."""
        text = self.result()
        try:
            return from_json(kind, text)
        except (ValueError, RecursionError):
            raise RunError("damaged_result", path=self.path / "result.json") from None

    @property
    def label(self) -> tuple[str, str]:
        """(name, note) that its owner gave; empty where there are none."""
        with suppress(OSError, ValueError):
            match read_json(self.path / "label.json", LARGEST_SPEC):
                case {"name": str(name), "note": str(note)}:
                    return name[:LONGEST_NAME], note[:LONGEST_NOTE]
        return "", ""

    def set_label(self, name: str, note: str) -> None:
        """What is longer than a name or a note may be is cut off."""
        kept = {"name": name.strip()[:LONGEST_NAME], "note": note.strip()[:LONGEST_NOTE]}
        write_atomic(self.path / "label.json", json.dumps(kept, ensure_ascii=False))

    @property
    def span(self) -> float:
        """Seconds from its first event to its newest, pauses included; 0 where there are none."""
        path = self.path / "events.jsonl"
        try:
            with open_plain(path) as file:
                first = file.readline(TAIL).decode(errors="replace")
        except OSError:
            return 0.0
        ends = (first, *read_lines_from(path, max(0, size_of(path) - TAIL))[0])
        times = [event["time"] for event in map(_event, ends) if event is not None]
        return max(times) - min(times) if times else 0.0

    def _emit_state(self, state: State, **values: object) -> None:
        self.emit({"kind": "state", "state": state, **values})

    def _last_state(self) -> State | None:
        path = self.path / "events.jsonl"
        for place in (max(0, size_of(path) - TAIL), 0):  # of an ended run it is the last line; lists of runs ask often
            for line in reversed(read_lines_from(path, place)[0]):
                event = _event(line) if '"state"' in line else None  # most lines are steps
                if event is not None and event["kind"] == "state":
                    return event["state"]
        return None


def read_spec(path: Path) -> tuple[str, dict[str, Any]]:
    """(kind, config) of a spec.json; raises RunError where there is none or it cannot be used."""
    try:
        spec = read_json(path, LARGEST_SPEC)
    except (FileNotFoundError, NotADirectoryError):
        raise RunError("no_run", path=path.parent) from None
    except (OSError, ValueError):
        raise RunError("damaged_spec", path=path) from None
    match spec:
        case {"version": int(version)} if version != SPEC_VERSION:
            raise RunError("unknown_spec_version", path=path.parent, version=version, known=SPEC_VERSION)
        case {"kind": str(kind), "version": int(), "config": dict(config)}:
            return kind, config
    raise RunError("damaged_spec", path=path)


def read_unit(path: Path, kind: type[ResultType]) -> ResultType:
    """The result of a unit of work; raises RunError where it cannot be read, or is none of that kind."""
    try:
        return from_json(kind, read_file(path).decode())
    except (OSError, ValueError, RecursionError):
        raise RunError("damaged_unit", path=path) from None


def list_runs(root: str | Path) -> list[Run]:
    """The runs in a folder, newest first; what is no usable run, or has a name that no page can show, is left out."""
    runs = []
    for path in sorted(Path(root).glob("[!.]*/spec.json"), reverse=True):
        with suppress(RunError):
            if path.parent.name.isprintable():  # bytes of a name that are no UTF-8 are not
                runs.append(Run.open(path.parent))
    return runs


def size_of(path: Path) -> int:
    """Bytes of a plain file; 0 where there is none or nobody may look."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _event(line: str) -> dict[str, Any] | None:
    """An event from its line; None where the line is damaged."""
    try:
        event = parse_json(line)
    except ValueError:
        return None
    match event:
        case {"kind": str(kind), "time": int() | float() as when} if 0 <= when < LATEST_TIME:
            return event if kind != "state" or event.get("state") in WRITTEN else None
    return None


def _description(error: Exception) -> dict[str, object]:
    """What a "failed" event tells: the message; key and values to translate ours, the traceback of any other."""
    if isinstance(error, LoRIError):
        values = {
            key: value if isinstance(value, int | float) else value[:LONGEST]
            for key, value in error.plain_values().items()
        }
        return {"error": str(error)[:LONGEST], "key": error.key, "values": values}
    trace = "".join(traceback.format_exception(error))
    return {"error": f"{type(error).__name__}: {error}"[:LONGEST], "traceback": trace[-10 * LONGEST :]}
