"""What a program may leave behind, and its end: processes that the warden forked, and files."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable

LONGEST_WORD = 20  # bytes


def forked(work: Callable[[], None]) -> int:
    """The process id of a child that does the work and ends: with 0, or with 1 if the work raised."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def word_from(reader: int, seconds: float) -> str:
    """What a child says through a pipe, which this closes; "" where it ends in silence, "timeout" where it does not.

    Waiting costs no processor time, so who sleeps is ended by the clock: late, as a machine may be busy.
    """
    ready, _, _ = select.select([reader], [], [], 3 + 5 * seconds)
    word = os.read(reader, LONGEST_WORD).decode("ascii", "replace") if ready else "timeout"
    os.close(reader)
    return word


def ending(status: int) -> str:
    """The verdict on a program by how its process ended."""
    code = os.waitstatus_to_exitcode(status) & 0xFF  # of the process that waited for it, in a cell
    timeouts = (-signal.SIGPROF & 0xFF, -signal.SIGXCPU & 0xFF)
    return "timeout" if code in timeouts else "error" if code == 1 else "crash"


def wait_a_moment(child: int) -> int | None:
    """The status of a child that has closed its pipe, and needs a moment to end; None where it does not."""
    for _ in range(500):
        process, status = os.waitpid(child, os.WNOHANG)
        if process:
            return status
        time.sleep(0.002)
    return None


def end(*children: int) -> dict[int, int]:
    """Ends the children, in the jail with all that they started; how they ended, by process id."""
    everyone = (-1,) if os.getpid() == 1 else children  # to process 1, all others but itself
    for child in everyone:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    statuses = {}
    with contextlib.suppress(ChildProcessError):  # orphans come to process 1
        while True:
            process, status = os.waitpid(-1, 0)
            statuses[process] = status
    return statuses


def sweep(folder: str) -> None:
    """Empties a folder, however deep it is, and whatever its folders forbid: what is in them moves up."""
    while names := os.listdir(folder):
        for path in (os.path.join(folder, name) for name in names):
            if not _is_folder(path):
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for inner in (os.path.join(path, name) for name in os.listdir(path)):
                if _is_folder(inner):
                    os.chmod(inner, 0o700)
                os.rename(inner, os.path.join(folder, os.urandom(16).hex()))
            os.rmdir(path)


def _is_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)
