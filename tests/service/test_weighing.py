"""Weights of a merge: where the footprints of a shelf's adapters are found, and that a merge answers at its weights."""

from dataclasses import replace

import pytest
import tiny

from lori_core.errors import IncompatibleAdapters
from lori_core.method.merge import merge
from lori_core.results import WeightedMerges, from_plain
from lori_core.service.base_cache import BaseCache
from lori_core.service.shelf import Shelf
from lori_core.service.trying import Trying
from lori_core.service.weighing import Weighing
from lori_core.storage.adapter_files import save_adapter
from lori_core.storage.footprint_files import save_footprint
from lori_core.storage.footprint_store import FootprintStore
from lori_core.study.runs import Run
from lori_core.training.footprints import task_footprint

TASKS = ("after", "before")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """(shelf, run with an adapter of each task, their footprints) of a base of random weights."""
    folder = tmp_path_factory.mktemp("lab")
    base = tiny.saved_base(folder / "base")
    run = Run.create(folder / "runs", "study", {"base": base.name, "tasks": list(TASKS)})
    for place, task in enumerate(TASKS):
        save_adapter(tiny.strong(base, place, task), run.path / "adapters" / f"single-lori_s-{place}-0")
    footprints = [task_footprint(base, tiny.task(task), examples=4) for task in TASKS]
    (folder / "exports").mkdir()
    return Shelf(folder / "store", folder / "runs", folder / "exports", folder), run, footprints


def references(run: Run) -> list[str]:
    return [f"run/{run.path.name}/single-lori_s-{place}-0" for place in range(len(TASKS))]


def test_footprints_are_missing_by_name_then_found_in_the_store_and_before_that_in_the_run(lab):
    shelf, run, footprints = lab
    ask = Weighing(shelf, BaseCache()).merge_triangle
    assert ask(references(run), ["a", "b"]) == {"missing": ["after", "before"]}
    FootprintStore(shelf.store.root).save(footprints[0])
    assert ask(references(run), ["a", "b"]) == {"missing": ["before"]}
    save_footprint(footprints[1], run.path / "footprints" / "1")
    found = from_plain(WeightedMerges, ask(references(run), ["a", "b"])["found"])
    assert found.names == ("a", "b") and all(ratio for row in found.ratios[1:-1] for ratio in row)
    elsewhere = {"base": {"name": "another", "fingerprint": "f" * 64}}
    FootprintStore(shelf.store.root).save(replace(footprints[0], record=footprints[0].record | elsewhere))
    assert from_plain(WeightedMerges, ask(references(run), ["a", "b"])["found"]) == found  # the newest, of another base
    save_footprint(footprints[1], run.path / "footprints" / "0")  # of another task: it must be seen to be taken
    assert from_plain(WeightedMerges, ask(references(run), ["a", "b"])["found"]).ratios != found.ratios


@pytest.fixture
def mixed(tmp_path):
    """(weighing, base) of a shelf with two adapters of the base, their merge, one of another base, one of no task."""
    base = tiny.saved_base(tmp_path / "base")
    (tmp_path / "exports").mkdir()
    shelf = Shelf(tmp_path / "store", tmp_path / "runs", tmp_path / "exports", tmp_path)
    own = [tiny.strong(base, place, task) for place, task in enumerate(("math", "code"))]
    other = replace(own[1], record={"task": "code", "base": base.record | {"name": "other", "fingerprint": "f" * 64}})
    adapters = {"math": own[0], "code": own[1], "merged": merge(own, "concat", [1.0, 1.0], "merged"), "other": other}
    adapters["taken"] = replace(own[1], name="taken", record={"base": base.record})
    for name, adapter in adapters.items():
        shelf.store.save(adapter, name)
    return Weighing(shelf, BaseCache()), base


@pytest.mark.parametrize(
    ("second", "key"), [("merged", "no_one_task"), ("taken", "no_one_task"), ("other", "bases_differ")]
)
def test_what_cannot_be_weighed_is_refused_before_anything_is_measured(mixed, second, key):
    weighing, _ = mixed
    references = ["store/math@1", f"store/{second}@1"]
    with pytest.raises(IncompatibleAdapters) as caught:
        weighing.merge_triangle(references, ["a", "b"])
    with pytest.raises(IncompatibleAdapters) as asked:
        list(weighing.measure_footprints(references))
    assert caught.value.key == asked.value.key == key
    assert FootprintStore(weighing.shelf.store.root).references() == []


def test_a_file_from_elsewhere_that_is_called_as_a_footprint_is_weighed_by_it(mixed):
    weighing, base = mixed
    for name in ("math", "taken"):
        footprint = task_footprint(base, tiny.task(), examples=4)
        FootprintStore(weighing.shelf.store.root).save(replace(footprint, name=name))
    references = ["store/math@1", "store/taken@1"]
    assert "found" in weighing.merge_triangle(references, ["a", "b"])
    assert list(weighing.measure_footprints(references)) == []


def test_a_merge_answers_at_its_weights_and_wrong_weights_are_refused(lab):
    shelf, run, _ = lab
    trying = Trying(shelf, BaseCache())
    whole = [
        list(trying.answer_of_merge(references(run), weights, "after b:"))[-1] for weights in ([1.0, 0.0], [0.0, 1.0])
    ]
    assert whole[0] != whole[1]
    with pytest.raises(IncompatibleAdapters):
        list(trying.answer_of_merge(references(run), [1.0], "after b:"))
