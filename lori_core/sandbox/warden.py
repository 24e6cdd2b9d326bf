"""Process 1 of the jail: has programs judged one after another, each in processes that are gone before the next.

run.py starts it and writes a frame a program to its standard input. The warden writes what holds the programs, and then
a line a program: the secret and the verdict. It reads a secret only when the program is gone, and never reads a program
or a test, so its forks know none but what they read themselves.
"""

import importlib
import os
import resource

from . import jail
from .children import sweep
from .frames import HEAD, SECRET, read_exactly
from .limits import OPEN_FILES, walls_in


def main(kind: str) -> None:
    """kind: "judge" or "examine", whose module is loaded alone: a fork takes as long as what there is to copy."""
    judging = importlib.import_module("." + kind, __package__)
    cells = jail.enter()
    jail.hide()
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    walls = walls_in(cells)
    say(str(walls))
    judging.prepare(walls)
    while head := read_exactly(HEAD.size):
        verdict = judging.verdict(*HEAD.unpack(head), walls)
        if not cells:
            sweep(".")
        say(f"{read_exactly(SECRET).decode()} {verdict}")


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")
