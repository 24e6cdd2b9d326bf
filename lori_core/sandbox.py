"""run_tests(programs): judges model-written programs in one contained process, see judge.py for its two walls.

The process has a session of its own, an empty working folder, no environment and no input beyond the programs.
This keeps small models' mistakes and simple malice in; it is no virtual machine, so keep it for programs as small as
the mini tasks', and run foreign benchmarks in a container.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from lori_core.errors import TaskError

Verdict = Literal["passed", "wrong", "error", "refused", "timeout", "crash"]

JUDGE = Path(__file__).with_name("judge.py")


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


def run_tests(programs: Sequence[Program]) -> list[Verdict]:
    """The verdict on each program, in order; raises TaskError where the sandbox itself does not work."""
    if not programs:
        return []
    if not hasattr(os, "fork"):
        raise TaskError("no_sandbox", platform=sys.platform)
    verdicts = _ask_judge(repr([_as_literal(program) for program in programs]), _patience(programs)).split()
    if len(verdicts) != len(programs):
        raise TaskError("sandbox_failed", judged=len(verdicts), programs=len(programs))
    return [cast(Verdict, verdict) for verdict in verdicts]


def _as_literal(program: Program) -> tuple[str, str, list[tuple[list[Any], Any]], float]:
    tests = [(list(args), expected) for args, expected in program.tests]
    return program.source, program.entry_point, tests, program.seconds


def _patience(programs: Sequence[Program]) -> float:
    """Wall-clock seconds for all: processor times added up, and much more, since other work may share the processor."""
    return 60 + 10 * sum(program.seconds for program in programs)


def _ask_judge(text: str, patience: float) -> str:
    """What the judge writes about the programs; whatever it started is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(JUDGE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={},
            start_new_session=True,
            text=True,
            encoding="utf-8",
        )
        try:
            return process.communicate(text, timeout=patience)[0]
        except subprocess.TimeoutExpired:
            return ""
        finally:
            _end_group(process)


def _end_group(process: "subprocess.Popen[str]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it has ended by itself
        return
    process.communicate()
