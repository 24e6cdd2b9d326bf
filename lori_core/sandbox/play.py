"""The player: runs a program, which has never seen a test, and answers its calls."""

import os

from . import jail, limits
from .literals import dumps, loads

MEMORY = 2**30  # bytes of address space
FILE_SIZE = 2**20  # bytes of a file
READY = b"ready\n"


def play(asked: int, tells: int, cells: str) -> None:
    """Runs the program of the first line asked, then answers a call a line: ["result", value] or ["error", name].

    asked, tells: pipes. cells: the folder of the jail's cells; empty: there is none, and the program gets a folder.
    """
    limits.close_all_but(asked, tells)  # what a program prints is heard by nobody
    if cells:
        jail.cell(cells)
    else:
        os.mkdir("cell")
        os.chdir("cell")
    os.write(tells, READY)
    with os.fdopen(asked, "rb") as calls, os.fdopen(tells, "wb") as replies:
        source, entry_point, seconds = loads(calls.readline())
        limits.contain(seconds, MEMORY, FILE_SIZE)
        limits.forgo(alone=True)
        scope: dict = {"__name__": "program"}
        exec(compile(source, "<program>", "exec"), scope)
        for line in calls:
            args, kwargs = loads(line)
            try:
                reply = dumps(["result", scope[entry_point](*args, **kwargs)])
            except Exception as error:
                reply = dumps(["error", type(error).__name__])
            replies.write(reply + b"\n")
            replies.flush()
