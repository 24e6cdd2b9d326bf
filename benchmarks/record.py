"""Where results of benchmarks go: benchmarks/results/<name>.json with config, commit, versions and machine."""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "transformers", "accelerate", "peft", "numpy")


def record(name: str, config: dict[str, Any], results: Any) -> Path:
    """Write one benchmark's results; returns the file."""
    path = RESULTS / f"{name}.json"
    content = {"name": name, "config": config, "results": results, "commit": _commit(), "machine": _machine()}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def _commit() -> str:
    """The commit that was measured, marked where the tree had changes."""
    described = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    return described.stdout.strip()


def _machine() -> dict[str, Any]:
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
    }
