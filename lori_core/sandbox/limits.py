"""Limits that the kernel keeps for a process that runs a program: time, memory, files, processes, system calls."""

import contextlib
import itertools
import os
import resource
import signal
import sys
from dataclasses import dataclass

from . import jail, landlock, seccomp

OPEN_FILES = 64


@dataclass(frozen=True)
class Walls:
    """What the system offers to hold programs, beside limits.

    Attributes:
        cells: the folder of the jail's cells; empty: there is no jail.
        landlocked: whether Landlock keeps them from files, in place of a jail and beside the filter.
        filtered: whether the kernel takes the filter of system calls.
    """

    cells: str
    landlocked: bool
    filtered: bool

    def __str__(self) -> str:
        named = {"namespaces": bool(self.cells), "landlock": self.landlocked, "seccomp": self.filtered}
        return "+".join(name for name, there in named.items() if there) or "limits"


def walls_in(cells: str) -> Walls:
    """What there is beside that jail."""
    filtered = seccomp.works()
    return Walls(cells, filtered and not cells and landlock.works(), filtered)


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


def forgo(walls: Walls, alone: bool) -> None:
    """Every right of this process, files and system calls. Raises OSError where it fails against hope."""
    jail.drop_capabilities()
    if walls.landlocked:
        landlock.install()
    if walls.filtered:
        seccomp.install(alone)


def close_all_but(*kept: int) -> None:
    """Files that this process has inherited; standard input, output and error become nothing."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in {0, 1, 2} - {*kept}:
        os.dup2(nothing, stream)
    ends = sorted({2, *kept, OPEN_FILES})
    for before, after in itertools.pairwise(ends):
        os.closerange(before + 1, after)
