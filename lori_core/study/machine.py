"""Machine that a study was measured on: seconds mean little without it."""

import os
import platform
from pathlib import Path


def machine(device: str, precision: str) -> dict[str, str]:
    """device, precision, processor, cores, system; not the host's name, which tells nobody anything."""
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return {
        "device": device,
        "precision": precision,
        "processor": processor(),
        "cores": str(cores()),
        "system": system,
    }


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_label(device: str) -> str:
    """As a page names it: of a CPU with its model."""
    return f"cpu ({processor()})" if device == "cpu" else device


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Its model where the system says so, else its architecture."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()
