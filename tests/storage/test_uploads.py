"""What is handed in is taken in bit by bit or refused with a message, and nothing of a refused one is left."""

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from lori_core.errors import AdapterError
from lori_core.method.adapter import Adapter
from lori_core.storage.adapter_files import save_adapter
from lori_core.storage.peft import export_peft
from lori_core.storage.uploads import UploadFormat, exact_precision, read_adapters, unpack


def adapter() -> Adapter:
    base = tiny.base(tiny.llama())
    return tiny.filled(tiny.start(base, masks=tiny.halves(base)))


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


HEAD = ("a/adapter_config.json", b"{}")


@pytest.fixture
def exported(tmp_path) -> tuple[Path, Adapter]:
    """The PEFT folder of an adapter, and the adapter."""
    given = adapter()
    export_peft(given, tmp_path / "peft")
    return tmp_path / "peft", given


def same_updates(left: Adapter, right: Adapter) -> bool:
    return all(torch.allclose(f.update, right.factors[m].update, atol=1e-6) for m, f in left.factors.items())


def test_an_archive_and_loose_files_give_the_same_adapter(exported, tmp_path):
    folder, given = exported
    files = [(f"deep/down/{path.name}", path.read_bytes()) for path in folder.iterdir()]
    unpack([zipped(tmp_path / "one.zip", *files, ("deep/notes.txt", b"?"))], tmp_path / "from_zip")
    unpack(sorted(folder.iterdir()), tmp_path / "from_files")
    for place in ("from_zip", "from_files"):
        found = read_adapters(tmp_path / place, "back")
        assert list(found) == [""] and found[""].name == "back" and same_updates(found[""], given)
    assert {path.name for path in (tmp_path / "from_zip").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_an_adapter_of_this_lab_keeps_its_mask_and_values(tmp_path):
    given = adapter()
    save_adapter(given, tmp_path / "ours", exact_precision(given))
    entries = [(path.name, path.read_bytes()) for path in (tmp_path / "ours").iterdir()]
    unpack([zipped(tmp_path / "one.zip", *entries)], tmp_path / "back")
    found = read_adapters(tmp_path / "back", "mine")[""]
    for module, factors in given.factors.items():
        assert torch.equal(found.factors[module].values, factors.values)
        assert torch.equal(found.factors[module].mask, factors.mask)


def test_a_published_adapter_brings_one_more_for_each_mask(exported, tmp_path):
    folder, given = exported
    masks = {f"base_model.model.{module}.lora_B.default.weight": mask for module, mask in given.masks.items()}
    written = io.BytesIO()
    torch.save(masks, written)
    entries = [(path.name, path.read_bytes()) for path in folder.iterdir()]
    archive = zipped(tmp_path / "one.zip", *entries, ("masks/0.5_mask.pt", written.getvalue()))
    unpack([archive], tmp_path / "back")
    found = read_adapters(tmp_path / "back", "theirs")
    assert list(found) == ["", "-mask-0.5"]
    assert all(torch.equal(found["-mask-0.5"].masks[module], mask) for module, mask in given.masks.items())


HOSTILE = {
    "leaves by ..": ([HEAD, ("a/../../outside", b"x")], "upload_hostile"),
    "leaves by a root": ([HEAD, ("/tmp/outside", b"x")], "upload_hostile"),
    "leaves by a drive": ([HEAD, ("C:\\outside", b"x")], "upload_hostile"),
    "is a link": ([HEAD, (link("a/adapter_model.safetensors"), b"/etc/passwd")], "upload_hostile"),
    "holds nothing": ([("readme.txt", b"x")], "upload_no_adapter"),
    "holds two": ([HEAD, ("b/adapter_config.json", b"{}")], "upload_many"),
    "has too many entries": ([HEAD, *((f"a/{n}", b"") for n in range(2001))], "upload_too_large"),
}


def packed(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = kind
    return info


HOSTILE |= {
    "has no name": ([HEAD, (".", b"x")], "upload_hostile"),
    "stands there twice": ([HEAD, ("a/./adapter_config.json", b"{}")], "upload_hostile"),
    "is packed by bz2": ([HEAD, (packed("a/lori.safetensors", zipfile.ZIP_BZIP2), b"x")], "upload_hostile"),
    "is packed by lzma": ([HEAD, (packed("a/lori.safetensors", zipfile.ZIP_LZMA), b"x")], "upload_hostile"),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_is_written(tmp_path, how):
    entries, key = HOSTILE[how]
    archive = zipped(tmp_path / "one.zip", *entries)
    with pytest.raises(AdapterError) as caught:
        unpack([archive], tmp_path / "into")
    assert caught.value.key == key
    assert list(tmp_path.iterdir()) == [archive]


def test_an_archive_that_would_unpack_beyond_the_limit_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr("lori_core.storage.uploads.LARGEST", 2**20)
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr(*HEAD)
        written.writestr("a/adapter_model.safetensors", bytes(2**20 + 1))
    assert archive.stat().st_size < 5000
    with pytest.raises(AdapterError) as caught:
        unpack([archive], tmp_path / "into")
    assert caught.value.key == "upload_too_large" and not (tmp_path / "into").exists()


def test_an_archive_that_swells_as_no_adapter_does_is_refused_unread(tmp_path):
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr(*HEAD)
        written.writestr("a/adapter_model.safetensors", bytes(2**25))
    assert archive.stat().st_size < 50_000
    with pytest.raises(AdapterError) as caught:
        unpack([archive], tmp_path / "into")
    assert caught.value.key == "upload_swells" and not (tmp_path / "into").exists()


@pytest.mark.parametrize("name", ["one.zip", "adapter.json"])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_plain_file_is_not_opened(tmp_path, name, make):
    make(tmp_path / name)
    with pytest.raises(AdapterError):
        unpack([tmp_path / name], tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_an_adapter_with_the_official_codes_mask_in_it_is_taken_for_LoRI(exported, tmp_path):
    folder, given = exported
    path = folder / "adapter_model.safetensors"
    masks = {f"base_model.model.{module}.lora_B.mask": mask.float() for module, mask in given.masks.items()}
    save_file(load_file(path) | masks, path)
    cases: list[tuple[UploadFormat | None, bool]] = [(None, False), ("lori", False), ("peft", True)]
    for origin, is_lora in cases:
        found = read_adapters(folder, "theirs", origin)[""]
        assert found.config.train_projection == is_lora and same_updates(found, given)
        assert all(torch.equal(found.masks[module], mask) for module, mask in given.masks.items())


@pytest.mark.parametrize("data", [b"", b"<html><script>alert(1)</script></html>", b"PK\x03\x04" + bytes(200)])
def test_what_is_no_archive_is_refused_whatever_its_name(tmp_path, data):
    (tmp_path / "one.zip").write_bytes(data)
    with pytest.raises(AdapterError) as caught:
        unpack([tmp_path / "one.zip"], tmp_path / "into")
    assert caught.value.key == "upload_not_zip" and not (tmp_path / "into").exists()


def test_a_pickle_is_never_opened(exported, tmp_path):
    folder, _ = exported
    config = (folder / "adapter_config.json").read_bytes()
    unpack(
        [zipped(tmp_path / "one.zip", ("adapter_config.json", config), ("adapter_model.bin", b"cos\nsystem\n"))],
        tmp_path / "into",
    )
    with pytest.raises(AdapterError) as caught:
        read_adapters(tmp_path / "into", "x")
    assert caught.value.key == "peft_pickle"
