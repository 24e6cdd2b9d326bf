"""A footprint comes back to the bit, is small at the shapes of 8B, and is refused where one byte of it was changed."""

import hashlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from footprints import DIRECTIONS, measured
from safetensors.torch import load, save

from lori_core.errors import AdapterError, LoRIError, StorageError
from lori_core.files import folder_size
from lori_core.method.footprint import Footprint, Moments
from lori_core.storage.footprint_files import load_footprint, read_footprint_header, save_footprint


@pytest.fixture
def folder(tmp_path) -> Path:
    save_footprint(measured(), tmp_path / "math")
    return tmp_path / "math"


def refused(folder: Path) -> str:
    with pytest.raises(AdapterError) as caught:
        load_footprint(folder)
    assert str(folder) in str(caught.value)
    assert caught.value.in_language("ja") != caught.value.in_language("en")
    return caught.value.key


def test_a_footprint_comes_back_to_the_bit(folder):
    saved, loaded = measured(), load_footprint(folder)
    assert (loaded.name, loaded.inputs, loaded.tokens) == (saved.name, saved.inputs, saved.tokens)
    assert list(loaded.moments) == list(saved.moments)
    for source, moments in saved.moments.items():
        found = loaded.moments[source]
        assert (found.in_features, found.energy) == (moments.in_features, moments.energy)
        assert torch.equal(found.factor, moments.factor) and found.factor.dtype == torch.float16
    assert loaded.of("layers.0.k_proj") is loaded.of("layers.0.q_proj")
    assert loaded.record == saved.record | {"id": read_footprint_header(folder)[1]}


