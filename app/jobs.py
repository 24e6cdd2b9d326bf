"""Job queue: runs that wait, one at a time on each device, each a process of its own that outlives the app.

A job is a run folder (study/runs.py) and `python -m lori_core run FOLDER`. Everything that the queue knows lies in the
folders, so that a restart of the app, or a second browser, sees the same:

    queued      there while it waits; its time of writing is its place in the queue
    log.txt     what the process wrote
    run.lock    held by the process while it runs, with its process id

What cannot be read or started is passed over and told once in the log of the app; the queue goes on.
"""

import errno
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import lori_core
from lori_core.errors import LoRIError, RunError
from lori_core.files import refusals, write_atomic
from lori_core.study.machine import cores
from lori_core.study.runs import Run, list_runs, size_of

LOG = logging.getLogger(__name__)
TICK = 0.5  # seconds between two looks at the queue
DEVICE = re.compile(r"(?P<kind>cpu|mps|cuda)(:(?P<number>\d{1,2}))?")  # devices that the queue can tell apart
ANY = ""  # the default device: it may be any of them
PATIENCE = 60.0  # seconds that a run which was asked to stop has for its checkpoint; then its process group is ended


class Jobs:
    """The queue over the folders of runs given, until close(). Several workspaces share one, as they share devices."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self.patience = patience
        self._folders: list[Path] = []
        self._processes: dict[Path, subprocess.Popen[bytes]] = {}  # run folder -> what this app started
        self._events: dict[Path, int] = {}  # run folder -> bytes of its events when this app started it
        self._deadlines: dict[Path, tuple[Run, float]] = {}  # run folder -> when it will be ended (time.monotonic)
        self._told: set[tuple[Path | None, str]] = set()  # what was passed over, and why
        self._change = threading.RLock()
        self._closed = threading.Event()
        threading.Thread(target=self._work, name="jobs", daemon=True).start()

    def watch(self, folder: Path) -> None:
        """Also take jobs from that folder of runs, with those that wait in it since earlier."""
        with self._change:
            if folder not in self._folders:
                self._folders.append(folder)

    def submit(self, folder: Path, kind: str, config: dict[str, Any]) -> Run:
        """A new run in `folder`, which waits for its turn."""
        self.watch(folder)
        run = Run.create(folder, kind, config)
        write_atomic(run.path / "queued", "")
        return run

    def resume(self, run: Run) -> None:
        """Put a run that was stopped, killed or failed into the queue again; it goes on from its checkpoint.

        Raises:
            RunError: "run_in_use" where it runs, or is about to; "run_finished".
        """
        match "running" if self.is_starting(run) else run.state():
            case "running":
                raise RunError("run_in_use", path=run.path.name, pid=self._at_work(run) or "?")
            case "finished":
                raise RunError("run_finished", path=run.path.name)
        write_atomic(run.path / "queued", "")

    def stop_and_keep(self, run: Run) -> None:
        """Let it write a checkpoint and end; what does not end within `patience` seconds is ended.

        One that is starting has done nothing yet that could be kept.
        """
        with self._change:
            with refusals(run.path):
                (run.path / "queued").unlink(missing_ok=True)
            pid = self._at_work(run)
            if pid is None:
                return
            if self.is_starting(run):
                return _end_group(pid)
            run.request_stop()
            self._deadlines.setdefault(run.path, (run, time.monotonic() + self.patience))

    def discard(self, run: Run) -> None:
        """End its processes now and remove its folder, which is out of sight at once.

        Raises:
            StorageError: the disk refused.
        """
        with self._change:
            with refusals(run.path):
                (run.path / "queued").unlink(missing_ok=True)
            for pid in filter(None, {_holder(run), self._pid(run.path)}):
                _end_group(pid)
            process = self._processes.pop(run.path, None)
        if process is not None:
            process.wait()
        while run.state() == "running":  # of an app before this one: not our child, so there is nothing to wait on
            time.sleep(0.02)
        with refusals(run.path):
            shutil.rmtree(run.path.rename(run.path.with_name(f".{run.path.name}")))

    def waiting(self) -> list[Run]:
        """What waits, next first."""
        found: list[tuple[int, Path, Run]] = []
        for ticket in [ticket for folder in self._folders for ticket in folder.glob("[!.]*/queued")]:
            try:
                if ticket.is_file():
                    found.append((ticket.stat().st_mtime_ns, ticket, Run.open(ticket.parent)))
            except FileNotFoundError:  # it was stopped or discarded meanwhile
                continue
            except (OSError, RunError) as error:
                self._tell(ticket.parent, error)
        return [run for *_, run in sorted(found, key=lambda each: each[:2])]

    def is_waiting(self, run: Run) -> bool:
        return (run.path / "queued").exists()

    def is_starting(self, run: Run) -> bool:
        """Whether its process is there but has not begun with it: to load what it needs takes some seconds."""
        begun = size_of(run.path / "events.jsonl") != self._events.get(run.path)
        return not begun and self._pid(run.path) is not None

    def busy(self) -> set[str]:
        """Devices that a run holds now, as device_of() has them."""
        known = (run for folder in self._folders for run in list_runs(folder))
        return {device_of(run) for run in known if run.path in self._processes or run.state() == "running"}

    def close(self) -> None:
        """Start nothing more. What runs goes on, and the next app finds it."""
        self._closed.set()

    def _work(self) -> None:
        while not self._closed.wait(TICK):
            for part in (self._reap, self._start_next):
                try:
                    with self._change:
                        part()
                except Exception as error:  # whatever it is: a thread that ends would start no run again
                    self._tell(None, error)

    def _tell(self, path: Path | None, error: Exception) -> None:
        """Of the same folder and reason only once: the queue is looked at twice a second."""
        reason = f"{type(error).__name__}: {error}"
        if (path, reason) not in self._told:
            self._told.add((path, reason))
            trace = None if isinstance(error, LoRIError | OSError) else error
            LOG.warning("The queue passes over %s: %s", path or "what it did", reason, exc_info=trace)

    def _reap(self) -> None:
        for path in [path for path, process in self._processes.items() if process.poll() is not None]:
            del self._processes[path]
            self._events.pop(path, None)
        for path, (run, deadline) in list(self._deadlines.items()):
            if (pid := self._at_work(run)) is None:  # what has its number later is somebody else's
                del self._deadlines[path]
            elif time.monotonic() > deadline:
                del self._deadlines[path]
                _end_group(pid)

    def _start_next(self) -> None:
        waiting = self.waiting()
        if not waiting:
            return
        busy = self.busy()
        for run in waiting:
            if run.state() == "running":  # somebody started it in a terminal, or an app before this one did
                (run.path / "queued").unlink(missing_ok=True)
                continue
            device = device_of(run)
            if busy & {device, ANY} or (device == ANY and busy):
                continue
            try:
                self._start(run)
            except OSError as error:  # it keeps its place, and others go before it
                self._tell(run.path, error)
            else:
                busy.add(device)

    def _start(self, run: Run) -> None:
        """In its own folder: what a library looks for where it works must not find another's files."""
        path = run.path / "log.txt"
        if path.exists() and not path.is_file():  # a pipe would stop the training, or the queue, once nobody reads it
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self._events[run.path] = size_of(run.path / "events.jsonl")
        with open(path, "ab") as log:
            self._processes[run.path] = subprocess.Popen(
                [sys.executable, "-m", "lori_core", "run", str(run.path.absolute())],
                cwd=run.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(),
                start_new_session=True,
            )
        (run.path / "queued").unlink(missing_ok=True)

    def _at_work(self, run: Run) -> int | None:
        """The process that runs it, or that this app started for it."""
        return _holder(run) or self._pid(run.path)

    def _pid(self, path: Path) -> int | None:
        process = self._processes.get(path)
        return process.pid if process is not None and process.poll() is None else None


