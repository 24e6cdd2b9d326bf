"""What the page Runs is told of a run, from real run folders."""

import json
import math

import pytest

from app import run_labels
from app.following import follow
from app.jobs import Jobs
from app.lab import Context, Lab
from app.pages import merge, runs
from lori_core.files import append_line, locked
from lori_core.study.runs import Run


def test_the_controls_mask_does_not_take_the_place_of_the_tasks_own(tmp_path):
    run = Run.create(tmp_path, "study", {})
    for method, kept in (("lori_d", {"q": 0.1}), ("lori_d_shared", {"q": 0.5})):
        run.emit({"kind": "mask", "task": "nlu", "method": method, "step": 5, "jaccard": 0.5, "kept": kept})
    (look,) = follow(run).looks["nlu"]
    assert look.kept == {"q": 0.1}


def test_a_stage_keeps_task_method_and_what_is_done_apart(tmp_path):
    run = Run.create(tmp_path, "study", {})
    run.emit({"kind": "step", "task": "a b", "method": "lori_s", "stage": "train", "step": 1, "steps": 9, "loss": 2.0})
    run.emit({"kind": "evaluate", "task": "a b", "split": "test", "done": 3, "total": 4})
    found = follow(run)
    assert found.losses == {("a b", "lori_s", "train"): [(1, 2.0)]}
    assert found.stage == (("a b", "", "evaluate"), 3, 4)


WHOLE = [
    {"kind": "plan", "units": 3, "done": ["a"]},
    {"kind": "unit", "state": "done", "name": "b"},
    {"kind": "state", "state": "failed", "error": "no", "key": "no_run", "values": {"path": "there"}},
    {"kind": "step", "task": "math", "method": "lori_s", "stage": "train", "step": 1, "steps": 9, "loss": 2.0}
    | {"seconds_left": 1.0, "tokens_per_second": 1.0, "memory_bytes": 1},
    {"kind": "evaluate", "task": "math", "split": "test", "done": 3, "total": 4},
    {"kind": "mask", "task": "math", "method": "lori_d", "step": 5, "jaccard": 0.5, "kept": {"q": 0.1}},
]
ODD = [None, [], {}, [1], {"q": None}, "x", "", "\ud800", -1, 10**400, math.nan, math.inf, True, {"path": {}}]


@pytest.mark.parametrize("event", WHOLE, ids=lambda event: event["kind"])
def test_an_event_of_any_shape_ends_no_page_and_hides_no_other(tmp_path, event):
    page = Context(Lab(tmp_path, Jobs()), "en")
    for field in event.keys() - {"kind"}:
        for odd in ODD:
            run = Run.create(tmp_path / "runs", "study", {"tasks": ["math"]})
            missing = {name: value for name, value in event.items() if name != field}
            for each in (event, missing, event | {field: odd}, *WHOLE):
                append_line(run.path / "events.jsonl", json.dumps({"time": 1} | each))
            (run.path / "log.txt").write_bytes(b"\xff")
            with locked(run.path / "run.lock"):
                look_at(page, run)
            assert {"a", "b"} <= follow(run).done and follow(run).planned == 3
    page.jobs.close()


@pytest.mark.parametrize("field", ["tasks", "task", "adapter", "merge", "device", "base"])
def test_settings_of_any_shape_end_no_page(tmp_path, field):
    page = Context(Lab(tmp_path, Jobs()), "ja")
    for kind in ("study", "merge_trial", "mine"):
        for odd in ODD:
            if odd == "\ud800":  # no file can hold it
                continue
            run = Run.create(tmp_path / "runs", kind, {field: odd})
            for event in WHOLE:
                run.emit(event)
            run.emit({"kind": "state", "state": "finished"})
            look_at(page, run)
            if kind == "merge_trial":
                assert merge._label(page, run)
    page.jobs.close()


def look_at(page: Context, run: Run) -> None:
    """All that the pages make of a run folder."""
    assert runs._choices(page) and runs._mark(page, run) and run_labels.label(page, run)
    for part in (*runs._often(page, run), *runs._seldom(page, run)):
        json.dumps(part)


def test_a_sequence_has_curves_of_its_own_beside_those_of_single_tasks(tmp_path):
    run = Run.create(tmp_path, "study", {})
    alone = {"kind": "step", "task": "math", "method": "lori_s", "stage": "train", "steps": 9}
    pace = {"seconds_left": 1.0, "tokens_per_second": 1.0, "memory_bytes": 1}
    for step in range(1, 4):
        run.emit(alone | pace | {"step": step, "loss": 1.0})
    run.emit(alone | pace | {"step": 1, "loss": 2.0, "after": "safety"})
    mask = {"kind": "mask", "task": "math", "method": "lori_s", "step": 5, "jaccard": 0.5, "kept": {"q": 0.1}}
    run.emit(mask)
    run.emit(mask | {"after": "safety", "step": 1})
    found = follow(run)
    assert found.losses == {
        ("math", "lori_s", "train"): [(1, 1.0), (2, 1.0), (3, 1.0)],
        ("safety → math", "lori_s", "train"): [(1, 2.0)],
    }
    assert {task: looks[0].step for task, looks in found.looks.items()} == {"math": 5, "safety → math": 1}


def test_curves_are_found_by_the_words_of_their_labels(tmp_path):
    page = Context(Lab(tmp_path, Jobs()), "ja")
    run = Run.create(tmp_path / "runs", "study", {})
    for task in ("math", "code"):
        event = {"kind": "step", "task": task, "method": "lori_s", "stage": "train", "step": 1, "steps": 9, "loss": 1.0}
        run.emit(event | {"seconds_left": 1.0, "tokens_per_second": 1.0, "memory_bytes": 1})
    for words, expected in (("", ["math", "code"]), ("lori-s MATH", ["math"]), ("学習 code", ["code"]), ("x", [])):
        figure = json.loads(json.loads(runs._often(page, run, words=words)[1])["figure"])
        assert [trace["meta"].partition("/")[0] for trace in figure["data"]] == expected
    page.jobs.close()
