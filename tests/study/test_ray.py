"""Sweeps on a real Ray cluster, whose workers are really killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweeping import FEW, a_study, states
from typed import lori, refused

from lori_core.results import StudyResult, SweepResult, from_json
from lori_core.study.runs import Run, list_runs
from lori_core.study.specs import StudyConfig
from lori_core.study.sweep import create, read


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> StudyConfig:
    """Whose trainings take long enough to be caught."""
    longer = FEW.changed(steps=150)
    return a_study(tmp_path_factory.mktemp("given")).changed(train={"lori_d": longer, "lori_s": longer})


def test_twelve_units_on_two_workers_one_of_which_is_killed_are_done_and_none_twice(tmp_path, study):
    folder = create(tmp_path, study, {"sparsity": (".5", ".6", ".75"), "rank": ("2", "4")}, [0, 1])
    command = [sys.executable, "-m", "lori_core", "sweep", folder, "--address", "local"]
    environment = os.environ | {"RAY_OVERRIDE_RESOURCES": '{"CPU": 2}'}
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, env=environment) as sweep:
        killed = killed_at_work(tmp_path)
        said, _ = sweep.communicate()
    assert sweep.returncode == 0, said
    runs = [Run.open(tmp_path / unit.run) for unit in read(folder).units]
    assert len(runs) == 12 and said.count(": done") == 12
    done_at_once, twice_begun = ["running", "finished"], ["running", "running", "finished"]
    assert {run.path: states(run) for run in runs} == {
        run.path: twice_begun if run.path == killed.path else done_at_once for run in runs
    }
    result = from_json(SweepResult, (folder / "result.json").read_text())
    assert result.finished == result.units == 12 and [cell.seeds for cell in result.cells] == [2] * 6
    assert all(run.result_as(StudyResult).singles for run in runs)


def killed_at_work(root: Path) -> Run:
    """A run whose worker was killed before it was finished."""
    for run in at_work(root):
        os.kill(int((run.path / "run.lock").read_text()), signal.SIGKILL)
        while run.state() == "running":
            time.sleep(0.01)
        if "finished" not in states(run):
            return run
    raise AssertionError("no run was caught at work")


def at_work(root: Path) -> Iterator[Run]:
    """Runs that are training, one at a time, until there are none to come."""
    while open_runs := [run for run in list_runs(root) if run.state() != "finished"]:
        yield from (run for run in open_runs if any(event["kind"] == "step" for event in run.events()))
        time.sleep(0.05)


def test_a_cluster_that_cannot_be_had_is_refused_before_a_run_is_made(tmp_path, study, monkeypatch):
    spec = Run.create(tmp_path / "spec", "study", study.model_dump(mode="json")).path / "spec.json"
    command = ("sweep", spec, "--grid", "rank=2,4", "--out", tmp_path / "out")
    refused(lori(*command, "--gpus", "1"), "--address")
    refused(lori(*command, "--address", "127.0.0.1:1"), "127.0.0.1:1", "ray start --head")
    monkeypatch.setitem(sys.modules, "ray", None)
    refused(lori(*command, "--address", "local"), "lori-lab[sweep]")
    assert not (tmp_path / "out").exists()
