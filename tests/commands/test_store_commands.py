"""`lori store ...` as people type it; what is refused is one message and exit code 2."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from stored import sparse
from typed import lori, refused

from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.storage.store import AdapterStore


@pytest.fixture
def root(tmp_path) -> Path:
    store = AdapterStore(tmp_path / "store")
    store.save(sparse(seed=0))
    store.save(sparse(seed=1, sparsity=0.5))
    return store.root


def store(root: Path, *arguments: object):
    return lori("store", *arguments, "--store", root)


def test_list_and_show_tell_versions_and_lineage(root):
    listed = store(root, "list").stdout
    assert "math@1" in listed and "math@2" in listed and "tiny" in listed
    shown = store(root, "show", "math@1").stdout
    assert "record.base.fingerprint" in shown and "f" * 64 in shown and "config.sparsity" in shown
    assert "保存日時" in store(root, "list", "--language", "ja").stdout


def test_diff_tells_only_what_changed(root):
    told = store(root, "diff", "math@1", "math@2").stdout
    assert "config.sparsity" in told and "0.75" in told and "0.5" in told and "Jaccard" in told
    assert "config.rank" not in told


def test_an_adapter_is_added_tagged_deleted_and_swept_away(root, tmp_path):
    save_adapter(sparse("code"), tmp_path / "adapter")
    assert "code@1" in store(root, "add", tmp_path / "adapter").stdout
    assert store(root, "tag", "code", "best").exit_code == 0
    assert "best" in store(root, "list", "code").stdout
    assert str(root / ".trash") in store(root, "delete", "code@best").stdout
    assert "code@1" not in store(root, "list").stdout
    assert not store(root, "gc").stdout.startswith("0 bytes")
    assert "2 versions" in store(root, "reindex").stdout


def test_an_adapter_that_is_kept_in_fp32_is_added_with_every_bit(root, tmp_path):
    save_adapter(sparse("exact"), tmp_path / "fp32", "fp32")
    save_adapter(sparse("rounded"), tmp_path / "bf16")
    for name in ("fp32", "bf16"):
        assert store(root, "add", tmp_path / name).exit_code == 0
    kept = AdapterStore(root)
    assert (kept.show("exact").dtype, kept.show("rounded").dtype) == ("fp32", "bf16")
    values = [list(load_adapter(each).factors.values()) for each in (tmp_path / "fp32", kept.folder("exact"))]
    assert all(torch.equal(f.values, g.values) for f, g in zip(*values, strict=True))


def test_verify_names_what_is_not_as_it_was_saved(root):
    assert store(root, "verify").exit_code == 0
    path = root / "math" / "2" / "lori.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    refused(store(root, "verify"), "math@2", "checksum")
    assert store(root, "verify", "math@1").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "../math"], ["../math", "letters"]),
        (["show", "math@9"], ["math@9", "@1 @2"]),
        (["delete", "code"], ["code", "lori store list"]),
        (["tag", "math", "9"], ["'9'", "letter"]),
        (["add", "nowhere"], ["nowhere", "adapter.json"]),
    ],
)
def test_what_is_not_there_or_cannot_be_is_told(root, arguments, words):
    refused(store(root, *arguments), *words)


def test_a_mistyped_store_is_told_and_not_made(tmp_path):
    refused(store(tmp_path / "stroe", "gc"), "stroe", "--store")
    assert list(tmp_path.iterdir()) == []


def test_what_a_record_says_stays_on_its_line_and_commands_no_terminal(root):
    made = sparse("odd")
    AdapterStore(root).save(replace(made, record={"base": {"name": "a\nb\x1b[31m"}}))
    assert "a?b?[31m" in store(root, "list").stdout
