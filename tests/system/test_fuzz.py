"""Files of every kind that the lab reads, mutated: they are read, or refused by a LoRIError, in measured memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="address spaces and forks as POSIX has them")
ROOT = Path(__file__).parents[2]


def test_300_mutated_files_are_read_or_refused_in_one_sentence_and_in_memory_that_their_size_allows(tmp_path):
    """A process each, as benchmarks/fuzz.py has it; its result in benchmarks/results is of ten times as many."""
    command = [sys.executable, "-m", "benchmarks.fuzz", "--inputs", "300", "--seed", "7", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert (tmp_path / "fuzz.json").exists(), done.stderr
    results = json.loads((tmp_path / "fuzz.json").read_text(encoding="utf-8"))["results"]
    assert results["inputs"] == 300 and results["faults"] == []
    assert all(ends["read"] and ends["refused"] for ends in results["by_kind"].values())
