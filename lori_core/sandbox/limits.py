"""Limits that the kernel keeps for a process that runs a program: time, memory, files, processes, system calls."""

import contextlib
import itertools
import os
import resource
import signal
import sys

from . import jail, seccomp

OPEN_FILES = 64


def contain(seconds: float, memory: int, file_size: int, open_files: int = OPEN_FILES) -> None:
    """This process, for good: `seconds` of processor time, bytes of address space and of a file, no other process.

    The timer's default action ends the process even inside a C function.
    """
    limits = {
        resource.RLIMIT_CPU: int(seconds) + 1,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: open_files,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in limits.items():
        with contextlib.suppress(OSError, ValueError):  # macOS refuses RLIMIT_AS
            resource.setrlimit(limit, (value, value))
    sys.set_int_max_str_digits(0)  # time is limited, so integers may be as long as they like
    signal.setitimer(signal.ITIMER_PROF, seconds)


def forgo(alone: bool) -> None:
    """Every right of this process, and system calls, as far as there is a filter: what holds is said by isolation()."""
    jail.drop_capabilities()
    with contextlib.suppress(OSError):
        seccomp.install(alone)


def close_all_but(*kept: int) -> None:
    """Files that this process has inherited; standard input, output and error become nothing."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in {0, 1, 2} - {*kept}:
        os.dup2(nothing, stream)
    ends = sorted({2, *kept, OPEN_FILES})
    for before, after in itertools.pairwise(ends):
        os.closerange(before + 1, after)


def isolation(inside: bool) -> str:
    """What holds programs: namespaces `inside` the jail, seccomp if the kernel takes the filter; else limits alone."""
    child = os.fork()
    if child == 0:
        try:
            seccomp.install()
            os._exit(0)
        finally:
            os._exit(1)
    filtered = os.waitpid(child, 0)[1] == 0
    return "+".join(["namespaces"] * inside + ["seccomp"] * filtered) or "limits"
