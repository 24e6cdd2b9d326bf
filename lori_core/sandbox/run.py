"""Sandbox: model-written programs, judged in contained processes; docs/security.md says what holds them, and what not.

run_tests(programs)      small functions, as in the mini tasks: judge.py lets them hold nothing but harmless syntax
run_benchmark(programs)  foreign benchmarks, whole Python: examine.py keeps each apart from its tests

warden.py is started once for many programs, with a session of its own, an empty working folder, no environment and no
input but the programs. A verdict counts only beside the secret that was sent with its program. isolation() says what
the system offers to hold programs. No virtual machine: the kernel is shared.
"""

import contextlib
import functools
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast, get_args

from lori_core.errors import TaskError
from lori_core.sandbox.children import sweep
from lori_core.sandbox.frames import SECRET, packed
from lori_core.sandbox.literals import dumps

Verdict = Literal["passed", "wrong", "error", "refused", "timeout", "crash"]

Isolation = Literal["namespaces+seccomp", "namespaces", "landlock+seccomp", "seccomp", "limits"]

FOLDER = Path(__file__).parent
# Nothing but Python's own modules and this folder's, as a package; programs find only the former.
START = "import sys; sys.path.append({parent!r}); from {name} import warden; sys.path.pop(); warden.main({kind!r})"
LONGEST_LINE = 200  # bytes that the warden may write about a program


@dataclass(frozen=True)
class Program:
    """A function and its tests.

    Attributes:
        source: Python text; syntax, names and methods beyond judge.py's lists are refused.
        entry_point: name of the function that is called.
        tests: (arguments, expected result) each; Python literals only.
        seconds: processor time that it may use, tests included.
    """

    source: str
    entry_point: str
    tests: Sequence[tuple[Sequence[Any], Any]]
    seconds: float = 1.0


@dataclass(frozen=True)
class Foreign:
    """A program of a benchmark, in HumanEval's form.

    Attributes:
        setup: what the benchmark gives: imports and helper functions that its test may use.
        source: the whole program, setup included.
        test: Python text that defines check(candidate), which asserts.
        entry_point: name of the function that is the candidate.
        seconds: processor time that it may use, tests included.
    """

    setup: str
    source: str
    test: str
    entry_point: str
    seconds: float = 3.0


def run_tests(programs: Sequence[Program]) -> list[Verdict]:
    """The verdict on each program, in order; raises TaskError where the sandbox itself does not work."""
    contents = [dumps((each.source, each.entry_point, list(each.tests))) for each in programs]
    return _judged("judge", contents, [each.seconds for each in programs])


def run_benchmark(programs: Sequence[Foreign]) -> list[Verdict]:
    """The verdict on each program, in order; raises TaskError where the sandbox does not work or would not hold."""
    if programs and hasattr(os, "getuid") and os.getuid() == 0 and "namespaces" not in isolation():
        raise TaskError("no_foreign_code_as_root")  # every file and every process would be in its reach
    contents = [dumps((each.setup, each.source, each.test, each.entry_point, each.seconds)) for each in programs]
    return _judged("examine", contents, [each.seconds for each in programs])


def isolation() -> Isolation:
    """What holds programs in here beside limits: namespaces or Landlock, a filter of system calls, both, neither."""
    return _isolation_in(FOLDER) if hasattr(os, "fork") else "limits"


@functools.cache
def _isolation_in(_folder: Path) -> Isolation:
    with _warden("examine") as (_, lines):
        held = _line(lines, _patience(0))
    return cast(Isolation, held) if held in get_args(Isolation) else "limits"


def _judged(kind: str, contents: Sequence[bytes], seconds: Sequence[float]) -> list[Verdict]:
    """The verdicts. Where a warden ends at a program another one takes over; where that ends there too, it crashed."""
    if contents and not hasattr(os, "fork"):
        raise TaskError("no_sandbox", platform=sys.platform)
    verdicts: list[Verdict] = []
    ended_at = None
    while (first := len(verdicts)) < len(contents):
        found = _by_one_warden(kind, contents[first:], seconds[first:])
        if found is None:
            raise TaskError("sandbox_failed", judged=first, programs=len(contents))
        verdicts += found
        if len(verdicts) == ended_at:
            verdicts.append("crash")
        ended_at = len(verdicts)
    return verdicts


def _by_one_warden(kind: str, contents: Sequence[bytes], seconds: Sequence[float]) -> list[Verdict] | None:
    """The verdicts up to the program at which the warden ends; None where it cannot begin, or holds less than said."""
    expected = [secrets.token_hex(SECRET // 2) for _ in contents]
    frames = b"".join(map(packed, contents, seconds, expected))
    verdicts: list[Verdict] = []
    with _warden(kind) as (programs, lines):
        held = _line(lines, _patience(0))
        if held not in get_args(Isolation) or not {*isolation().split("+")} - {"limits"} <= {*held.split("+")}:
            return None
        threading.Thread(target=_feed, args=(programs, frames), daemon=True).start()
        for secret, patience in zip(expected, map(_patience, seconds), strict=True):
            heard, _, verdict = _line(lines, patience).partition(" ")
            if heard != secret or verdict not in get_args(Verdict):
                break
            verdicts.append(cast(Verdict, verdict))
    return verdicts


def _patience(seconds: float) -> float:
    """Wall-clock seconds for a program: its processor time, and much more, since other work may share the processor."""
    return 60 + 10 * seconds


def _line(file: int, patience: float) -> str:
    """The next line; what has come of it where it is too long, or not whole in time."""
    line = b""
    until = time.monotonic() + patience
    while not line.endswith(b"\n") and len(line) < LONGEST_LINE:
        ready, _, _ = select.select([file], [], [], max(0.0, until - time.monotonic()))
        if not ready or not (byte := os.read(file, 1)):
            break
        line += byte
    return line.decode("ascii", "replace").removesuffix("\n")


@contextlib.contextmanager
def _warden(kind: str) -> Iterator[tuple[IO[bytes], int]]:
    """Where a warden reads programs, and the file it writes lines to; whatever it started is gone afterwards."""
    start = START.format(parent=str(FOLDER.parent), name=FOLDER.name, kind=kind)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={},
            start_new_session=True,
        )
        assert process.stdin and process.stdout
        try:
            yield process.stdin, process.stdout.fileno()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            _feed(process.stdin, b"")
            process.stdout.close()
            with contextlib.suppress(OSError):
                sweep(folder)


def _feed(file: IO[bytes], frames: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ValueError), file:  # broken or closed where the warden has ended before
        file.write(frames)
