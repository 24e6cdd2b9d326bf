"""Examiner: programs of foreign benchmarks, whole Python, each kept apart from its test, in a process that saw none.

The player runs the program: it is sent arguments and answers with results, plain values both. The examiner runs
`setup`, which the benchmark gives, and `test`, whose check(candidate) calls the program's function. So a program that
leaves early, changes what `assert` means, traces its caller or returns something that equals everything has answered
nothing. The player starts first, before any process here has read the program or the test.
"""

import os
from typing import NoReturn

from . import limits
from .children import end, ending, forked, wait_a_moment, word_from
from .frames import read_exactly
from .literals import dumps, loads
from .play import FILE_SIZE, MEMORY, READY, play, scope_of

LONGEST_REPLY = 2**26  # bytes
SILENT, NOT_READY = "silent", "not ready"


class NoAnswer(BaseException):
    """The program ended, or said what is no plain value. No `except Exception` of a test may take it for an answer."""


class Raised(Exception):
    """The program's function raised; a test may expect that."""


def prepare(_walls: limits.Walls) -> None:
    """Nothing: cells need what a filter would refuse, so each player and each examiner has its own."""


def verdict(length: int, seconds: float, walls: limits.Walls) -> str:
    """Of the program in the next `length` bytes of standard input: (setup, source, test, entry_point, seconds).

    Raises OSError where no player could be made.
    """
    asked, asks = os.pipe()
    told, tells = os.pipe()
    player = forked(lambda: play(asked, tells, walls))
    os.close(asked)
    os.close(tells)
    reader, writer = os.pipe()
    examiner = forked(lambda: examine(length, walls, asks, told, writer))
    for file in (asks, told, writer):
        os.close(file)
    word = word_from(reader, seconds)
    status = wait_a_moment(player) if word == SILENT else None
    statuses = end(examiner, player)
    if word == NOT_READY:
        raise OSError("no player could be made")
    if word == SILENT:
        return "crash" if status is None else ending(status)
    return word or ending(statuses[examiner])


def examine(length: int, walls: limits.Walls, asks: int, told: int, says: int) -> None:
    """Says the verdict, SILENT or NOT_READY. asks, told, says: pipes, two of the player and one of the warden."""
    setup, source, test, entry_point, seconds = loads(read_exactly(length))
    limits.close_all_but(asks, told, says)
    limits.contain(seconds, MEMORY, FILE_SIZE)
    limits.forgo(walls, alone=True)
    if read_exactly(len(READY), told) == READY:
        word = examined(Candidate(asks, told), setup, source, test, entry_point, seconds)
    else:
        word = NOT_READY
    os.write(says, word.encode())


class Candidate:
    """The program's function, as the test calls it.

    Attributes:
        silent: whether the player has once not answered.
    """

    silent = False

    def __init__(self, asks: int, told: int) -> None:
        self._calls, self._replies = os.fdopen(asks, "wb"), os.fdopen(told, "rb")

    def tell(self, value: object) -> None:
        """Raises NoAnswer where the player has ended."""
        try:
            self._calls.write(dumps(value) + b"\n")
            self._calls.flush()
        except BrokenPipeError:
            self._no_answer()

    def __call__(self, *args: object, **kwargs: object) -> object:
        self.tell((args, kwargs))
        try:
            kind, value = loads(self._replies.readline(LONGEST_REPLY))
        except Exception:
            self._no_answer()
        if kind == "error":
            raise Raised(value)
        return value

    def _no_answer(self) -> NoReturn:
        self.silent = True
        raise NoAnswer from None


def examined(candidate: Candidate, setup: str, source: str, test: str, entry_point: str, seconds: float) -> str:
    """The verdict; runs setup and test in this very process."""
    scope = scope_of("test")
    word = "passed"
    try:
        candidate.tell((source, entry_point, seconds))
        exec(compile(setup, "<setup>", "exec"), scope)
        scope[entry_point] = candidate  # some tests call it by its name
        exec(compile(test, "<test>", "exec"), scope)
        scope["check"](candidate)
    except AssertionError:
        word = "wrong"
    except BaseException:
        word = "error"
    return SILENT if candidate.silent else word
