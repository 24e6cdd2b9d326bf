"""Two processes that train together, on a CPU over gloo: each with the whole base, and each with half of it."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import in_processes
import pytest
import tiny
import torch

from lori_core.bases.load import load_base
from lori_core.bases.sharded import shared_out
from lori_core.errors import ModelError


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> list[dict[str, Any]]:
    """What each of two processes found, and one alone."""
    folder = tmp_path_factory.mktemp("processes")
    tiny.saved_base(folder / "base")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    both = {"PYTHONPATH": str(Path(tiny.__file__).parent), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    both |= {"ACCELERATE_USE_CPU": "true", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "in_processes", str(folder)],
            env=os.environ | both | {"RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    said = [process.communicate()[1] for process in started]
    assert not any(process.returncode for process in started), said
    found = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in "01"]  # our own file
    return [*found, {"alone": in_processes.seen(str(folder), 1)}]


@pytest.mark.parametrize("base", ["whole", "shared out"])
def test_two_processes_score_and_learn_what_one_does(results, base):
    first, second, alone = results[0][base], results[1][base], results[2]["alone"]
    assert torch.equal(first["values"], second["values"])
    assert torch.linalg.norm(first["values"] - alone["values"]) < 1e-5 * torch.linalg.norm(alone["moved"])
    for found in ("loss", "losses", "ratio"):
        assert first[found] == pytest.approx(alone[found], rel=1e-5), found
    assert first["base"] == alone["base"]


def test_of_a_base_that_is_shared_out_each_of_two_processes_holds_half(results):
    alone = results[2]["alone"]["bytes"]
    assert results[0]["whole"]["bytes"] == alone
    assert results[0]["shared out"]["bytes"] == pytest.approx(alone / 2, rel=0.02)  # 257 rows have no half


def test_what_is_whole_at_a_time_is_no_more_than_what_is_estimated(results):
    share, gathered = shared_out(tiny.llama(), 2)
    shared, whole = results[0]["shared out"], results[0]["whole"]
    assert shared["bytes"] == pytest.approx(share, rel=0.01)
    assert gathered / 4 < shared["allocated"] - whole["allocated"] <= gathered


def test_a_base_that_is_shared_out_is_refused_uneven_batches_and_full_fine_tuning(results):
    assert results[0]["refused"] == ["unequal_shares", "sharded_full"]


def test_a_quantised_base_is_not_shared_out():
    with pytest.raises(ModelError) as caught:
        load_base(device="cpu", quantization="8bit", processes=2)
    assert caught.value.key == "sharded_not_whole"
