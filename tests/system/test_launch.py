"""`accelerate launch` with two processes on a CPU: one run, what one process learns, and a launch that loses one."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from typer.testing import CliRunner

from lori_core.__main__ import app
from lori_core.errors import Stopped
from lori_core.processes import own_folder
from lori_core.results import SingleResult
from lori_core.storage.adapter_files import load_adapter
from lori_core.study.jobs import execute
from lori_core.study.runs import Run
from lori_core.study.specs import TrainJob
from lori_core.training.hooks import Hooks
from lori_core.training.recipes import TrainingByMethod, training_for

SHARDED = ("--use_fsdp", "--fsdp_version", "2")


def run_of(folder: Path, steps: int, **settings) -> Run:
    """One that trains, not made by any process yet but for its spec."""
    short = {"steps": steps, "batch_size": 4, "max_length": 128, "checkpoint_every": 2}
    train: TrainingByMethod = {method: config.changed(**short) for method, config in training_for("embedded").items()}
    job = TrainJob(task="math", device="cpu", train=train, validation_examples=1, test_examples=2, **settings)
    return Run.create(folder, "train", job.model_dump(mode="json"))


def launch(*arguments: object, kind: tuple[str, ...] = ("--multi_gpu",)) -> subprocess.Popen[str]:
    """Two processes of the command. On a machine without GPUs `--multi_gpu` starts them; `--cpu` would start one."""
    given = ("--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no")
    launcher = [sys.executable, "-m", "accelerate.commands.launch", *kind, *given, "--main_process_port", "0"]
    return subprocess.Popen(
        [*launcher, "-m", "lori_core", *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def losses(run: Run) -> list[float]:
    return [event["loss"] for event in run.events() if event["kind"] == "step"]


def same_adapter(left: Run, right: Run) -> None:
    """Equal masks, and values that differ by no more than what rounding to bf16 makes of 1e-5."""
    one, other = (load_adapter(run.path / "adapters/trained").factors for run in (left, right))
    for module, factors in one.items():
        assert torch.equal(factors.mask, other[module].mask), module
        assert torch.allclose(factors.values.float(), other[module].values.float(), rtol=2**-7, atol=1e-6), module
    results = [run.result_as(SingleResult) for run in (left, right)]
    assert results[0].training.losses == pytest.approx(results[1].training.losses, rel=1e-5, abs=1e-7)
    assert results[0].score.loss and results[1].score.loss
    assert results[0].score.loss.value == pytest.approx(results[1].score.loss.value, rel=1e-4)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Run:
    run = run_of(tmp_path_factory.mktemp("alone"), steps=4)
    execute(run)
    return run


def test_a_launch_of_two_processes_leaves_one_run_with_what_one_process_learns(tmp_path, alone):
    launched = launch("run", alone.path / "spec.json", "--out", tmp_path)
    said = launched.communicate()[0]
    assert launched.returncode == 0, said
    (folder,) = tmp_path.iterdir()
    run = Run.open(folder)
    assert run.state() == "finished"
    assert losses(run) == pytest.approx(losses(alone), rel=1e-5)
    assert said.count("Adapter:") == 1
    same_adapter(run, alone)


def test_a_run_that_one_process_began_goes_on_in_two_that_share_the_base_out(tmp_path, alone):
    run, steps = run_of(tmp_path, steps=4), []
    with pytest.raises(Stopped):
        execute(run, Hooks(lambda event: steps.append(1) if event["kind"] == "step" else None, lambda: len(steps) == 6))
    launched = launch("resume", run.path, kind=SHARDED)
    said = launched.communicate()[0]
    assert launched.returncode == 0, said
    assert run.state() == "finished"
    assert losses(run) == pytest.approx(losses(alone), rel=1e-5)
    same_adapter(run, alone)


def test_a_launch_that_loses_a_process_to_kill_9_says_so_and_the_run_goes_on_in_one(tmp_path):
    whole, run = (run_of(tmp_path / name, steps=24, method="lori_d") for name in ("whole", "killed"))
    execute(whole)
    launched = launch("run", run.path)
    while len(losses(run)) < 3:
        assert launched.poll() is None, launched.communicate()[0]
        time.sleep(0.01)
    workers = psutil.Process(launched.pid).children(recursive=True)
    (second,) = (worker for worker in workers if worker.environ().get("RANK") == "1")
    second.kill()
    said = launched.communicate()[0]
    assert launched.returncode != 0
    assert "Another process of this launch ended" in said
    failed = run.events()[-1]
    assert (run.state(), failed["key"]) == ("failed", "process_lost")
    assert len(losses(run)) < 24
    execute(run)
    assert run.state() == "finished"
    same_adapter(run, whole)


def test_several_processes_have_to_be_told_which_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused = CliRunner().invoke(app, ["resume", "--out", str(tmp_path)])
    assert refused.exit_code == 2 and "lori resume FOLDER" in refused.output


def test_a_process_after_the_first_copies_a_run_that_it_stands_in_under_the_run_s_name(tmp_path, monkeypatch):
    run = run_of(tmp_path, 2)
    monkeypatch.chdir(run.path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with own_folder(Path(".")) as place:
        assert place.name == run.path.name and place.parent != tmp_path
        assert Run.open(place).config == run.config


def test_a_process_after_the_first_says_nothing_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    merge = {"kind": "merge", "version": 1, "config": {"adapters": [], "weights": []}}
    (tmp_path / "spec.json").write_text(json.dumps(merge))
    done = CliRunner().invoke(app, ["run", str(tmp_path / "spec.json"), "--out", str(tmp_path / "lab")])
    assert done.exit_code == 2 and "Run:" not in done.output
    assert not (tmp_path / "lab").exists()
