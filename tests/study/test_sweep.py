"""Sweeps: every unit a run of its own, done once."""

import json
from pathlib import Path

import pytest
from sweeping import a_study, states
from typed import lori, refused

from lori_core.errors import ConfigError, RunError
from lori_core.figures.sweep import sweep as heatmap
from lori_core.results import StudyResult, SweepCell, SweepResult, from_json
from lori_core.study import jobs
from lori_core.study.jobs import execute
from lori_core.study.runs import Run, list_runs
from lori_core.study.specs import StudyConfig
from lori_core.study.sweep import create, go_on, read

GRID = {"sparsity": (".5", ".75"), "rank": ("2", "4")}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> StudyConfig:
    return a_study(tmp_path_factory.mktemp("given"))


def test_each_unit_is_a_study_at_one_point_of_the_grid_with_one_seed(tmp_path, study):
    folder = create(tmp_path, study, GRID, [0, 7])
    units = read(folder).units
    assert [(unit.point, unit.seed) for unit in units[:3]] == [
        ({"sparsity": ".5", "rank": "2"}, 0),
        ({"sparsity": ".5", "rank": "2"}, 7),
        ({"sparsity": ".5", "rank": "4"}, 0),
    ]
    made = [StudyConfig(**Run.open(tmp_path / unit.run).config) for unit in units]
    assert [(each.adapter.sparsity, each.adapter.rank, each.seeds) for each in made] == [
        (sparsity, rank, (seed,)) for sparsity in (0.5, 0.75) for rank in (2, 4) for seed in (0, 7)
    ]
    assert {run.state() for run in list_runs(tmp_path)} == {"created"} and len(list_runs(tmp_path)) == 8


def test_a_sweep_goes_on_from_inside_its_folder(tmp_path, study, monkeypatch):
    folder = create(tmp_path / "runs", study, {"rank": ("2",)}, [0])
    monkeypatch.chdir(folder)
    assert go_on(Path(".")).finished == 1
    assert (folder / "result.json").is_file()


def test_one_after_another_a_unit_that_failed_holds_up_no_other_and_the_command_goes_on_with_it_alone(tmp_path, study):
    spec = Run.create(tmp_path / "spec", "study", study.model_dump(mode="json")).path / "spec.json"
    base = Path(study.base)
    folder = create(tmp_path / "runs", study, {"rank": ("2", "1000")}, [0])  # wider than the base
    with pytest.raises(RunError) as caught:
        go_on(folder)
    assert caught.value.key == "sweep_units_failed" and "1000" in str(caught.value)
    assert base.is_dir() and len(from_json(SweepResult, (folder / "result.json").read_text()).cells) == 1

    done = lori("sweep", spec, "--grid", "rank=2,4", "--seeds", "0,1", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    runs = list_runs(tmp_path / "out")
    assert [states(run) for run in runs] == [["running", "finished"]] * 4
    (made,) = (tmp_path / "out").glob("*-sweep-*")
    result = from_json(SweepResult, (made / "result.json").read_text())
    assert [(cell.point, cell.seeds) for cell in result.cells] == [(("2",), 2), (("4",), 2)]
    scores = [run.result_as(StudyResult).singles[0].score.value for run in runs]
    assert sum(cell.value for cell in result.cells) / 2 == pytest.approx(sum(scores) / 4)
    page = (made / "report.html").read_text()
    assert "Plotly.newPlot" in page and '<th scope="row">4</th>' in page
    refused(lori("sweep", made, "--seeds", "0,1,2"), "--seeds")
    again = lori("sweep", made, "--language", "ja")
    assert again.exit_code == 0 and [states(run) for run in runs] == [["running", "finished"]] * 4


def test_a_unit_that_crashed_holds_up_no_other_and_the_result_is_kept(tmp_path, study, monkeypatch):
    folder = create(tmp_path, study, {"rank": ("2", "4")}, [0])
    first = Run.open(tmp_path / read(folder).units[0].run)

    def out_of_memory(run: Run) -> None:
        if run.path == first.path:
            raise RuntimeError("CUDA out of memory")
        execute(run)

    monkeypatch.setattr(jobs, "execute", out_of_memory)
    with pytest.raises(RunError) as caught:
        go_on(folder)
    assert caught.value.key == "sweep_units_failed" and "CUDA out of memory" in str(caught.value)
    assert from_json(SweepResult, (folder / "result.json").read_text()).finished == 1


def test_what_cannot_be_swept_is_refused_before_a_run_is_made(tmp_path, study):
    spec = Run.create(tmp_path / "spec", "study", study.model_dump(mode="json")).path / "spec.json"
    out = ("--out", tmp_path / "out")
    refused(lori("sweep", spec, *out), "one or two settings")
    refused(lori("sweep", spec, "--grid", "sparsity", *out), "sparsity=.8,.9,.95")
    refused(lori("sweep", spec, "--grid", "colour=red", *out), "colour", "rank")
    refused(lori("sweep", spec, "--grid", "sparsity=2", *out), "sparsity")
    refused(lori("sweep", spec, "--grid", "shared_projection=true,false", *out), "shared_projection")
    refused(lori("sweep", spec, "--grid", "rank=2", "--grid", "rank=4", *out), "rank", "once")
    misspelt = study.changed(tasks=(f"{study.tasks[0]}?prompt=promt",)).model_dump(mode="json")
    other = Run.create(tmp_path / "spec", "study", misspelt).path / "spec.json"
    refused(lori("sweep", other, "--grid", "rank=2", *out), "promt")
    other = Run.create(tmp_path / "spec", "train", {"task": "math"}).path / "spec.json"
    refused(lori("sweep", other, "--grid", "rank=2", *out), "train")
    assert not (tmp_path / "out").exists()
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(ConfigError):
        read(tmp_path)


def test_a_heatmap_says_the_interval_of_each_point_and_leaves_what_is_not_done_empty():
    cells = [SweepCell((".8", "8"), "lori_s", 0.9, 0.85, 0.95, 3), SweepCell((".9", "32"), "lori_s", 0.8, 0.7, 0.86, 3)]
    drawn = heatmap(SweepResult({"sparsity": (".8", ".9"), "rank": ("8", "32")}, tuple(cells), 12, 6), "lori_s")
    grid, texts = json.loads(str(drawn.figure.to_json()))["data"]
    assert grid["z"] == [[0.9, None], [None, 0.8]]
    assert texts["text"] == ["0.900<br>0.850–0.950", "0.800<br>0.700–0.860"]
    assert "sparsity .8, rank 8" in drawn.summary and "1 other" in drawn.summary
    assert [row[:2] for row in drawn.rows] == [[".8, 8", "0.900"], [".9, 32", "0.800"]]


def test_a_sweep_that_was_killed_goes_on_with_what_is_not_finished(tmp_path, study):
    folder = create(tmp_path, study, {"rank": ("2", "4")}, [0, 1])
    first, second, *_ = (Run.open(tmp_path / unit.run) for unit in read(folder).units)
    execute(first)
    with pytest.raises(KeyboardInterrupt), second.start():  # begun, and its process gone
        raise KeyboardInterrupt
    result = go_on(folder)
    assert result.units == result.finished == 4
    assert states(first) == ["running", "finished"] and states(second) == ["running", "stopped", "running", "finished"]
    assert [cell.seeds for cell in result.cells] == [2, 2]
