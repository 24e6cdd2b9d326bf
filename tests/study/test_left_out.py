"""Rows that are not used are told wherever a run is looked at; a split without rows is refused before any work."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from example_results import example

from lori_core.commands.progress import left_out_line
from lori_core.errors import TaskError
from lori_core.report.findings import warnings
from lori_core.study.jobs import execute
from lori_core.study.runs import Run
from lori_core.study.specs import EvaluateJob, TrainJob

pytestmark = pytest.mark.usefixtures("processor")


def job(folder: Path, rows: dict[str, list[str]]) -> dict[str, Any]:
    """Settings of a base and a task whose files hold these prompts."""
    tiny.saved_base(folder / "base")
    (folder / "rows").mkdir()
    for name, prompts in rows.items():
        text = "".join(json.dumps({"q": prompt, "a": "x"}) + "\n" for prompt in prompts)
        (folder / "rows" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    spec = f"t={folder / 'rows'}?prompt=q&response=a&max_new_tokens=2"
    return {"task": spec, "base": str(folder / "base"), "device": "cpu", "precision": "fp32"}


def test_rows_that_are_too_long_or_stand_twice_are_told_by_the_run(tmp_path: Path):
    prompts = [f"{n}" for n in range(8)]
    settings = job(tmp_path, {"train": [*prompts, "x" * 60, "x" * 61], "val": ["a"], "test": ["b", "7", " 6"]})
    training = tiny.by_method(steps=1, max_length=32)
    made = TrainJob(method="lori_d", adapter=tiny.CONFIG, train=training, **settings)
    run = Run.create(tmp_path, "train", made.model_dump(mode="json"))
    execute(run)
    told = [event for event in run.events() if event["kind"] == "left_out"]
    assert [event["rows"] for event in told] == [{"duplicate": 1, "near_duplicate": 1}, {"too_long": 2}]
    assert "1 whose prompt stands in a later split too" in left_out_line(told[0], "en")


def test_a_split_without_rows_is_refused_before_the_base_is_looked_at(tmp_path: Path):
    settings: dict[str, Any] = job(tmp_path, {"train": ["a", "b"], "test": ["c"]}) | {"base": str(tmp_path / "nowhere")}
    made = TrainJob(method="lori_d", **settings)
    with pytest.raises(TaskError, match="'t' has no examples in its validation split"):
        execute(Run.create(tmp_path, "train", made.model_dump(mode="json")))
    scoring = EvaluateJob(tasks=(made.task,), split="validation", base=made.base)
    with pytest.raises(TaskError, match="validation split"):
        execute(Run.create(tmp_path, "evaluate", scoring.model_dump(mode="json")))


def test_the_report_says_which_rows_were_not_used():
    result = replace(example(seeds=(0,)), left_out={"math": {"duplicate": 1234}})
    told = next(text for text in warnings(result, "en") if "math" in text)
    assert "1,234 whose prompt" in told and "3 longer than" in told
