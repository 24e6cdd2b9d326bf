"""The player: runs a program, which has never seen a test, and answers its calls."""

import os
import sys
from types import ModuleType

from . import jail, limits
from .literals import dumps, loads

MEMORY = 2**30  # bytes of address space
FILE_SIZE = 2**20  # bytes of a file
READY = b"ready\n"


def play(asked: int, tells: int, walls: limits.Walls) -> None:
    """Runs the program of the first line asked, then answers a call a line: ["result", value] or ["error", name].

    asked, tells: pipes.
    """
    limits.close_all_but(asked, tells)  # what a program prints is heard by nobody
    if walls.cells:
        jail.cell(walls.cells)
    else:
        os.mkdir("cell")
        os.chdir("cell")
    limits.forgo(walls, alone=True)
    os.write(tells, READY)
    with os.fdopen(asked, "rb") as calls, os.fdopen(tells, "wb") as replies:
        source, entry_point, seconds = loads(calls.readline())
        limits.contain(seconds, MEMORY, FILE_SIZE)
        scope = scope_of("program")
        exec(compile(source, "<program>", "exec"), scope)
        for line in calls:
            args, kwargs = loads(line)
            try:
                reply = dumps(["result", scope[entry_point](*args, **kwargs)])
            except Exception as error:
                reply = dumps(["error", type(error).__name__])
            replies.write(reply + b"\n")
            replies.flush()


def scope_of(name: str) -> dict:
    """The names of a new module, which is found where a class asks for its own, as dataclasses do."""
    sys.modules[name] = ModuleType(name)
    return vars(sys.modules[name])
