"""Sandbox: model-written programs, judged in one contained process that jail.py starts.

run_tests(programs)      small functions, as in the mini tasks: judge.py lets them hold nothing but harmless syntax
run_benchmark(programs)  foreign benchmarks, whole Python: examine.py keeps each apart from its tests

The process has a session of its own, an empty working folder, no environment and no input beyond the programs, limits
of time, memory, processes, file size and output; where the system offers namespaces also no network and no files but
Python's, and isolation() says whether it does. No virtual machine: the kernel is shared.
"""

import functools
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from lori_core.errors import TaskError

Verdict = Literal["passed", "wrong", "error", "refused", "timeout", "crash"]

Isolation = Literal["namespaces", "limits"]

JAIL, JUDGE, EXAMINE = (Path(__file__).with_name(name) for name in ("jail.py", "judge.py", "examine.py"))


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
    texts = [repr(_as_literal(program)) for program in programs]
    return _judged(JUDGE, texts, sum(program.seconds for program in programs))


def run_benchmark(programs: Sequence[Foreign]) -> list[Verdict]:
    """The verdict on each program, in order; raises TaskError where the sandbox does not work or would not hold."""
    if programs and hasattr(os, "getuid") and os.getuid() == 0 and isolation() == "limits":
        raise TaskError("no_foreign_code_as_root")  # no limit on processes holds for root
    texts = [repr((each.setup, each.source, each.test, each.entry_point, each.seconds)) for each in programs]
    return _judged(EXAMINE, texts, sum(program.seconds for program in programs))


@functools.cache
def isolation() -> Isolation:
    """What holds benchmark programs in here: namespaces and limits, or limits alone."""
    return cast(Isolation, (_ask(EXAMINE, "[]", 60).split() or ["limits"])[0])


def _judged(script: Path, texts: Sequence[str], seconds: float) -> list[Verdict]:
    if not texts:
        return []
    if not hasattr(os, "fork"):
        raise TaskError("no_sandbox", platform=sys.platform)
    words = _ask(script, f"[{', '.join(texts)}]", _patience(seconds)).split()
    verdicts = [word for word in words if word not in get_args(Isolation)]
    if len(verdicts) != len(texts):
        raise TaskError("sandbox_failed", judged=len(verdicts), programs=len(texts))
    return [cast(Verdict, verdict) for verdict in verdicts]


def _as_literal(program: Program) -> tuple[str, str, list[tuple[list[Any], Any]], float]:
    tests = [(list(args), expected) for args, expected in program.tests]
    return program.source, program.entry_point, tests, program.seconds


def _patience(seconds: float) -> float:
    """Wall-clock seconds for all: processor times added up, and much more, since other work may share the processor."""
    return 60 + 10 * seconds


def _ask(script: Path, text: str, patience: float) -> str:
    """What the script writes about the programs; whatever it started is gone afterwards."""
    start = [JAIL, script] if sys.platform == "linux" else [script]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", *map(str, start)],
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
