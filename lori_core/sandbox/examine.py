"""Examiner inside the sandbox, for programs of foreign benchmarks. run.py starts this file alone, through jail.py.

Reads a Python literal from stdin, [(setup, source, test, entry_point, seconds), ...]. Writes "namespaces" or "limits",
what holds the programs in, and then one word a program: "passed", "wrong", "error", "timeout" or "crash".

Two processes a program. The examiner runs `setup`, which the benchmark gives, and `test`, whose check(candidate) calls
the program's function. The player runs the program and has never seen a test: it is sent arguments and answers with
results, both as Python literals. So a program that leaves early, changes what `assert` means, traces its caller or
returns something that equals everything has answered nothing.
"""

import ast
import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

MEMORY = 2**30  # bytes of address space of a process
FILE_SIZE = 2**20  # bytes of a file
OPEN_FILES = 64
LONGEST_REPLY = 2**20  # bytes
LITERALS: dict[type, Callable] = {kind: kind for kind in (int, float, complex, str, bytes)}
COLLECTIONS: dict[type, Callable] = {list: list, tuple: tuple, set: set, frozenset: set}  # a frozenset equals a set
ALONE = os.getpid() == 1  # in namespaces of its own: then every process there is, is this one's


class NoAnswer(BaseException):
    """The program ended, or said what is no literal. No `except Exception` of a test may take it for an answer."""


class Raised(Exception):
    """The program's function raised; a test may expect that."""


def contain(seconds: float, processes: int | None = None) -> None:
    """Limits of this process, for good: `seconds` of processor time, and as many processes of this user."""
    limits = {
        resource.RLIMIT_CPU: int(seconds) + 1,
        resource.RLIMIT_AS: MEMORY,
        resource.RLIMIT_FSIZE: FILE_SIZE,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    } | ({} if processes is None else {resource.RLIMIT_NPROC: processes})
    for limit, value in limits.items():
        with contextlib.suppress(OSError, ValueError):  # macOS refuses RLIMIT_AS
            resource.setrlimit(limit, (value, value))
    signal.setitimer(signal.ITIMER_PROF, seconds)


# --- the player


def play() -> None:
    """Runs the program of the first line, then answers a call a line: ("result", value) or ("error", name)."""
    asked, told = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # what a program prints is heard by nobody
        os.dup2(nothing, stream)
    source, entry_point, seconds = ast.literal_eval(asked.readline().decode())
    contain(seconds, processes=0)
    scope: dict = {"__name__": "program"}
    exec(compile(source, "<program>", "exec"), scope)
    for line in asked:
        args, kwargs = ast.literal_eval(line.decode())
        try:
            reply = ("result", plain(scope[entry_point](*args, **kwargs)))
        except Exception as error:
            reply = ("error", type(error).__name__)
        told.write(repr(reply).encode() + b"\n")
        told.flush()


def plain(value: Any) -> Any:
    """The value in types whose repr is a literal: a Counter as the dict that it equals. Raises TypeError for others."""
    if value is None or isinstance(value, bool):
        return value
    for kind, made in LITERALS.items():
        if isinstance(value, kind):
            return made(value)
    if isinstance(value, dict):
        return {plain(key): plain(each) for key, each in value.items()}
    for kind, made in COLLECTIONS.items():
        if isinstance(value, kind):
            return made(plain(each) for each in value)
    raise TypeError(type(value).__name__)


# --- the examiner


def examine(setup: str, source: str, test: str, entry_point: str, seconds: float) -> str:
    """The verdict on one program; runs setup and test in this very process, so only ever called in a fork."""
    player = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, "play"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    told, heard = player.stdin, player.stdout
    assert told and heard
    contain(seconds)

    def tell(value: object) -> None:
        told.write(repr(value).encode() + b"\n")
        told.flush()

    def candidate(*args: object, **kwargs: object) -> object:
        tell((plain(args), plain(kwargs)))
        line = heard.readline(LONGEST_REPLY)
        try:
            kind, value = ast.literal_eval(line.decode())
        except Exception:
            raise NoAnswer from None
        if kind == "error":
            raise Raised(value)
        return value

    scope: dict = {"__name__": "test"}
    try:
        tell((source, entry_point, seconds))
        exec(compile(setup, "<setup>", "exec"), scope)
        scope[entry_point] = candidate  # some tests call it by its name
        exec(compile(test, "<test>", "exec"), scope)
        scope["check"](candidate)
    except AssertionError:
        return "wrong"
    except (NoAnswer, BrokenPipeError):
        return _how_it_ended(player)
    except BaseException:
        return "error"
    return "passed"


def _how_it_ended(player: "subprocess.Popen[bytes]") -> str:
    with contextlib.suppress(subprocess.TimeoutExpired):  # it has closed its pipe, and needs a moment to end
        player.wait(1)
    player.kill()
    code = player.wait()
    return {-signal.SIGPROF: "timeout", -signal.SIGXCPU: "timeout", 1: "error"}.get(code, "crash")


def examine_in_fork(setup: str, source: str, test: str, entry_point: str, seconds: float) -> str:
    """The verdict, brought back through a pipe; whatever the program does to the examiner, it is not "passed"."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(reader)
        os.write(writer, examine(setup, source, test, entry_point, seconds).encode())
        os._exit(0)
    os.close(writer)
    # Waiting costs no processor time, so a program that sleeps is ended by the clock: late, as a machine may be busy.
    ready, _, _ = select.select([reader], [], [], 3 + 5 * seconds)
    verdict = os.read(reader, 100).decode() if ready else "timeout"
    os.close(reader)
    _end_all(child)
    _, status = os.waitpid(child, 0)
    if not verdict and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF:
        return "timeout"
    return verdict or "crash"


def _end_all(examiner: int) -> None:
    """The examiner and all that it or the program started."""
    with contextlib.suppress(ProcessLookupError):
        if ALONE:
            os.kill(-1, signal.SIGKILL)  # everyone but process 1
        else:
            os.killpg(examiner, signal.SIGKILL)


def main() -> None:
    programs = ast.literal_eval(sys.stdin.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    print("namespaces" if ALONE else "limits", flush=True)
    for program in programs:
        print(examine_in_fork(*program), flush=True)
        if ALONE:
            with contextlib.suppress(ChildProcessError):  # orphans come to process 1
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


if __name__ == "__main__":
    play() if sys.argv[1:] == ["play"] else main()
