"""How long a study takes is told from an earlier one of the same base, unit by unit."""

import pytest

from lori_core.config import AdapterConfig
from lori_core.study.pace import expected_seconds, planned
from lori_core.study.runs import Run
from lori_core.study.specs import StudyConfig


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


@pytest.mark.parametrize("differs", [{"base": "other"}, {"precision": "fp32"}, {"train": {"lora": {"steps": 9}}}])
def test_a_study_on_other_terms_tells_nothing(tmp_path, differs):
    run = study(tmp_path, StudyConfig(), lambda name: 1)
    told = Run(run.path, run.kind, run.config | differs)
    assert expected_seconds(StudyConfig(adapter=AdapterConfig(rank=8)), [told]) is None
    assert expected_seconds(StudyConfig(adapter=AdapterConfig(rank=8)), [told, run]) is not None


def test_a_study_that_did_not_get_to_the_first_merge_tells_nothing(tmp_path):
    run = study(tmp_path, StudyConfig(), lambda name: 1)
    for path in (run.path / "seconds").glob("merge-*"):
        path.unlink()
    assert expected_seconds(StudyConfig(), [run]) is None