def environment() -> dict[str, str]:
    """Of processes that run lori_core: the app changes its folder, so a checkout that is not installed is named.

    One core stays free for the app and the browser: where threads share a core with those, all wait for the slowest,
    and two threads on two cores take longer than one (benchmarks/README.md). Who sets OMP_NUM_THREADS is heeded.
    """
    here = str(Path(lori_core.__file__).parent.parent)
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"OMP_NUM_THREADS": str(max(1, cores() - 1))} | os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def device_of(run: Run) -> str:
    """The device as the queue counts it: "cpu" whatever its number, "cuda:0" for "cuda"; ANY where none is known."""
    known = DEVICE.fullmatch(str(run.config.get("device") or ""))
    if known is None:
        return ANY
    return f"cuda:{int(known['number'] or 0)}" if known["kind"] == "cuda" else known["kind"]


def _holder(run: Run) -> int | None:
    """The process that runs it, also one that an earlier app or a terminal started."""
    if run.state() != "running":
        return None
    with suppress(OSError, ValueError):
        pid = int((run.path / "run.lock").read_bytes()[:20])
        return pid if pid > 1 else None  # to signal process 0 would end the app, and 1 the machine
    return None


def _end_group(pid: int) -> None:
    """The process and all it started; one that leads no group of its own, as in a script, is ended alone."""
    with suppress(ProcessLookupError, OverflowError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
