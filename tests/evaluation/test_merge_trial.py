"""A merge before and after, on the embedded base: the same scores as by hand, and the scale that validation prefers."""

from dataclasses import replace
from typing import Any

import pytest

from lori_core.bases.attach import applied
from lori_core.bases.load import Base, load_base
from lori_core.config import Split
from lori_core.embedded.ready_made import ready_made
from lori_core.errors import IncompatibleAdapters
from lori_core.evaluation.evaluate import evaluate
from lori_core.evaluation.intervals import loss_of, score_of
from lori_core.evaluation.merge_trial import less_loss, merge_trial, retention
from lori_core.method.merge import merge
from lori_core.results import MergeTrial, Score, from_json, to_json
from lori_core.tasks.mini import mini_task
from lori_core.tasks.task import Task

TASKS = [mini_task("nlu"), mini_task("math")]
JOB: dict[str, Any] = {"method": "concat", "weights": (1.0, 0.5), "name": "both"}


@pytest.fixture(scope="module")
def base() -> Base:
    return load_base("embedded", device="cpu")


def score(base: Base, task: Task, split: Split) -> Score:
    return replace(evaluate(base.model, base.tokenizer, task, split, 6).score, seconds=0.0)


def test_each_score_is_that_of_the_model_with_what_it_names(base):
    parts = [ready_made(task.name) for task in TASKS]
    merged, trial = merge_trial(
        base.model, TASKS, parts, lambda task, split: score(base, task, split), scales=[0.5], **JOB
    )
    for task, part in zip(TASKS, parts, strict=True):
        assert trial.base[task.name] == score(base, task, "test")
        with applied(base.model, part):
            assert trial.before[task.name] == score(base, task, "test")
        with applied(base.model, merge(parts, "concat", (0.5, 0.25), "by hand")):
            assert trial.after[task.name] == score(base, task, "test")
    assert trial.weights == (0.5, 0.25) == tuple(merged.record["merge"]["weights"]) and trial.validation == {}
    assert trial.before["math"].value > trial.base["math"].value


def test_of_several_scales_the_best_on_validation_is_taken(base):
    parts = [ready_made(task.name) for task in TASKS]
    asked: list[str] = []

    def scorer(task: Task, split: Split) -> Score:
        asked.append(split)
        return score(base, task, split)

    merged, trial = merge_trial(base.model, TASKS, parts, scorer, scales=[0.0, 1.0], **JOB)
    assert trial.validation["1"] > trial.validation["0"]  # at 0 it is the bare base
    assert tuple(merged.record["merge"]["weights"]) == trial.weights == (1.0, 0.5)
    assert asked.count("validation") == 4 and asked.count("test") == 6  # the test split has no say


def test_weights_are_searched_by_group_of_modules_on_validation_alone(base):
    parts = [ready_made(task.name) for task in TASKS]
    asked: list[str] = []

    def scorer(task: Task, split: Split) -> Score:
        asked.append(split)
        return score(base, task, split)

    merged, trial = merge_trial(base.model, TASKS, parts, scorer, scales=[1.0], groups="kind", budget=3, **JOB)
    assert trial.climbed is not None and trial.climbed >= trial.validation["1"]
    assert trial.tried == 3 and asked.count("validation") == 2 * (1 + 3) and asked.count("test") == 6
    assert trial.groups.keys() == {"attention", "mlp"}
    assert from_json(MergeTrial, to_json(trial)) == trial
    for module, weights in merged.record["merge"]["weights_by_module"].items():
        scales = trial.groups["mlp" if "mlp" in module else "attention"]
        assert weights == [scale * weight for scale, weight in zip(scales, JOB["weights"], strict=True)]


def test_tasks_and_adapters_that_do_not_pair_up_are_refused_before_anything_is_scored(base):
    def never(task: Task, split: Split) -> Score:
        raise AssertionError(task.name)

    with pytest.raises(IncompatibleAdapters) as caught:
        merge_trial(base.model, TASKS, [ready_made("nlu")], never, **JOB)
    assert caught.value.key == "tasks_count"
    with pytest.raises(IncompatibleAdapters):
        few: dict[str, Any] = JOB | {"weights": (1.0,)}
        merge_trial(base.model, TASKS, [ready_made("nlu"), ready_made("math")], never, **few)


def scored(right: int, nats: float) -> Score:
    """Of ten examples, each with a response of one token."""
    score = score_of("math", "test", "exact", [1.0] * right + [0.0] * (10 - right), [""] * 10, 0.0)
    return replace(score, loss=loss_of([nats] * 10, [1] * 10))


def test_what_a_merge_keeps_is_its_share_of_the_gain_in_answers_and_in_loss():
    base, single, merged = ({"math": scored(*end)} for end in [(2, 3.0), (8, 1.0), (5, 1.5)])
    assert retention(base, single, merged) == pytest.approx({"math": 0.5})
    assert retention(base, single, merged, less_loss) == pytest.approx({"math": 0.75})


def test_nothing_is_kept_of_what_was_not_gained_or_not_measured():
    base, single, merged = ({"math": scored(*end)} for end in [(5, 1.0), (5, 1.0), (8, 0.5)])
    assert retention(base, single, merged) == retention(base, single, merged, less_loss) == {}
    base, single, merged = ({"math": replace(scored(right, 1.0), loss=None)} for right in (2, 8, 5))
    assert retention(base, single, merged, less_loss) == {}
