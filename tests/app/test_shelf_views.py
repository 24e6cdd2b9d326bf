"""Adapters in pickers: each label names one adapter, and a run leads to those that learned one task."""

import pytest

from app.jobs import Jobs
from app.lab import Context, Lab
from app.run_labels import label as run_label
from app.run_labels import run_choices
from app.shelf_views import choices, of_run, table
from lori_core.study.runs import Run

RUN = "run/20261124-091200-study-3f9a10"


def listed(name: str, task: str, order: tuple[str, ...] = (), run: str = RUN) -> dict:
    return {
        "reference": f"{run}/{name}", "name": name, "task": task, "order": order, "method": "lori_s", "imported": False,
        "wrong": None, "tags": (), "rank": 4, "sparsity": 0.9, "scores": (), "bytes": 1, "peft_bytes": 1,
    }  # fmt: skip


STUDY = [
    listed("continual-lori_s-0", "math", ("safety", "math")),
    listed("single-lori_s-0-0", "math"),
    listed("single-lori_s-1-0", "safety"),
]


@pytest.fixture
def page(tmp_path):
    page = Context(Lab(tmp_path, Jobs()), "en")
    yield page
    page.jobs.close()


def test_a_run_leads_to_the_adapters_of_single_tasks_and_a_sequence_alone_to_its_own():
    run = RUN.partition("/")[2]
    assert of_run(STUDY, run) == [f"{RUN}/single-lori_s-0-0", f"{RUN}/single-lori_s-1-0"]
    sequence = [listed("after-0", "safety"), listed("after-1", "math", ("safety", "math"))]
    assert of_run(sequence, run) == [f"{RUN}/after-0", f"{RUN}/after-1"]


def test_of_a_run_of_several_seeds_one_seed_is_compared_and_of_one_task_all_are():
    run = RUN.partition("/")[2]
    tasks = ("math", "safety")
    names = [(f"single-lori_s-{place}-{seed}", task) for place, task in enumerate(tasks) for seed in (0, 1, 10)]
    study = [listed(*each) for each in names]
    assert of_run(study, run) == [f"{RUN}/single-lori_s-0-0", f"{RUN}/single-lori_s-1-0"]
    stopped = [each for each in study if each["name"] != "single-lori_s-1-0"]  # of the first seed one task is missing
    assert of_run(stopped, run) == [f"{RUN}/single-lori_s-0-1", f"{RUN}/single-lori_s-1-1"]
    assert len(of_run(study[:3], run)) == 3


def test_no_two_adapters_have_one_label(page):
    later = "run/20261124-091259-study-aaaaaa"  # of the same minute
    entries = [*STUDY, listed("single-lori_s-0-1", "math"), listed("single-lori_s-0-0", "math", run=later)]
    labels = [label for label, _ in choices(page, entries)]
    assert len(set(labels)) == len(labels)
    assert "sequence safety → math" in labels[0]


def test_no_two_runs_have_one_label(tmp_path, page):
    runs = [Run.create(tmp_path, "study", {"tasks": ["math"]}) for _ in range(3)]
    labels = [label for label, _ in run_choices(runs, lambda run: run_label(page, run))]
    assert len(set(labels)) == 3


def test_a_row_is_called_by_its_task_and_opens_its_adapter(page):
    shown = table(page, STUDY)
    assert "single-lori_s-0-0</a>" not in shown and ">math</a>" in shown
    assert f'href="?adapter={RUN.replace("/", "%2F")}%2Fsingle-lori_s-0-0"' in shown
