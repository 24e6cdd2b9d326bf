"""Peak memory of a piece of work beyond what was there before it (Linux)."""

import ctypes
import gc
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any


def peak_bytes(work: Callable[[], Any]) -> int:
    """Resident bytes at the worst moment of the work, its result included, beyond those before it."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # else what earlier work has freed is still there, and taken again unseen
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
    before = _status("VmRSS")
    result = work()
    peak = _status("VmHWM")
    del result
    return peak - before


def _status(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return 1024 * int(found[1])
