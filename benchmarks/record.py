"""Results of benchmarks: benchmarks/results/<name>.json with config, commit, versions and machine."""

import json
import os
import platform
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lori_core.files import write_atomic

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "transformers", "accelerate", "peft", "numpy")


def record(name: str, config: dict[str, Any], results: Any, folder: Path = RESULTS) -> Path:
    """Write one benchmark's results; returns the file."""
    path = folder / f"{name}.json"
    content = {"name": name, "config": config, "results": results, "commit": commit(), "machine": _machine()}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def record_part(name: str, part: str, found: Any, config: dict[str, Any], folder: Path = RESULTS) -> Path:
    """One part of a benchmark measured part by part; the others stay, each with the commit that it was measured at."""
    path = folder / f"{name}.json"
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known = earlier.get("config", {}).get("commits") or dict.fromkeys(earlier.get("results", {}), earlier.get("commit"))
    commits = known | {part: commit()}
    return record(name, config | {"commits": commits}, results_of(path) | {part: found}, folder)


def once(path: Path, make: Callable[[], Any]) -> Any:
    """The JSON of a file, made where it is not there yet, so that a benchmark that was stopped goes on."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(make()))
        print(path, flush=True)
    return json.loads(path.read_text(encoding="utf-8"))


def results_of(path: Path) -> dict[str, Any]:
    """What a file of results holds already, for benchmarks that write it part by part; {} where there is none."""
    return json.loads(path.read_text(encoding="utf-8"))["results"] if path.exists() else {}


def commit() -> str:
    """The commit that was measured, marked where the tree had changes; LORI_COMMIT names it where git cannot."""
    if named := os.environ.get("LORI_COMMIT"):
        return named
    described = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    return described.stdout.strip()


def _machine() -> dict[str, Any]:
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
    }
