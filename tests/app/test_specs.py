"""Specs from elsewhere are taken whole or refused; what differs between two runs is told field by field."""

import json

import pytest

from app.specs import POWERS, checked_spec, differences
from lori_core.config import AdapterConfig, Config
from lori_core.errors import LoRIError
from lori_core.study import jobs as execute
from lori_core.study.reach import Reach
from lori_core.study.runs import Run
from lori_core.study.specs import JOBS, StudyConfig


def test_a_runs_own_spec_comes_back_as_it_was(tmp_path):
    config = StudyConfig(tasks=("math",), adapter=AdapterConfig(rank=4)).model_dump(mode="json")
    run = Run.create(tmp_path, "study", config)
    assert checked_spec(run.path / "spec.json", Reach((tmp_path,))) == ("study", config)


def test_every_kind_that_has_settings_is_carried_out():
    assert execute.WORK.keys() == JOBS.keys()


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ({"kind": "study", "version": 1, "config": {"tasks": ["math"], "shell": "rm"}}, "unknown_field"),
        ({"kind": "study", "version": 1, "config": {"tasks": []}}, "bad_field"),
        ({"kind": "../x", "version": 1, "config": {}}, "unknown_run_kind"),
        ({"kind": "study", "version": 1, "config": {"trust_remote_code": True}}, "spec_runs_code"),
        ({"kind": "study", "version": 1, "config": {"allow_code_execution": True}}, "spec_runs_code"),
        ({"kind": "study", "version": 2, "config": {}}, "unknown_spec_version"),
        ({"kind": "export", "version": 1, "config": {"adapter": "/etc"}}, "path_out_of_reach"),
        ({"kind": "train", "version": 1, "config": {"task": "math", "store": "../store"}}, "path_out_of_reach"),
        ({"kind": "study", "version": 1, "config": {"base": "/etc"}}, "base_out_of_reach"),
        ({"kind": "study", "version": 1, "config": {"device": "meta"}}, "device_out_of_reach"),
        ({"kind": "study", "version": 1, "config": {"tasks": ["=x"]}}, "bad_task_spec"),
        ([1, 2], "damaged_spec"),
    ],
)
def test_what_is_no_spec_for_here_is_refused(tmp_path, spec, key):
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(LoRIError) as caught:
        checked_spec(tmp_path / "spec.json", Reach((tmp_path,)))
    assert caught.value.key == key


@pytest.mark.parametrize("kind", JOBS)
def test_only_the_outermost_settings_can_ask_to_run_foreign_code(kind):
    """Which is where they are looked at."""
    for field in JOBS[kind].model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
            assert not field.annotation.model_fields.keys() & set(POWERS)


def test_differences_are_those_fields_alone(tmp_path):
    one, other = (
        Run.create(tmp_path, "study", StudyConfig(adapter=AdapterConfig(rank=rank)).model_dump(mode="json"))
        for rank in (4, 8)
    )
    assert differences(one, other) == [("adapter.rank", "4", "8")]
    assert differences(one, one) == []
