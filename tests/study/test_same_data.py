"""A run is of one version of its data: a later sitting that finds another one is refused."""

import json
from pathlib import Path

import pytest
from sweeping import a_study
from typed import lori, refused

from lori_core.config import AdapterConfig
from lori_core.errors import RunError, Stopped
from lori_core.results import StudyResult
from lori_core.study.jobs import execute
from lori_core.study.runs import Run
from lori_core.study.specs import StudyConfig
from lori_core.training.hooks import Hooks


@pytest.fixture
def study(tmp_path) -> StudyConfig:
    """With a test set of its own beside the file that is learned."""
    study = a_study(tmp_path).changed(adapter=AdapterConfig(rank=4))
    rows = [{"prompt": f"x{b}:", "response": chr(ord(b) + 1)} for b in "bcdefghijk"]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return study.changed(tasks=(f"{study.tasks[0]}?test={tmp_path / 'test.jsonl'}",))


def stopped_after_a_unit(folder: Path, study: StudyConfig) -> Run:
    run, seen = Run.create(folder, "study", study.model_dump(mode="json")), []
    hooks = Hooks(seen.append, lambda: any(e["kind"] == "unit" and e["state"] == "done" for e in seen))
    with pytest.raises(Stopped):
        execute(run, hooks)
    return run


@pytest.mark.parametrize("name", ["after.jsonl", "test.jsonl"])
def test_a_study_whose_data_changed_mixes_no_units_of_both_and_goes_on_with_the_file_as_it_was(tmp_path, study, name):
    run, file = stopped_after_a_unit(tmp_path / "lab", study), tmp_path / name
    before, done = file.read_text(), sorted((run.path / "units").iterdir())
    file.write_text(before.replace('": "d"', '": "e"'))
    refused(lori("resume", run.path), "'after'", "new run", run.path.name)
    assert run.state() == "failed" and sorted((run.path / "units").iterdir()) == done
    file.write_text(before)
    assert execute(run) and run.state() == "finished"


def test_a_study_is_refused_in_the_reader_s_language_and_says_which_split_differs(tmp_path, study):
    run = stopped_after_a_unit(tmp_path / "lab", study)
    with (tmp_path / "test.jsonl").open("a") as file:
        file.write('{"prompt": "one more:", "response": "y"}\n')
    with pytest.raises(RunError) as caught:
        execute(run)
    assert caught.value.values["split"] == "test" and caught.value.values["task"] == "after"
    assert "新しく実行" in caught.value.in_language("ja")


def test_a_study_from_before_data_were_told_apart_goes_on_and_is_of_what_it_then_finds(tmp_path, study):
    run = stopped_after_a_unit(tmp_path / "lab", study)
    kept = (run.path / "data.json").read_bytes()
    (run.path / "data.json").unlink()
    execute(run)
    assert (run.path / "data.json").read_bytes() == kept


def test_mini_tasks_have_no_file_and_are_the_same_at_each_sitting(tmp_path, study):
    longer = {method: config.changed(max_length=256) for method, config in study.train.items()}
    run = stopped_after_a_unit(tmp_path / "lab", study.changed(tasks=("math",), train=longer))
    execute(run)
    assert run.result_as(StudyResult).tasks == ("math",)
