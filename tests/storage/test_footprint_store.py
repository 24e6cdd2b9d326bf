"""Footprints are kept as versions beside the adapters of a store, and neither disturbs the other."""

import threading
from pathlib import Path

import pytest
import torch
from footprints import measured
from moments import footprint, inputs, moments
from stored import sparse

from lori_core.errors import AdapterError, StorageError
from lori_core.method.footprint import Footprint
from lori_core.storage.footprint_files import save_footprint
from lori_core.storage.footprint_store import FootprintStore
from lori_core.storage.store import AdapterStore


@pytest.fixture
def root(tmp_path) -> Path:
    store = FootprintStore(tmp_path / "store")
    assert [store.save(measured(seed=seed)) for seed in (0, 1)] == ["math@1", "math@2"]
    assert store.save(measured("code")) == "code@1"
    return store.root


def test_the_newest_is_found_by_its_name_and_each_by_its_number(root):
    store = FootprintStore(root)
    assert store.references() == ["code@1", "math@1", "math@2"]
    assert store.folder("math") == store.folder("math@2") == root / ".footprints" / "math" / "2"
    loaded = store.load("math@1")
    assert loaded.record["version"] == "math@1" and "saved" in loaded.record
    expected = measured(seed=0).moments["layers.0.q_proj"]
    assert torch.equal(loaded.moments["layers.0.q_proj"].factor, expected.factor)


def test_a_version_that_is_a_link_is_none_and_a_new_one_does_not_take_its_place(root, tmp_path):
    (root / ".footprints" / "math" / "3").symlink_to(root / ".footprints" / "code" / "1")
    store = FootprintStore(root)
    assert store.references() == ["code@1", "math@1", "math@2"]
    assert store.save(measured()) == "math@4"


@pytest.mark.parametrize("reference", ["nlu", "math@3", "math@best", "math@01", "math@1@2"])
def test_what_is_not_there_is_told(root, reference):
    with pytest.raises(AdapterError) as caught:
        FootprintStore(root).load(reference)
    assert caught.value.key == "no_footprint_version"


@pytest.mark.parametrize("name", ["../x", ".hidden", "", "a/b"])
def test_a_name_that_cannot_be_a_folder_s_is_refused(root, name):
    with pytest.raises(StorageError):
        FootprintStore(root).save(measured(name))
    with pytest.raises(StorageError):
        FootprintStore(root).load(f"{name}@1")


def test_adapters_and_footprints_of_one_name_do_not_meet(root):
    adapters = AdapterStore(root)
    assert adapters.save(sparse()) == "math@1"
    adapters.delete("math@1")
    adapters.gc()
    adapters.reindex()
    assert adapters.versions() == [] and adapters.verify() == {}
    assert FootprintStore(root).verify() == {}
    assert FootprintStore(root).references() == ["code@1", "math@1", "math@2"]


def test_verify_names_what_is_not_as_it_was_saved(root):
    path = root / ".footprints" / "math" / "1" / "footprint.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    wrong = FootprintStore(root).verify()
    assert {reference: error.key for reference, error in wrong.items()} == {"math@1": "footprint_changed"}


def test_writers_at_once_get_numbers_of_their_own(root):
    store, found = FootprintStore(root), []
    writers = [threading.Thread(target=lambda: found.append(store.save(measured("nlu")))) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert sorted(found) == [f"nlu@{number}" for number in range(1, 5)]
    assert store.verify() == {}


def test_a_diff_tells_what_changed_and_how_far_the_moments_are_apart(root):
    store = FootprintStore(root)
    found = store.diff("math@1", "math@2")
    assert "tokens" not in found.changed and "name" not in found.changed
    for source, apart in found.distances.items():
        left, right = (store.load(each).moments[source].matrix for each in ("math@1", "math@2"))
        assert apart == pytest.approx((torch.dist(left, right) / left.norm()).item())
    assert set(found.distances) == set(measured().moments)
    assert set(store.diff("math@1", "code@1").distances.values()) == {0.0}
    assert store.diff("math@1", "code@1").changed["name"] == ("math", "code")


def test_moments_of_other_sizes_have_no_distance(tmp_path):
    store, x = FootprintStore(tmp_path), inputs(50, 32)
    store.save(footprint("math", {"m": moments(x), "n": moments(x)}))
    store.save(footprint("math", {"m": moments(x, 8)}))
    assert store.diff("math@1", "math@2").distances == {"m": None}


def test_gc_leaves_a_footprint_that_is_being_written(root, monkeypatch):
    adapters = AdapterStore(root)

    def interrupted(footprint: Footprint, folder: Path) -> None:
        save_footprint(footprint, folder)
        assert adapters.gc() == 0

    monkeypatch.setattr("lori_core.storage.footprint_store.save_footprint", interrupted)
    assert FootprintStore(root).save(measured(seed=2)) == "math@3"
    assert FootprintStore(root).verify() == {}
    assert not list((root / ".new").iterdir())
