"""What the page Runs is told of a run, from real run folders."""

from app.following import follow
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
