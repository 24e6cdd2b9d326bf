"""What the page Continual calls a run of its own."""

import pytest

from app.pages.continual import study_method
from lori_core.study.runs import Run


@pytest.mark.parametrize(
    ("adapter", "expected"),
    [({"projection": "conditioned"}, "lori_s_conditioned"), ({"projection": "gaussian"}, "lori_s"), (None, "lori_s")],
)
def test_a_run_under_a_conditioned_A_is_named_as_a_study_names_it(tmp_path, adapter, expected):
    config = {"method": "lori_s"} | ({"adapter": adapter} if adapter else {})
    assert study_method(Run.create(tmp_path, "continual", config)) == expected
