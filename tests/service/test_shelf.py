"""The shelf: what it lists is what lies there, what it changes is changed, the rest is refused."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file

from lori_core.embedded.ready_made import READY_MADE
from lori_core.errors import AdapterError, LoRIError, StorageError
from lori_core.method.adapter import Adapter, as_parent
from lori_core.method.merge import merge
from lori_core.service import shelf as shelf_module
from lori_core.service.shelf import Shelf
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.storage.peft import export_peft
from lori_core.study.runs import Run

SCORE = {"task": "after", "split": "test", "metric": "exact", "value": 0.5, "low": 0.4, "high": 0.6, "n": 40}


def adapter(seed: int = 0, name: str = "after") -> Adapter:
    base = tiny.base(tiny.llama())
    made = tiny.filled(tiny.start(base, masks=tiny.halves(base, seed=seed)), seed)
    return replace(
        made, name=name, record={"task": name, "base": {"name": "tiny", "revision": None, "fingerprint": "f"}}
    )


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    for name in ("store", "runs", "exports"):
        (tmp_path / name).mkdir()
    return Shelf(tmp_path / "store", tmp_path / "runs", tmp_path / "exports")


def entry(shelf: Shelf, reference: str) -> dict:
    return {each["reference"]: each for each in shelf.contents()}[reference]


def of_store(shelf: Shelf) -> list[str]:
    return [each["reference"] for each in shelf.contents() if each["reference"].startswith("store/")]


def test_a_list_tells_of_each_adapter_what_it_holds_and_what_PEFT_would_need(shelf, tmp_path):
    made = adapter()
    shelf.store.save(made, "mine", "bf16")
    found = entry(shelf, "store/mine@1")
    export_peft(made, tmp_path / "peft")
    values = sum(tensor.numel() for tensor in load_file(tmp_path / "peft" / "adapter_model.safetensors").values())
    kept = sum(factors.values.numel() for factors in made.factors.values())
    cells = sum(factors.mask.numel() for factors in made.factors.values())
    assert found["peft_bytes"] == 2 * values
    assert found["sparsity"] == pytest.approx(1 - kept / cells)
    assert found["bytes"] == sum(path.stat().st_size for path in (tmp_path / "store" / "mine" / "1").iterdir())
    assert (found["method"], found["task"], found["base"], found["rank"]) == ("lori_s", "after", "tiny", 4)


def test_a_fresh_install_has_the_ready_made_ones_which_cannot_be_changed(shelf):
    ready = [each for each in shelf.contents() if each["reference"].startswith("ready/")]
    assert len(ready) == len(list(READY_MADE.glob("*/*/adapter.json"))) > 0
    for change in (lambda: shelf.delete(ready[0]["reference"]), lambda: shelf.tag(ready[0]["reference"], "best")):
        with pytest.raises(StorageError) as caught:
            change()
        assert caught.value.key == "not_in_store"


def test_what_a_run_left_is_listed_with_its_score_and_kept_with_it(shelf, tmp_path):
    run = Run.create(tmp_path / "runs", "study", {})
    save_adapter(adapter(), run.path / "adapters" / "single-lori_s-0-0")
    save_adapter(adapter(), run.path / "adapters" / "calibrate-own-0-0-dense")
    (run.path / "units").mkdir()
    (run.path / "units" / "single-lori_s-0-0.json").write_text(json.dumps({"score": SCORE | {"seconds": 1.0}}))
    (found,) = [each for each in shelf.contents() if each["reference"].startswith("run/")]
    assert found["scores"] == (SCORE,)
    assert shelf.keep(found["reference"], "mine") == "store/mine@1"
    assert entry(shelf, "store/mine@1")["scores"] == (SCORE,)
    assert "0.500" in shelf.show("store/mine@1")["card"]


def test_lineage_names_parents_and_their_parents(shelf):
    first = [shelf.store.load(shelf.store.save(adapter(seed, name))) for seed, name in ((0, "one"), (1, "two"))]
    merged = shelf.store.load(shelf.store.save(merge(first, "concat", (1.0, 1.0), "both")))
    child = replace(adapter(2), name="child", record={"parents": [as_parent(merged)]})
    shelf.store.save(child)
    steps = [(step["reference"], step["depth"]) for step in shelf.show("store/child@1")["lineage"]]
    assert steps == [("store/both@1", 1), ("store/one@1", 2), ("store/two@1", 2)]
    assert entry(shelf, "store/both@1")["method"] == "concat"


def test_a_difference_names_the_changed_settings_only(shelf):
    one = adapter()
    shelf.store.save(one, "same")
    shelf.store.save(replace(one, config=one.config.changed(scaling=3.0)), "same")
    found = shelf.diff("store/same@1", "store/same@2")
    changed = {key for key, _, _ in found["changed"]} - {"record.saved"}
    assert changed == {"config.scaling"}
    assert found["cosine"] == pytest.approx(1, abs=1e-6) and found["mask_jaccard"] == 1


def test_tags_and_deletion_are_the_stores(shelf):
    shelf.store.save(adapter(), "mine")
    shelf.tag("store/mine@1", "best")
    assert entry(shelf, "store/mine@1")["tags"] == ("best",)
    shelf.delete("store/mine@best")
    assert of_store(shelf) == []


def test_a_damaged_version_is_listed_with_what_is_wrong_and_does_not_verify(shelf, tmp_path):
    shelf.store.save(adapter(), "mine")
    shelf.verify("store/mine@1")
    (tmp_path / "store" / "mine" / "1" / "lori.safetensors").write_bytes(b"x")
    with pytest.raises(AdapterError):
        shelf.verify("store/mine@1")
    (tmp_path / "store" / "mine" / "1" / "adapter.json").write_bytes(b"{}")
    assert entry(shelf, "store/mine@1")["wrong"][0] == "adapter_unreadable"


@pytest.mark.parametrize("form", ["peft", "lori"])
def test_what_is_exported_comes_back_with_the_same_updates(shelf, form):
    made = shelf.store.load(shelf.store.save(adapter(), "mine"))
    archive = Path(shelf.export("store/mine@1", form))
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]
    with zipfile.ZipFile(archive) as written:
        assert ("README.md" in {Path(name).name for name in written.namelist()}) == (form == "peft")
    (reference,) = shelf.take_in([str(archive)], "back")
    back = load_adapter(shelf.folders([reference])[0])
    for module, factors in made.factors.items():
        torch.testing.assert_close(back.factors[module].update, factors.update, rtol=1e-5, atol=1e-7)


def test_of_several_adapters_in_one_upload_none_is_kept_where_one_cannot_be(shelf, monkeypatch):
    shelf.store.save(adapter(), "mine")
    archive = shelf.export("store/mine@1", "lori")
    save = shelf.store.save

    def full_after_one(each, name, *rest):
        if name == "two-b":
            raise StorageError("refused", path=name, reason="No space left on device")
        return save(each, name, *rest)

    monkeypatch.setattr(shelf_module, "read_adapters", lambda *_: {"-a": adapter(), "-b": adapter()})
    monkeypatch.setattr(shelf.store, "save", full_after_one)
    with pytest.raises(StorageError):
        shelf.take_in([archive], "two")
    assert of_store(shelf) == ["store/mine@1"]


@pytest.mark.parametrize("name", ["../x", ".hidden", "a/b", "<script>alert(1)</script>", "x" * 200])
def test_a_name_that_the_store_cannot_have_is_refused_and_nothing_is_stored(shelf, name):
    shelf.store.save(adapter(), "mine")
    archive = shelf.export("store/mine@1", "lori")
    for act in (lambda: shelf.take_in([archive], name), lambda: shelf.keep("ready/math/lori_s", name)):
        with pytest.raises(StorageError):
            act()
    assert of_store(shelf) == ["store/mine@1"]


@pytest.mark.parametrize("reference", ["", "../x", "store/../x", "run/../..", "run/x", "ready/math/../..", "x/y/z"])
def test_a_reference_that_leads_nowhere_is_refused(shelf, reference):
    for act in (
        shelf.show,
        shelf.verify,
        shelf.delete,
        lambda r: shelf.export(r, "peft"),
        lambda r: shelf.folders([r]),
    ):
        with pytest.raises(LoRIError):
            act(reference)
    assert list(shelf.exports.iterdir()) == []


def test_an_adapter_of_a_sequence_names_its_tasks_in_order_also_once_it_is_kept(shelf, tmp_path):
    run = Run.create(tmp_path / "runs", "study", {})
    first = adapter(0, "safety")
    second = replace(adapter(1, "math"), name="safety+math")
    second = replace(second, record=second.record | {"parents": [as_parent(first)]})
    save_adapter(first, run.path / "adapters" / "single-lori_s-0-0")
    save_adapter(second, run.path / "adapters" / "continual-lori_s-0")
    places = {name: f"run/{run.path.name}/{name}" for name in ("single-lori_s-0-0", "continual-lori_s-0")}
    assert shelf.keep(places["continual-lori_s-0"], "both") == "store/both@1"
    orders = [entry(shelf, each)["order"] for each in (*places.values(), "store/both@1")]
    assert orders == [(), ("safety", "math"), ("safety", "math")]


def test_the_ready_made_ones_are_listed_with_what_they_score(shelf):
    ready = [each for each in shelf.contents() if each["reference"].startswith("ready/")]
    assert all(each["scores"][0]["task"] == each["task"] for each in ready)
