"""A study on the embedded base, a few steps a training: what it makes of a conditioned A."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from sweeping import a_study

from lori_core.bases.load import load_base
from lori_core.config import AdapterConfig, Method, TrainConfig
from lori_core.embedded.corpus import texts
from lori_core.errors import ConfigError, RunError
from lori_core.method.conditioned import Conditions, conditioned
from lori_core.report.footprint_findings import footprint_findings
from lori_core.results import StudyResult
from lori_core.service.mask_views import dense_beside
from lori_core.storage.adapter_files import load_adapter
from lori_core.storage.footprint_files import load_footprint, save_footprint
from lori_core.study.layout import Layout, dense_run_of, planned
from lori_core.study.specs import StudyConfig
from lori_core.study.study import run_study
from lori_core.training.footprints import text_footprint
from lori_core.training.hooks import Hooks

FEW = TrainConfig(learning_rate=1e-3, steps=2, batch_size=2, warmup_steps=0)
TRAINING: dict[Method, TrainConfig] = {"lori_d": FEW, "lori_s": FEW}
CONFIG = StudyConfig(
    tasks=("math", "nlu"),
    methods=("lori_d", "lori_s_conditioned"),
    adapter=AdapterConfig(rank=4),
    train=TRAINING,
    shared_control=False,
    merge_methods=("concat", "removal"),
    merge_weights=(0.5,),
    validation_examples=2,
    test_examples=2,
    device="cpu",
)


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    """Of the study, once it is done."""
    return []


@pytest.fixture(scope="module")
def done(tmp_path_factory, events) -> tuple[StudyResult, Path]:
    folder = tmp_path_factory.mktemp("study")
    return run_study(CONFIG, folder, Hooks(events.append)), folder


def test_all_that_was_planned_is_there(done):
    assert set(Layout(done[1]).done()) == set(planned(CONFIG))


def test_with_a_short_calibration_lori_d_is_trained_whole_by_itself(done, tmp_path):
    short = CONFIG.changed(
        methods=("lori_d", "lori_s"),
        adapter=CONFIG.adapter.changed(calibration="one_pass"),
        train=dict.fromkeys(("lori_d", "lori_s"), FEW.changed(steps=40)),
        merge_methods=(),
        continual=None,
    )
    result = run_study(short, tmp_path)
    assert set(Layout(tmp_path).done()) == set(planned(short))
    assert [s.training.steps for s in result.singles] == [40] * 4
    found = [single.calibration for single in result.singles if single.calibration]
    assert [each.training.steps for each in found] == [2, 2]  # a twentieth
    assert {
        load_adapter(Layout(tmp_path).adapter(f"single-lori_d-{task}-0")).config.calibration for task in (0, 1)
    } == {"dense"}
    of_mask = load_adapter(Layout(tmp_path).adapter("single-lori_s-0-0"))
    assert of_mask.config.calibration == "one_pass"
    assert dense_beside(Layout(tmp_path).adapter("single-lori_s-0-0")) is None  # its |B| gave no mask


def test_no_unit_runs_within_another_so_that_no_second_is_counted_twice(done, events):
    units = [(event["name"], event["state"]) for event in events if event["kind"] == "unit"]
    started = [place for place, (_, state) in enumerate(units) if state == "started"]
    assert {units[place][0] for place in started} == set(planned(CONFIG))
    assert all(units[place + 1] == (units[place][0], "done") for place in started)


def test_a_conditioned_A_is_one_of_the_methods_of_the_result(done):
    result, folder = done
    assert [single.method for single in result.singles] == ["lori_d", "lori_s_conditioned"] * 2
    adapter = load_adapter(folder / "adapters" / "single-lori_s_conditioned-0-0")
    assert adapter.config.projection == "conditioned"
    assert not adapter.drawn_from


def test_mask_and_adapter_of_a_conditioned_A_share_it(done):
    adapter = done[1] / "adapters" / "single-lori_s_conditioned-1-0"
    dense = dense_run_of(adapter)
    assert dense is not None
    sparse, whole = load_adapter(adapter), load_adapter(dense)
    assert all(torch.equal(factors.A, whole.factors[module].A) for module, factors in sparse.factors.items())


def test_every_merge_is_scored_at_weight_1_too(done):
    for merged in done[0].merges:
        assert merged.weight == 0.5
        assert merged.scores_at_one.keys() == merged.scores.keys()
    assert {(merged.method, merged.merge) for merged in done[0].merges} == {
        (method, merge) for method in ("lori_d", "lori_s_conditioned") for merge in ("concat", "removal")
    }


def test_the_forecast_says_before_training_which_A_reads_the_other_task(done):
    found = {label: matrix for label, matrix in done[0].interference if matrix.measure == "forecast"}
    assert found.keys() == {"lori_d", "lori_s_conditioned"}
    for s, t in ((0, 1), (1, 0)):
        random, conditioned = (found[label].values[s][t] for label in ("lori_d", "lori_s_conditioned"))
        assert random is not None and conditioned is not None
        assert conditioned < 0.7 * random


def test_the_sequence_under_a_conditioned_A_leaves_earlier_adapters_beside(done):
    assert {sequence.method: sequence.beside for sequence in done[0].continual} == {
        "lori_d": False,
        "lori_s_conditioned": True,
    }


def test_of_one_task_no_A_can_be_conditioned(tmp_path):
    with pytest.raises(ConfigError) as raised:
        run_study(CONFIG.changed(tasks=("math",)), tmp_path)
    assert raised.value.key == "conditioned_on_nothing"


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    """The footprint of general text, in a folder."""
    folder = tmp_path_factory.mktemp("text") / "corpus"
    save_footprint(text_footprint(load_base("embedded", device="cpu"), "corpus", texts(8)), folder)
    return folder


def test_an_A_is_conditioned_on_footprints_that_were_given_in_place_of_the_other_tasks(text, tmp_path):
    config = CONFIG.changed(
        tasks=("math",), methods=("lori_d_conditioned",), merge_methods=("concat",), footprints=(str(text),)
    )
    result = run_study(config, tmp_path)
    adapter = load_adapter(tmp_path / "adapters" / "single-lori_d_conditioned-0-0")
    assert [each["name"] for each in adapter.record["conditioned"]["others"]] == ["corpus"]
    own = load_footprint(Layout(tmp_path).footprint("0"))
    expected = conditioned(Conditions(own, [load_footprint(text)]), adapter.factors, 4, config.adapter.ridge)
    assert all(torch.equal(factors.A, expected[module]) for module, factors in adapter.factors.items())
    assert footprint_findings(result)[0].startswith(
        "What a conditioned A does not read was given as footprints, corpus,"
    )


def test_footprints_that_no_A_of_a_study_reads_are_refused(text, tmp_path):
    with pytest.raises(ConfigError) as raised:
        run_study(CONFIG.changed(methods=("lori_d",), footprints=(str(text),)), tmp_path)
    assert raised.value.key == "footprints_without_use"


def test_what_a_killed_process_left_of_a_time_stops_no_later_sitting(tmp_path):
    study, folder = a_study(tmp_path).changed(adapter=CONFIG.adapter), tmp_path / "run"
    (folder / "seconds").mkdir(parents=True)
    (folder / "seconds" / ".0011aabbccddeeff.tmp").write_text("")
    first = run_study(study, folder)
    assert run_study(study, folder).seconds == first.seconds
    assert Layout(folder).all_seconds().keys() == set(planned(study))


@pytest.mark.parametrize("content", [b'{"task":', b"[]", b"", b"\xff", None])
def test_a_unit_that_cannot_be_read_is_told_and_is_done_again_once_it_is_gone(tmp_path, content):
    study, folder = a_study(tmp_path).changed(methods=("lori_d",), adapter=CONFIG.adapter), tmp_path / "run"
    result, path = run_study(study, folder), Layout(folder).unit("base-0")
    path.unlink()
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(RunError) as caught:
        run_study(study, folder)
    assert caught.value.key == "damaged_unit" and str(path) in str(caught.value)
    path.rmdir() if content is None else path.unlink()
    assert run_study(study, folder).base_scores["after"].outcomes == result.base_scores["after"].outcomes


def test_a_later_sitting_reads_the_footprints_that_were_measured(done, tmp_path, monkeypatch):
    result, folder = done
    copy = tmp_path / "later"
    shutil.copytree(folder, copy)
    unit = Layout(copy).unit("interference-lori_s_conditioned-forecast")
    unit.unlink()

    def measured_again(*given: object, **how: object) -> None:
        raise AssertionError("a footprint was measured again")

    monkeypatch.setattr("lori_core.study.footprints.task_footprint", measured_again)
    assert run_study(CONFIG, copy).interference == result.interference
