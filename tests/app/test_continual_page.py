"""What the page Continual calls a run of its own, and how it tells runs apart."""

import pytest
from example_results import example

from app.jobs import Jobs
from app.lab import Context, Lab
from app.pages.continual import sequences_and_runs, study_method
from lori_core import figures
from lori_core.results import to_json
from lori_core.study.runs import Run


@pytest.mark.parametrize(
    ("adapter", "expected"),
    [({"projection": "conditioned"}, "lori_s_conditioned"), ({"projection": "gaussian"}, "lori_s"), (None, "lori_s")],
)
def test_a_run_under_a_conditioned_A_is_named_as_a_study_names_it(tmp_path, adapter, expected):
    config = {"method": "lori_s"} | ({"adapter": adapter} if adapter else {})
    assert study_method(Run.create(tmp_path, "continual", config)) == expected


def test_two_runs_of_one_seed_are_two_panels_whose_names_differ(tmp_path):
    page = Context(Lab(tmp_path, Jobs()), "en")
    try:
        for rank in (8, 32):
            run = Run.create(page.workspace.runs, "continual", {"method": "lori_s", "adapter": {"rank": rank}})
            run.save_result(to_json(example().continual[0]))
        found, runs = sequences_and_runs(page, [each.path.name for each in page.workspace.shown_runs()[:2]])
    finally:
        page.jobs.close()
    assert len(found) == len(set(runs)) == 2
    assert len({row[0] for row in figures.forgetting(found, "en", runs).rows}) == 2
