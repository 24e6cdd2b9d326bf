"""The lens over a shelf: on the prompt as the task asks it, and beside it the same tasks' adapters with another A."""

import shutil
from dataclasses import replace

import pytest
import tiny

from lori_core.embedded.ready_made import TASKS
from lori_core.errors import AdapterError, ConfigError, IncompatibleAdapters
from lori_core.evaluation.lens import lens
from lori_core.results import Lens, from_plain
from lori_core.service.base_cache import BaseCache
from lori_core.service.prompt_lens import PromptLens
from lori_core.service.shelf import Shelf
from lori_core.storage.adapter_files import save_adapter
from lori_core.study.layout import other_projection_of
from lori_core.study.runs import Run
from lori_core.tasks.mini import mini_task

MINE = ["store/one@1", "store/two@1"]


@pytest.fixture
def base(tmp_path):
    return tiny.saved_base(tmp_path / "base")


@pytest.fixture
def looking(base, tmp_path) -> PromptLens:
    """Over a shelf with two adapters of that base, and one without a task."""
    for name in ("store", "runs", "exports"):
        (tmp_path / name).mkdir()
    shelf = Shelf(tmp_path / "store", tmp_path / "runs", tmp_path / "exports", tmp_path / "base")
    for seed, (name, task) in enumerate((("one", "math"), ("two", "code"), ("three", ""))):
        shelf.store.save(replace(tiny.strong(base, seed, task), name=name), name, "fp32")
    return PromptLens(shelf, BaseCache())


def test_a_look_is_the_lens_of_the_adapters_as_they_lie_there(base, looking):
    (answer,) = looking.prompt_lens(MINE, "after d:", task_of="store/two@1", weight=0.5)
    loaded = [looking.shelf.store.load(reference.removeprefix("store/")) for reference in MINE]
    expected = lens(base.model, base.tokenizer, loaded, [0.5, 0.5], "after d:")
    assert answer["own"] == 1 and answer["method"] == "lori_s"
    found = from_plain(Lens, answer["lens"])
    assert found.answer == expected.answer and found.names == ("one", "two")
    for one, other in zip(found.attributions, expected.attributions, strict=True):
        assert one.parts == pytest.approx(other.parts, abs=1e-3)


def test_two_adapters_of_one_task_are_told_apart(base, looking):
    looking.shelf.store.save(replace(tiny.strong(base, 4, "math"), name="one"), "one", "fp32")
    references = ["store/one@1", "store/one@2"]
    (answer,) = looking.prompt_lens(references, "after d:", task_of=references[0])
    assert answer["lens"]["names"] == ("one@1", "one@2")


def test_the_ready_made_ones_with_a_conditioned_A_stand_beside_those_with_a_random_one(looking):
    references = [f"ready/{task}/lori_s" for task in TASKS]
    prompt = mini_task("math").examples("test")[0].prompt
    random, conditioned = looking.prompt_lens(references, prompt, task_of="ready/math/lori_s")
    assert (random["method"], conditioned["method"]) == ("lori_s", "lori_s_conditioned")
    assert (conditioned["lens"]["names"], conditioned["own"]) == (TASKS, TASKS.index("math"))
    others = [f"{reference}_conditioned" for reference in references]
    again, _ = looking.prompt_lens(others, prompt, task_of="ready/math/lori_s_conditioned")
    assert again["lens"] == conditioned["lens"]


def test_of_a_study_the_other_projection_is_of_the_same_task_method_and_seed(tmp_path):
    for name, other in (
        ("single-lori_s-0-1", "single-lori_s_conditioned-0-1"),
        ("single-lori_d_conditioned-2-0", "single-lori_d-2-0"),
        ("lori_s", "lori_s_conditioned"),
    ):
        assert other_projection_of(tmp_path / name) == tmp_path / other
    for name in ("single-lora-0-1", "single-lori_d_shared-0-1", "trained", "continual-lori_s-0"):
        assert other_projection_of(tmp_path / name) is None


def test_one_that_has_no_other_projection_leaves_all_alone(looking, base, tmp_path):
    run = Run.create(tmp_path / "runs", "study", {"base": base.name, "tasks": ["math", "code"]})
    names = ["single-lori_s-0-0", "single-lori_s-1-0", "single-lori_s_conditioned-0-0"]
    for seed, name in enumerate(names):
        save_adapter(tiny.strong(base, seed, "math"), run.path / "adapters" / name)
    references = [f"run/{run.path.name}/{name}" for name in names[:2]]
    assert len(list(looking.prompt_lens(references, "after d:", references[0]))) == 1
    save_adapter(tiny.strong(base, 3, "code"), run.path / "adapters" / "single-lori_s_conditioned-1-0")
    assert len(list(looking.prompt_lens(references, "after d:", references[0]))) == 2


def test_an_adapter_that_was_saved_anew_is_read_anew(looking, base, tmp_path):
    run = Run.create(tmp_path / "runs", "train", {"base": base.name, "task": "math"})
    save_adapter(tiny.strong(base, 0, "math"), run.path / "adapters" / "trained")
    references = [f"run/{run.path.name}/trained", "store/two@1"]
    (before,) = looking.prompt_lens(references, "after d:", references[0])
    shutil.rmtree(run.path / "adapters" / "trained")
    save_adapter(tiny.strong(base, 7, "math"), run.path / "adapters" / "trained")
    (after,) = looking.prompt_lens(references, "after d:", references[0])
    assert before["lens"]["alone"] != after["lens"]["alone"]


def test_what_cannot_be_looked_at_is_refused(looking, base):
    with pytest.raises(ConfigError) as caught:
        list(looking.prompt_lens(MINE, "after d:", task_of="store/three@1"))
    assert caught.value.key == "not_among"
    with pytest.raises(AdapterError) as no_task:
        list(looking.prompt_lens([*MINE, "store/three@1"], "after d:", task_of="store/three@1"))
    assert no_task.value.key == "no_task_known"
    foreign = replace(tiny.strong(base, 5, "math"), record={"task": "math", "base": base.record | {"fingerprint": "x"}})
    looking.shelf.store.save(foreign, "foreign")
    with pytest.raises(IncompatibleAdapters) as differ:
        list(looking.prompt_lens([MINE[0], "store/foreign@1"], "after d:", task_of=MINE[0]))
    assert differ.value.key == "wrong_base"
