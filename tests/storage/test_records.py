"""Adapters whose records have other shapes than ours are shown, merged, handed out and listed all the same."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stored import BASE, sparse
from typed import lori

from lori_core.method.merge import merge, reduce_rank
from lori_core.service.shelf import Shelf
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.storage.model_card import model_card
from lori_core.storage.peft import export_peft
from lori_core.storage.records import readable
from lori_core.storage.store import AdapterStore

ENTRIES = (
    *("base", "parents", "merge", "train", "reduced", "imported"),
    *("scores", "task", "data", "examples", "saved", "wording"),
)
SHAPES: list[Any] = [None, 1, 1e400, True, "text", [], [1], [None], {}, {"name": 1}, {"name": ["x"]}, [{"name": {}}]]
OURS = {
    "base": BASE,
    "parents": [{"name": "math", "version": "math@1", "id": "a" * 64}, {"name": "code"}],
    "merge": {"method": "concat", "weights": [0.5, 1], "options": {}, "error": 0.0, "notes": []},
    "train": {"steps": 8, "batch_size": 4, "learning_rate": 0.001, "seed": 0, "clip": None},
    "reduced": {"rank": 2, "error": 0.01},
    "imported": {"from": "peft", "folder": "in"},
    "scores": [{"task": "math", "value": 0.5}],
    "task": "math",
    "wording": {"prompts": "lab-1", "template": "", "system": "", "chat": True, "chat_template": "9f86d081"},
}


def test_what_this_lab_writes_is_readable():
    assert readable(OURS) == OURS
    assert readable({"anything": ["else"]} | OURS) == {"anything": ["else"]} | OURS


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_of_any_shape_stops_nothing(entry, tmp_path):
    store = AdapterStore(tmp_path / "store")
    for number, shape in enumerate(SHAPES):
        for record in ({entry: shape}, {**OURS, entry: shape}, {"base": BASE, "merge": OURS["merge"], entry: shape}):
            folder = tmp_path / f"{number}-{len(record)}"
            save_adapter(replace(sparse(), record=record), folder)
            adapter = load_adapter(folder)
            for library in ("peft", "transformers"):
                assert model_card(adapter, library)
            reduce_rank(merge([adapter, sparse("code", 1)], "concat", [1.0, 1.0], "both"), 2)
            export_peft(adapter, folder.with_name(f"{folder.name}-out"))
        store.save(replace(sparse(), record={**OURS, entry: shape}), "any")
    shelf = Shelf(tmp_path / "store", tmp_path / "runs", tmp_path)
    kept = [each for each in shelf.contents() if each["reference"].startswith("store/")]
    assert len(kept) == len(SHAPES) and not any(each["wrong"] for each in kept)
    for each in kept:
        assert json.dumps(shelf.show(each["reference"]))
        assert shelf.diff(each["reference"], "store/any@1")


@pytest.mark.parametrize("shape", SHAPES)
def test_the_commands_show_and_export_it(shape, tmp_path: Path):
    record = dict.fromkeys(ENTRIES, shape)
    save_adapter(replace(sparse(), record=record), tmp_path / "adapter")
    for result in (lori("show", tmp_path / "adapter"), lori("export", tmp_path / "adapter", tmp_path / "out")):
        assert result.exit_code == 0, result.output
    result = lori("export", tmp_path / "adapter", tmp_path / "base", "--to", "base")
    assert result.exit_code == 2 and "--base" in result.stderr
