"""Slowness of this machine (lori_core/study/yardstick.py), measured once, where no study has told it yet.

By a process of its own, with as many threads as a job has, since it needs torch and seconds.
"""

import subprocess
import sys
import threading
from contextlib import suppress

from app.jobs import environment
from app.lab import Context
from lori_core.study.pace import expected_seconds
from lori_core.study.runs import list_runs
from lori_core.study.specs import StudyConfig

PATIENCE = 120  # seconds; a machine that takes longer says nothing of the time that a study takes
COMMAND = (sys.executable, "-m", "lori_core.study.slowness")

_turn = threading.Lock()
_found: list[float | None] = []


def measure(page: Context) -> None:
    """Returns once a study has told it, or it has been measured, also by somebody else who asked at the same time."""
    with _turn:
        if not _found and not time_of(page, StudyConfig())[1]:
            _found.append(_measured())


def is_measured() -> bool:
    """Whether measure() has ended, be it without a result."""
    return bool(_found)


def time_of(page: Context, config: StudyConfig) -> tuple[float | None, bool]:
    """Seconds that a study will take, None: not known; and whether an earlier study here says so."""
    known = list_runs(page.workspace.runs)
    by_runs = expected_seconds(config, known)
    return (by_runs, True) if by_runs is not None else (expected_seconds(config, (), next(iter(_found), None)), False)


def _measured() -> float | None:
    with suppress(subprocess.SubprocessError, ValueError):
        done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=PATIENCE, check=True, env=environment())
        return float(done.stdout)
    return None
