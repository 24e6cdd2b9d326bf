"""A mask file comes back as it was, names itself by its bits, and is refused where one bit of it was flipped."""

import hashlib
import json
import os
import pickle
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from lori_core.config import AdapterConfig
from lori_core.errors import AdapterError, StorageError
from lori_core.method.adapter import blank
from lori_core.method.masks import random_masks
from lori_core.storage.adapter_files import save_adapter
from lori_core.storage.header import read_header
from lori_core.storage.mask_files import Mask, load_mask, save_mask
from lori_core.storage.tensors import read_metadata

SHAPES = {"layers.0.q_proj": (20, 4), "layers.0.up_proj": (31, 4)}
RECORD = {"task": "計算", "steps": 3}


def mask() -> Mask:
    return Mask(random_masks(SHAPES, 0.75, seed=0), RECORD)


def refused(path: Path, key: str) -> None:
    with pytest.raises(AdapterError) as caught:
        load_mask(path)
    assert caught.value.key == key and str(path) in str(caught.value)


def test_a_mask_comes_back_with_its_record_id_and_sparsity(tmp_path):
    saved = mask()
    save_mask(saved, tmp_path / "mask.safetensors")
    loaded = load_mask(tmp_path / "mask.safetensors")
    assert list(loaded.masks) == list(SHAPES)
    assert all(torch.equal(loaded.masks[module], each) for module, each in saved.masks.items())
    assert (loaded.record, loaded.id) == (RECORD, saved.id)
    assert loaded.sparsity == 1 - round(0.25 * 51 * 4) / (51 * 4)


def test_adapters_of_one_mask_name_its_id(tmp_path):
    shapes = {module: (out_features, 8) for module, (out_features, _) in SHAPES.items()}
    for name in ("math", "code"):
        save_adapter(blank(name, shapes, AdapterConfig(rank=4), mask().masks), tmp_path / name)
        assert read_header(tmp_path / name)[0].mask == mask().id


def test_a_saved_mask_is_never_replaced(tmp_path):
    save_mask(mask(), tmp_path / "mask.safetensors")
    with pytest.raises(StorageError) as caught:
        save_mask(Mask(random_masks(SHAPES, 0.5, seed=1)), tmp_path / "mask.safetensors")
    assert caught.value.key == "path_taken"
    assert load_mask(tmp_path / "mask.safetensors").id == mask().id


def test_any_flipped_bit_and_any_truncation_is_refused(tmp_path):
    save_mask(mask(), tmp_path / "mask.safetensors")
    data = (tmp_path / "mask.safetensors").read_bytes()
    path = tmp_path / "damaged.safetensors"
    draw = random.Random(0)
    for _ in range(200):
        damaged = bytearray(data)
        damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(AdapterError):
            load_mask(path)
        path.write_bytes(data[: draw.randrange(len(data))])
        with pytest.raises(AdapterError):
            load_mask(path)


def test_what_is_no_mask_is_refused(tmp_path):
    refused(tmp_path / "nowhere.safetensors", "no_mask")
    refused(tmp_path, "no_mask")
    save_file({"masks": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    refused(tmp_path / "foreign.safetensors", "mask_unreadable")
    (tmp_path / "pickle.safetensors").write_bytes(pickle.dumps({"masks": [True]}))
    refused(tmp_path / "pickle.safetensors", "mask_unreadable")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"sparsity": 0.9}, "mask_changed"),  # than its bits have
        ({"shapes": {"layers.0.q_proj": [2**40, 2**20]}}, "mask_unreadable"),  # claimed, not there
        ({"version": 2}, "unknown_mask_version"),
        ({"self": 1}, "mask_unreadable"),
        ({}, None),
    ],
)
def test_a_forger_who_makes_the_checksum_anew_is_not_believed_more_than_the_bits(changes, key, tmp_path):
    path = tmp_path / "mask.safetensors"
    save_mask(mask(), path)
    text = json.dumps(json.loads(read_metadata(path.read_bytes())["lori_mask"]) | changes)
    metadata = {"lori_mask": text, "checksum": hashlib.sha256(text.encode()).hexdigest()}
    path.write_bytes(save(load_file(path), metadata))
    if key is None:
        assert load_mask(path).id == mask().id
    else:
        refused(path, key)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_plain_file_is_not_opened(make, tmp_path):
    make(tmp_path / "mask.safetensors")
    refused(tmp_path / "mask.safetensors", "mask_unreadable")