def test_the_same_footprint_has_the_same_bytes_and_one_that_was_loaded_too(folder, tmp_path):
    save_footprint(load_footprint(folder), tmp_path / "again")
    for name in ("footprint.json", "footprint.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_saved_footprint_never_changes(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(StorageError) as caught:
        save_footprint(measured("code"), folder)
    assert caught.value.key == "path_taken"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_at_8B_shapes_it_has_at_most_10_MB(tmp_path):
    """32 layers with the inputs of q, k, v; o; gate, up; down, each seen in 256 random directions."""
    factor, inputs, moments = torch.ones(256, 256, dtype=torch.float16).tril(), {}, {}
    for layer in range(32):
        for readers, width in (("qkv", 4096), ("o", 4096), ("gu", 4096), ("d", 14336)):
            names = [f"model.layers.{layer}.{reader}_proj" for reader in readers]
            inputs |= dict.fromkeys(names, names[0])
            moments[names[0]] = Moments(factor, width, 1234.56789)
    save_footprint(Footprint("math", inputs, moments, 10**6), tmp_path / "8b")
    assert folder_size(tmp_path / "8b") <= 10_000_000
    assert len(load_footprint(tmp_path / "8b").moments) == 128


def test_any_flipped_bit_and_any_truncation_is_refused(folder):
    draw = random.Random(0)
    for name in ("footprint.json", "footprint.safetensors"):
        data = (folder / name).read_bytes()
        for _ in range(100):
            damaged = bytearray(data)
            damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            for wrong in (bytes(damaged), data[: draw.randrange(len(data))]):
                (folder / name).write_bytes(wrong)
                refused(folder)
        (folder / name).write_bytes(data)
    load_footprint(folder)


def test_another_spelling_of_the_same_content_is_refused(folder):
    path = folder / "footprint.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    assert refused(folder) == "footprint_changed"


def test_what_is_no_footprint_is_refused(tmp_path):
    assert refused(tmp_path) == "no_footprint"
    assert refused(tmp_path / "nowhere") == "no_footprint"
    (tmp_path / "footprint.json").write_bytes(b"[" * 100_000)
    assert refused(tmp_path) == "footprint_unreadable"


@pytest.mark.parametrize("name", ["footprint.json", "footprint.safetensors"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_plain_file_is_not_opened(folder, name, make):
    (folder / name).unlink()
    make(folder / name)
    assert refused(folder) == "footprint_unreadable"


def test_without_its_tensors_it_is_none(folder):
    (folder / "footprint.safetensors").unlink()
    assert refused(folder) == "no_footprint"


def forge(folder: Path, change: Callable[[dict[str, Any]], object], tensors: dict[str, torch.Tensor] | None = None):
    """The folder with another content, every checksum made anew."""
    path = folder / "footprint.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    if tensors is not None:
        (folder / "footprint.safetensors").write_bytes(save(tensors))
        content["tensors"] = hashlib.sha256(save(tensors)).hexdigest()
    change(content)
    content.pop("checksum")
    checksum = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    path.write_text(json.dumps(content | {"checksum": checksum}, ensure_ascii=False, indent=1), encoding="utf-8")


def setting(place: str, **values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: (content["moments"][place] if place else content).update(values)


LIES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another version": (setting("", version=2), "unknown_footprint_version"),
    "an unknown entry": (setting("", self=1), "footprint_unreadable"),
    "no tokens": (setting("", tokens=0), "footprint_unreadable"),
    "no inputs": (setting("", inputs={}, moments={}), "footprint_unreadable"),
    "an input that is not there": (setting("", inputs={"m": "n"}), "footprint_unreadable"),
    "far more directions": (setting("layers.0.q_proj", directions=9**9, in_features=9**9), "footprint_tensors"),
    "fewer directions than there are": (setting("layers.0.q_proj", directions=23), "footprint_tensors"),
    "more directions than features": (setting("layers.0.q_proj", in_features=23), "footprint_unreadable"),
    "a width without measure": (setting("layers.0.down_proj", in_features=2**50), "footprint_claims"),
    "no energy": (setting("layers.0.q_proj", energy=0), "footprint_unreadable"),
    "an energy that is no number": (setting("layers.0.q_proj", energy=float("nan")), "footprint_unreadable"),
    "an energy without end": (setting("layers.0.q_proj", energy=float("inf")), "footprint_unreadable"),
    "an energy beyond measure": (setting("layers.0.q_proj", energy=1e300), "footprint_unreadable"),
    "a number for a name": (setting("", name=3), "footprint_unreadable"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_forger_who_makes_the_checksums_anew_is_not_believed_more_than_the_bytes(folder, lie):
    change, key = LIES[lie]
    forge(folder, change)
    assert refused(folder) == key


def test_a_width_that_goes_with_the_bytes_is_believed_and_a_forger_without_lies_too(folder):
    forge(folder, setting("layers.0.down_proj", in_features=2**22 // DIRECTIONS))
    assert load_footprint(folder).moments["layers.0.down_proj"].in_features == 2**22 // DIRECTIONS


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 0.0])
def test_moments_that_are_zero_or_no_numbers_are_refused(folder, number):
    factors = load((folder / "footprint.safetensors").read_bytes())["factors"]
    factors[: 24 * 25 // 2] = number
    forge(folder, setting(""), {"factors": factors})
    assert refused(folder) == "footprint_values"


@pytest.mark.parametrize("wrong", ["dtype", "shape", "name", "more"])
def test_tensors_that_are_not_those_of_the_description_are_refused(folder, wrong):
    factors = load((folder / "footprint.safetensors").read_bytes())["factors"]
    others = {
        "dtype": {"factors": factors.bfloat16()},
        "shape": {"factors": factors[None]},
        "name": {"factor": factors},
        "more": {"factors": factors, "more": factors.clone()},
    }
    forge(folder, setting(""), others[wrong])
    assert refused(folder) == "footprint_tensors"


@pytest.mark.parametrize("record", [{"base": 3}, {"base": {"fingerprint": 7}}, {"base": None, "data": [1]}])
def test_a_record_of_another_shape_does_not_keep_a_footprint_from_use(folder, record):
    forge(folder, setting("", record=record))
    assert "base" not in load_footprint(folder).record


def test_a_killed_writer_leaves_nothing(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lori_core.files.os.fsync", full)
    with pytest.raises(LoRIError) as caught:
        save_footprint(measured(), tmp_path / "math")
    assert caught.value.key == "disk_full"
    assert list(tmp_path.iterdir()) == []
