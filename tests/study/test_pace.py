"""How long a study takes is told from an earlier one of the same base, unit by unit."""

import pytest

from lori_core.config import AdapterConfig, Method, TrainConfig
from lori_core.study.pace import expected_seconds, planned, seconds_left
from lori_core.study.runs import Run
from lori_core.study.specs import StudyConfig
from lori_core.training.recipes import training_for


def study(root, config: StudyConfig, seconds) -> Run:
    """One whose units took seconds(name)."""
    run = Run.create(root, "study", config.model_dump(mode="json"))
    (run.path / "seconds").mkdir()
    for name in planned(config):
        (run.path / "seconds" / name).write_text(str(seconds(name)))
    return run


def test_the_same_study_takes_what_it_took(tmp_path):
    config = StudyConfig(tasks=("a", "b"), seeds=(0, 1))
    run = study(tmp_path, config, len)
    assert expected_seconds(config, [run]) == pytest.approx(sum(map(len, planned(config))))


def test_a_unit_of_a_known_kind_takes_what_others_of_it_took_on_average(tmp_path):
    one = StudyConfig(tasks=("a", "b"), methods=("lori_s",), continual=None)
    run = study(tmp_path, one, lambda name: 10 if name.startswith("single-lori_s-0") else 2)
    more = one.changed(seeds=(0, 1, 2))
    units = planned(more)
    learned = [name for name in units if name.startswith("single-lori_s-")]
    assert expected_seconds(more, [run]) == pytest.approx(6 * len(learned) + 2 * (len(units) - len(learned)))


def test_a_merge_grows_with_the_tasks_and_a_sequence_with_their_square(tmp_path):
    run = study(tmp_path, StudyConfig(tasks=("a", "b")), lambda name: 1)
    six = StudyConfig(tasks=tuple("abcdef"))
    weights = {"merge": 3, "continual": 9}
    assert expected_seconds(six, [run]) == sum(weights.get(name.split("-")[0], 1) for name in planned(six))


def test_a_sequence_that_was_shorter_than_its_study_counts_as_short(tmp_path):
    run = study(tmp_path, StudyConfig(tasks=("a", "b", "c"), continual=("a", "b")), lambda name: 1)
    whole = StudyConfig(tasks=("a", "b", "c"))
    weights = {"continual": (3 / 2) ** 2}
    assert expected_seconds(whole, [run]) == sum(weights.get(name.split("-")[0], 1) for name in planned(whole))


LARGER = {"lora": training_for("embedded")["lora"].changed(batch_size=64).model_dump(mode="json")}


@pytest.mark.parametrize("differs", [{"base": "other"}, {"precision": "fp32"}, {"train": LARGER}])
def test_a_study_on_other_terms_tells_nothing(tmp_path, differs):
    run = study(tmp_path, StudyConfig(), lambda name: 1)
    told = Run(run.path, run.kind, run.config | differs)
    assert expected_seconds(StudyConfig(adapter=AdapterConfig(rank=8)), [told]) is None
    assert expected_seconds(StudyConfig(adapter=AdapterConfig(rank=8)), [told, run]) is not None


def test_of_other_tasks_than_ours_a_study_that_did_not_get_to_the_first_merge_tells_nothing(tmp_path):
    config = StudyConfig(tasks=("a", "b"))
    run = study(tmp_path, config, lambda name: 1)
    for path in (run.path / "seconds").glob("merge-*"):
        path.unlink()
    assert expected_seconds(config, [run]) is None


def test_training_grows_with_the_steps_and_scoring_with_the_examples(tmp_path):
    known = StudyConfig(tasks=("a",), methods=("lori_s",), validation_examples=50, test_examples=100)
    run = study(tmp_path, known, lambda name: 10)
    (run.path / "units").mkdir()
    (run.path / "units" / "single-lori_s-0-0.json").write_text('{"training": {"seconds": 7}}')
    asked = known.changed(train=in_steps(160), validation_examples=5, test_examples=10)
    assert planned(asked) == ["base-0", "calibrate-own-0-0", "single-lori_s-0-0"]
    assert expected_seconds(asked, [run]) == pytest.approx(10 / 10 + 10 * 2 + 7 * 2 + 3 / 10)


def in_steps(steps: int) -> dict[Method, TrainConfig]:
    recipes = training_for("embedded")
    return {method: recipes[method].changed(steps=steps) for method in ("lori_d", "lori_s")}


def done(run: Run, count: int) -> list[str]:
    """The first units of the run have a result, the others no time."""
    units = planned(StudyConfig(**run.config))
    (run.path / "units").mkdir()
    for name in units[:count]:
        (run.path / "units" / f"{name}.json").write_text("{}")
    for name in units[count:]:
        (run.path / "seconds" / name).unlink()
    return units[count:]


def test_what_is_left_is_told_by_the_study_s_own_units_before_those_of_earlier_ones(tmp_path):
    config = StudyConfig(tasks=("a", "b"), methods=("lora",), continual=None)
    earlier, run = study(tmp_path, config, lambda name: 10), study(tmp_path, config, lambda name: 2)
    left = done(run, 3)  # both bases and one adapter: the other adapter is left, and what nobody here has timed
    assert seconds_left(run, []) is None
    assert seconds_left(run, [earlier]) == 2 + 10 * (len(left) - 1)
    assert seconds_left(run, [earlier], under_way=1.5) == 0.5 + 10 * (len(left) - 1)


def test_of_a_study_with_all_units_nothing_is_left(tmp_path):
    run = study(tmp_path, StudyConfig(tasks=("a",), methods=("lora",)), lambda name: 2)
    assert done(run, len(planned(StudyConfig(**run.config)))) == []
    assert seconds_left(run, []) == 0


def test_settings_of_another_version_tell_nothing_of_what_is_left(tmp_path):
    run = study(tmp_path, StudyConfig(), lambda name: 2)
    assert seconds_left(Run(run.path, "study", {"later": 1}), [run]) is None
