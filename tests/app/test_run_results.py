"""The score by which the table of runs names a run."""

import json
from dataclasses import replace
from math import isfinite, nan
from statistics import fmean

import pytest
from example_results import example

from app.jobs import Jobs
from app.lab import Context, Lab
from app.run_results import best
from app.runs_table import table_of
from lori_core.results import MergeTrial, to_json
from lori_core.study.examples import examples
from lori_core.study.runs import Run
from lori_core.study.specs import StudyConfig


@pytest.fixture
def page(tmp_path):
    page = Context(Lab(tmp_path, Jobs()), "en")
    yield page
    page.jobs.close()


def study(page: Context, *methods: str) -> Run:
    """A finished one, in which these methods have a score that is no number."""
    known = example(("math", "code"), (0,))
    singles = [
        replace(each, score=replace(each.score, value=nan)) if each.method in methods and each.task == "math" else each
        for each in known.singles
    ]
    run = Run.create(page.workspace.runs, "study", StudyConfig(tasks=("math", "code")).model_dump(mode="json"))
    with run.start():
        run.save_result(to_json(replace(known, singles=tuple(singles))))
    return run


def test_a_merge_that_was_scored_is_named_by_the_merged_adapter():
    (run,) = (run for run in examples() if run.kind == "merge_trial")
    after = run.result_as(MergeTrial).after
    found = best(run)
    assert found is not None and found.score == pytest.approx(fmean(score.value for score in after.values()))


def test_a_method_with_a_score_that_is_no_number_is_not_the_best(page):
    found = best(study(page, "lora"))
    assert found is not None and found.method != "lora" and isfinite(found.score)


def test_a_run_whose_scores_are_no_numbers_leaves_the_table_one_that_a_browser_reads(page):
    everything = {each.method for each in example(("math", "code"), (0,)).singles}
    runs = [study(page, "lora"), study(page, *everything)]
    assert best(runs[1]) is None

    def refused(constant: str) -> None:
        raise ValueError(f"JSON.parse takes no {constant}")

    rows = {row["run"]: row for row in json.loads(table_of(page), parse_constant=refused)["rows"]}
    assert {run.path.name for run in runs} <= rows.keys()
    assert rows[runs[1].path.name]["order"]["score"] == -1 and rows[runs[1].path.name]["cells"]["score"] == ""
