"""What a study of our own tasks takes is told from the example that ships, times how slow this machine is."""

import pytest

from lori_core.config import AdapterConfig
from lori_core.study.examples import examples
from lori_core.study.layout import Layout, planned, stage_of
from lori_core.study.pace import expected_seconds, seconds_left
from lori_core.study.runs import Run
from lori_core.study.specs import StudyConfig
from lori_core.study.unit_times import steps_of
from lori_core.study.yardstick import AROUND, Yardstick, yardstick
from lori_core.training.recipes import training_for

FULL, DEMO = (StudyConfig(**run.config) for run in examples()[:2])
LARGER = {"lora": training_for("embedded")["lora"].changed(batch_size=64)}


def measure(config: StudyConfig = FULL) -> Yardstick:
    found = yardstick(config)
    assert found is not None
    return found


def study(root, config: StudyConfig, slowness: float, units: int | None = None) -> Run:
    """One whose first units took that many times what the yardstick says; all of them, where no number is given."""
    run = Run.create(root, "study", config.model_dump(mode="json"))
    for folder in ("seconds", "units"):
        (run.path / folder).mkdir()
    for name in planned(config)[:units]:
        (run.path / "seconds" / name).write_text(str(slowness * measure().seconds(name, config)))
        (run.path / "units" / f"{name}.json").write_text("{}")
    return run


def test_the_example_itself_takes_what_it_took():
    run = examples()[0]
    took = Layout(run.path).all_seconds()
    told = {unit: measure().seconds(unit, FULL) for unit in took}
    assert measure().whole(FULL) - AROUND == pytest.approx(sum(took.values()))
    assert {unit for unit in took if told[unit] != pytest.approx(took[unit])} <= {
        unit
        for unit in took
        if stage_of(unit) in ("merge", "continual", "interference")  # of these, all together
    }


def test_the_demo_that_ships_took_what_the_full_study_says_of_it():
    """Two real runs on one machine: the promise of the second button is kept within a fifth once the first ran."""
    demo = Layout(examples()[1].path).all_seconds()
    assert demo.keys() == set(planned(DEMO))
    slowness = sum(demo.values()) / (measure().whole(DEMO) - AROUND)
    assert slowness == pytest.approx(1, abs=0.2)


def test_after_the_demo_the_time_of_the_full_study_is_known(tmp_path):
    run = study(tmp_path, DEMO, slowness=2.5)
    assert expected_seconds(FULL, [run]) == pytest.approx(2.5 * measure().whole(FULL))


def test_the_newest_study_that_took_long_enough_tells_before_a_measurement(tmp_path):
    old, new = study(tmp_path, DEMO, slowness=2), study(tmp_path, DEMO, slowness=3)
    begun = study(tmp_path, DEMO, slowness=9, units=1)
    assert expected_seconds(FULL, [begun, new, old], slowness=1) == pytest.approx(3 * measure().whole(FULL))
    assert expected_seconds(FULL, [begun], slowness=1.5) == pytest.approx(1.5 * measure().whole(FULL))
    assert expected_seconds(FULL, [begun]) is None


def test_half_the_steps_take_half_the_training_and_more_seeds_take_more():
    short = FULL.changed(train={method: each.changed(steps=each.steps // 2) for method, each in RECIPES.items()})
    unit = "calibrate-own-1-0"
    assert steps_of(short, unit) * 2 == steps_of(FULL, unit)
    assert measure().seconds(unit, short) * 2 == pytest.approx(measure().seconds(unit, FULL))
    assert measure().whole(FULL.changed(seeds=(0, 1))) > 1.9 * measure().whole(FULL)


RECIPES = training_for("embedded")


def test_a_task_or_method_that_the_example_has_not_takes_what_those_like_it_take():
    four = StudyConfig(tasks=("nlu", "math?level=3", "code"), methods=("lori_d", "lori_s_conditioned"))
    each = {unit: measure().seconds(unit, four) for unit in planned(four)}
    assert min(each.values()) > 0
    assert each["single-lori_d-1-0"] > each["single-lori_d-0-0"]  # stories are longer than questions


def test_a_lori_d_that_is_the_dense_run_of_its_calibration_is_not_trained_again():
    dense = StudyConfig(tasks=("nlu",), methods=("lori_d",))
    short = dense.changed(adapter=dense.adapter.changed(calibration="one_pass"))
    unit, step = "single-lori_d-0-0", measure().seconds("calibrate-own-0-0", dense) / steps_of(dense, "calibrate-own")
    more = measure().seconds(unit, short) - measure().seconds(unit, dense)
    assert measure().seconds(unit, dense) > 0 and more > 0.5 * step * steps_of(short, unit)
    assert "calibrate-own-0-0" in planned(dense) and "calibrate-own-0-0" not in planned(short)


@pytest.mark.parametrize(
    "change", [{"base": "other"}, {"precision": "bf16"}, {"tasks": ("mine=rows.csv",)}, {"train": LARGER}]
)
def test_on_other_terms_it_says_nothing(change):
    assert yardstick(StudyConfig(adapter=AdapterConfig(rank=8))) is not None
    assert yardstick(StudyConfig().changed(**change)) is None


def test_what_is_left_of_a_study_goes_by_its_own_units(tmp_path):
    run, earlier = study(tmp_path, FULL, slowness=4, units=6), study(tmp_path, FULL, slowness=1)
    left = sum(measure().seconds(unit, FULL) for unit in planned(FULL)[6:])
    assert seconds_left(run, [earlier], under_way=3) == pytest.approx(4 * left - 3)
    begun = study(tmp_path, FULL, slowness=9, units=1)
    assert seconds_left(begun, [earlier]) == pytest.approx(sum(measure().seconds(u, FULL) for u in planned(FULL)[1:]))
