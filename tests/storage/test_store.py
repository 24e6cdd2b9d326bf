"""Versions are whole or absent, never change, say where they come from, and two processes may write at once."""

import json
import os
import pickle
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import stored
import torch
from safetensors.torch import load_file
from stored import BASE, SHAPES, sparse

from lori_core.errors import AdapterError, LoRIError, StorageError
from lori_core.method.adapter import Adapter
from lori_core.method.masks import mask_id
from lori_core.method.merge import merge
from lori_core.storage.header import read_header
from lori_core.storage.store import AdapterStore

# What child processes run: an adapter, and a store in sys.argv[1].
CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from stored import sparse
from lori_core.storage.header import read_header
from lori_core.storage.store import AdapterStore
store = AdapterStore(sys.argv[1])
"""


def same(left: Adapter, right: Adapter) -> bool:
    return all(
        torch.equal(f.A, g.A) and torch.equal(f.mask, g.mask) and torch.equal(f.values.bfloat16(), g.values.bfloat16())
        for f, g in zip(left.factors.values(), right.factors.values(), strict=True)
    )


def child(script: str, store: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD + script, store, Path(stored.__file__).parent, *arguments]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(list(map(str, command)), stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env)


def references(store: AdapterStore) -> list[str]:
    return [version.reference for version in store.versions()]


def refused(key: str, action) -> LoRIError:
    with pytest.raises(LoRIError) as caught:
        action()
    assert caught.value.key == key, caught.value
    return caught.value


# --- saved and found again


def test_versions_are_numbered_and_found_by_name_number_and_tag(tmp_path):
    store = AdapterStore(tmp_path / "store")
    assert [store.save(sparse(seed=seed)) for seed in range(3)] == ["math@1", "math@2", "math@3"]
    assert store.save(sparse("計算"), name="another one") == "another one@1"
    store.tag("math@2", "best")
    assert same(store.load("math"), sparse(seed=2))
    assert same(store.load("math@1"), sparse(seed=0))
    assert same(store.load("math@best"), sparse(seed=1))
    assert references(store) == ["another one@1", "math@1", "math@2", "math@3"]
    assert [version.tags for version in store.versions("math")] == [(), ("best",), ()]
    store.tag("math@3", "best")
    assert same(store.load("math@best"), sparse(seed=2))


def test_a_version_says_where_it_comes_from(tmp_path):
    store = AdapterStore(tmp_path)
    store.save(sparse())
    (version,) = store.versions()
    header = store.show("math")
    assert header.record | {"saved": ""} == sparse().record | {"saved": ""}
    row, summary = version.row, version.row.summary
    assert summary is not None and header.mask == summary.mask == mask_id(sparse().masks)
    assert {"lori_core", "python", "torch"} <= header.software.keys()
    assert (summary.base, summary.revision, summary.fingerprint) == (BASE["name"], "", BASE["fingerprint"])
    assert row.bytes == sum(path.stat().st_size for path in (tmp_path / "math" / "1").iterdir())
    assert summary.id == store.load("math").record["id"]


def test_a_merge_names_the_versions_that_it_was_made_of(tmp_path):
    store = AdapterStore(tmp_path)
    parts = [store.load(store.save(sparse(name))) for name in ("math", "code")]
    store.save(merge(parts, "concat", [0.5, 0.5], "both"))
    ids = [version.id for version in (*store.versions("math"), *store.versions("code"))]
    expected = [
        {"name": name, "version": f"{name}@1", "id": identity}
        for name, identity in zip(("math", "code"), ids, strict=True)
    ]
    assert store.show("both").record["parents"] == expected
    assert same(store.load("both"), merge(parts, "concat", [0.5, 0.5], "both"))


def test_what_was_loaded_and_is_saved_again_has_an_id_of_its_own(tmp_path):
    store = AdapterStore(tmp_path)
    first = store.load(store.save(sparse()))
    again = store.load(store.save(first))
    assert again.record["version"] == "math@2"
    assert "id" not in store.show("math@2").record and "version" not in store.show("math@2").record


def test_a_difference_holds_only_what_changed(tmp_path):
    store = AdapterStore(tmp_path)
    store.save(sparse(seed=0))
    store.save(sparse(seed=0))
    store.save(sparse(seed=1, sparsity=0.5))
    equal = store.diff("math@1", "math@2")
    assert equal.changed.keys() <= {"record.saved"} and equal.projections == ()
    assert equal.mask_jaccard == 1 and equal.cosine == pytest.approx(1)
    other = store.diff("math@1", "math@3")
    assert other.changed["config.sparsity"] == (0.75, 0.5)
    assert other.changed["kept"] == (40, 80)
    assert {"mask", "config.projection_seed", "record.scores"} <= other.changed.keys()
    assert "config.rank" not in other.changed and "name" not in other.changed
    assert other.projections == tuple(SHAPES)
    assert other.mask_jaccard is not None and 0 < other.mask_jaccard < 1


# --- deleted


def test_a_deleted_version_lies_in_the_trash_until_gc_and_its_number_is_not_given_again(tmp_path):
    store = AdapterStore(tmp_path)
    for seed in range(2):
        store.save(sparse(seed=seed))
    store.tag("math@2", "best")
    trash = store.delete("math@best")
    assert (trash / "adapter.json").is_file()
    refused("no_version", lambda: store.load("math@2"))
    refused("no_version", lambda: store.load("math@best"))
    assert references(store) == ["math@1"]
    size = sum(path.stat().st_size for path in trash.iterdir())
    assert store.gc() == size and store.gc() == 0
    assert not list(trash.iterdir())
    assert store.save(sparse()) == "math@3"


def test_a_version_that_is_a_link_is_none_and_gc_deletes_nothing_outside_the_store(tmp_path):
    outside, store = AdapterStore(tmp_path / "other"), AdapterStore(tmp_path / "store")
    outside.save(sparse())
    theirs = sorted((tmp_path / "other").rglob("*"))
    store.save(sparse("code"))
    (store.root / "math").mkdir()
    (store.root / "math" / "1").symlink_to(tmp_path / "other" / "math" / "1")
    assert references(store) == ["code@1"]
    refused("no_version", lambda: store.delete("math@1"))
    assert store.save(sparse()) == "math@2"  # it cannot have the link's place
    store.delete("math@2")
    trash = store.root / ".trash"
    (store.root / "math" / "1").rename(trash / "math" / "1")  # where earlier versions of the lab moved it
    (trash / "linked").symlink_to(tmp_path / "other" / "math")
    (trash / "math" / "2" / "beside").symlink_to(tmp_path / "other" / "math")
    assert store.gc() > 0 and store.gc() == 0
    assert sorted((tmp_path / "other").rglob("*")) == theirs and outside.verify() == {}
    assert [sorted(path.iterdir()) for path in sorted((trash / "math").iterdir())] == [[], []]
    assert store.save(sparse()) == "math@3"


def test_gc_removes_a_folder_that_somebody_made_inside_a_version(tmp_path):
    store = AdapterStore(tmp_path)
    store.save(sparse())
    (tmp_path / "math" / "1" / ".ipynb_checkpoints" / "deep").mkdir(parents=True)
    (tmp_path / "math" / "1" / ".ipynb_checkpoints" / "note").write_text("x")
    trash = store.delete("math@1")
    assert store.gc() > 0 and not list(trash.iterdir())
    assert store.save(sparse()) == "math@2"


# A save that says when a file of it is half written, and goes on when it is told to.
HELD_UP = """
import os
sync = os.fsync
def hold_up(descriptor):
    print("syncing", flush=True)
    sys.stdin.readline()
    sync(descriptor)
os.fsync = hold_up
store.save(sparse(seed=5))
"""


def test_gc_leaves_what_is_being_written_whatever_the_clock_says(tmp_path):
    store = AdapterStore(tmp_path)
    store.save(sparse())
    with child(HELD_UP, tmp_path) as process:
        assert process.stdout is not None and process.stdout.readline() == "syncing\n"
        for path in (tmp_path / ".new").rglob("*"):
            os.utime(path, (0, 0))
        assert store.gc() == 0
        _, errors = process.communicate("\n" * 100)
    assert process.returncode == 0, errors
    assert references(store) == ["math@1", "math@2"] and store.verify() == {}
    assert same(store.load("math@2"), sparse(seed=5))
    assert not list((tmp_path / ".new").iterdir())


def test_gc_removes_what_a_killed_process_left_at_once(tmp_path):
    store = AdapterStore(tmp_path)
    store.save(sparse())
    with child(HELD_UP, tmp_path) as process:
        assert process.stdout is not None and process.stdout.readline() == "syncing\n"
        process.kill()
    assert store.gc() > 0
    assert not list((tmp_path / ".new").iterdir())
    assert references(store) == ["math@1"] and store.verify() == {}


# --- damage


def test_verify_finds_each_of_200_flipped_bits(tmp_path):
    store = AdapterStore(tmp_path)
    store.save(sparse())
    files = sorted((tmp_path / "math" / "1").iterdir())
    draw = random.Random(0)
    for _ in range(200):
        path = draw.choice(files)
        data = path.read_bytes()
        damaged = bytearray(data)
        damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        assert list(store.verify()) == ["math@1"]
        path.write_bytes(data)
    assert store.verify() == {}


def test_a_damaged_version_is_listed_and_the_others_go_on(tmp_path):
    store = AdapterStore(tmp_path)
    for seed in range(2):
        store.save(sparse(seed=seed))
    (tmp_path / "math" / "1" / "adapter.json").write_bytes(b"{")
    assert store.reindex() == 2
    assert [version.row.summary is None for version in store.versions()] == [True, False]
    assert list(store.verify()) == ["math@1"]
    assert same(store.load("math@2"), sparse(seed=1))


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


def test_a_pickle_in_the_place_of_the_tensors_is_refused_and_not_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = AdapterStore(tmp_path / "store")
    store.save(sparse())
    (tmp_path / "store" / "math" / "1" / "lori.safetensors").write_bytes(pickle.dumps(Bomb()))
    assert list(store.verify()) == ["math@1"]
    with pytest.raises(AdapterError):
        store.load("math")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "name", ["../outside", "..", ".", "", "a/b", "a\\b", "/abs", ".trash", "a\n", "a" * 101, "a@1", "a."]
)
def test_a_name_that_leads_out_of_the_store_is_refused_and_nothing_is_written(tmp_path, name):
    store = AdapterStore(tmp_path / "store")
    refused("bad_store_name", lambda: store.save(sparse(), name=name))
    assert list(tmp_path.iterdir()) == []
    store.save(sparse())
    before = sorted(tmp_path.rglob("*"))
    for action in (store.load, store.delete, store.show, store.folder, store.versions):
        with pytest.raises(LoRIError):
            action(name)
    with pytest.raises(LoRIError):
        store.tag(name, "best")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_out_of_the_store_is_not_listed(tmp_path):
    other = AdapterStore(tmp_path / "other")
    other.save(sparse())
    store = AdapterStore(tmp_path / "store")
    store.save(sparse("code"))
    (tmp_path / "store" / "math").symlink_to(tmp_path / "other" / "math")
    assert references(store) == ["code@1"]


def test_a_store_that_is_not_there_is_empty_and_is_not_made_by_looking(tmp_path):
    store = AdapterStore(tmp_path / "nowhere")
    assert store.versions() == [] and store.verify() == {}
    refused("no_version", lambda: store.load("math"))
    for action in (store.gc, store.reindex, lambda: store.delete("math"), lambda: store.tag("math", "best")):
        refused("no_store", action)
    assert list(tmp_path.iterdir()) == []


# --- index


def test_the_index_follows_folders_that_were_moved_by_hand(tmp_path):
    store = AdapterStore(tmp_path)
    for seed in range(3):
        store.save(sparse(seed=seed))
    (tmp_path / "math" / "2").rename(tmp_path / "math" / "7")
    assert references(store) == ["math@1", "math@3", "math@7"]


def test_a_damaged_index_is_told_and_made_again_from_the_folders(tmp_path):
    store = AdapterStore(tmp_path)
    for seed in range(2):
        store.save(sparse(seed=seed))
    before = store.versions()
    (tmp_path / ".index.sqlite").write_bytes(b"no database" * 1000)
    error = refused("index_unusable", store.versions)
    assert "lori store reindex" in str(error)
    assert same(store.load("math"), sparse(seed=1))
    assert store.reindex() == 2 and store.versions() == before
    (tmp_path / ".index.sqlite").unlink()
    assert store.versions() == before


@pytest.mark.parametrize("damage", ["UPDATE versions SET bytes = 'many'", "UPDATE versions SET name = NULL"])
def test_a_row_of_the_index_that_is_none_is_made_again_from_its_folder(tmp_path, damage):
    store = AdapterStore(tmp_path)
    for seed in range(2):
        store.save(sparse(seed=seed))
    before = store.versions()
    with sqlite3.connect(tmp_path / ".index.sqlite") as connection:
        connection.execute(damage)
    assert store.versions() == before


def test_a_folder_in_the_place_of_the_index_is_told(tmp_path):
    store = AdapterStore(tmp_path)
    store.save(sparse())
    (tmp_path / ".index.sqlite").unlink()
    (tmp_path / ".index.sqlite").mkdir()
    refused("index_unusable", store.versions)
    refused("path_taken", store.reindex)
    assert same(store.load("math"), sparse())


@pytest.mark.parametrize("index", ["as it was", "of other folders", "none", "damaged"])
def test_a_store_on_a_disk_that_cannot_be_written_is_listed_and_verified(tmp_path, index):
    store = AdapterStore(tmp_path)
    for seed in range(3):
        store.save(sparse(seed=seed))
    store.tag("math@1", "best")
    if index == "of other folders":
        (tmp_path / "math" / "2").rename(tmp_path / "math" / "7")
    elif index != "as it was":
        (tmp_path / ".index.sqlite").unlink()
        if index == "damaged":
            (tmp_path / ".index.sqlite").write_bytes(b"no database" * 1000)
    script = """
from lori_core.errors import StorageError
print([(each.reference, each.tags, each.row.summary is not None) for each in store.versions()], store.verify())
for write in (lambda: store.tag("math", "new"), lambda: store.delete("math"), store.gc, store.reindex):
    try:
        write()
    except StorageError as error:
        print(error.key, end=" ")
"""
    second = 7 if index == "of other folders" else 2
    numbers = sorted({1, second, 3})
    listed = [(f"math@{number}", ("best",) if number == 1 else (), True) for number in numbers]
    assert read_only(script, tmp_path) == f"{listed} {{}}\nnot_writable not_writable not_writable not_writable"


def read_only(script: str, store: Path) -> str:
    """What a script of CHILD prints that sees the store's folder as a disk that cannot be written."""
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"'
    if subprocess.run([*unshare, mount, "sh", store], capture_output=True).returncode:
        pytest.skip("this system lets no user mount a disk of their own")
    arguments = [sys.executable, "-c", CHILD + script, store, Path(stored.__file__).parent]
    done = subprocess.run([*unshare, f'{mount} && shift && exec "$@"', "sh", store, *arguments], capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def test_unreadable_tags_are_told(tmp_path):
    store = AdapterStore(tmp_path)
    store.save(sparse())
    for text in ("[1]", '{"best": Infinity}', '{"best": "1"}', "[" * 100_000, "{"):
        (tmp_path / "math" / "tags.json").write_text(text)
        refused("tags_unreadable", lambda: store.load("math@best"))
    (tmp_path / "math" / "tags.json").unlink()
    (tmp_path / "math" / "tags.json").mkdir()
    refused("tags_unreadable", lambda: store.load("math@best"))
    assert same(store.load("math@1"), sparse())


# --- many processes


def test_two_processes_save_200_versions_of_one_name(tmp_path):
    script = "for number in range(100): store.save(sparse(seed=int(sys.argv[3]) + number))"
    processes = [child(script, tmp_path, seed) for seed in (0, 1000)]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    store = AdapterStore(tmp_path)
    rows = store._index.rows()
    folders = {int(path.name) for path in (tmp_path / "math").iterdir()}
    assert folders == set(range(1, 201)) and rows.keys() == {("math", number) for number in folders}
    assert store.verify() == {}
    seeds = sorted(store.show(f"math@{number}").config.projection_seed for number in folders)
    assert seeds == sorted([*range(100), *range(1000, 1100)])
    assert {row.summary and row.summary.id for row in rows.values()} == {
        store.load(f"math@{number}").record["id"] for number in folders
    }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_during_any_of_100_saves_leaves_every_version_whole_or_absent(tmp_path):
    """One process that imported all forks 100 that save and save; each is killed within the time of two saves."""
    script = """
import os, random, signal, time
draw = random.Random(0)
start = time.monotonic()
store.save(sparse())
seconds = time.monotonic() - start
for number in range(100):
    pid = os.fork()
    if pid == 0:
        while True:
            store.save(sparse(seed=number))
    time.sleep(draw.uniform(0, 2 * seconds))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""
    with child(script, tmp_path) as process:
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    store = AdapterStore(tmp_path)
    found = references(store)
    assert len(found) > 1
    assert store.verify() == {}
    assert list((tmp_path / ".new").iterdir())  # some were killed while they wrote
    assert store.gc() > 0 and not list((tmp_path / ".new").iterdir())
    assert store.save(sparse()) == f"math@{len(found) + 1}"


# --- what is stored


def test_tensors_in_the_store_are_safetensors_of_three_streams(tmp_path):
    store = AdapterStore(tmp_path)
    folder = store.folder(store.save(sparse()))
    assert load_file(folder / "lori.safetensors").keys() == {"exponents", "fractions", "masks"}
    assert json.loads((folder / "adapter.json").read_bytes())["version"] == 2


def test_a_tag_that_is_none_is_refused(tmp_path):
    store = AdapterStore(tmp_path)
    store.save(sparse())
    for tag in ("3", "a/b", "", "a b"):
        with pytest.raises(StorageError) as caught:
            store.tag("math", tag)
        assert caught.value.key == "bad_tag"


# --- many versions


def test_a_list_of_what_is_in_the_index_opens_no_adapter_and_one_that_was_written_anew_is_read_again(
    tmp_path, monkeypatch
):
    store = AdapterStore(tmp_path)
    for seed in range(3):
        store.save(sparse(seed=seed))
    before, read = store.versions(), []
    monkeypatch.setattr(
        "lori_core.storage.store.read_header", lambda folder: read.append(folder) or read_header(folder)
    )
    assert store.versions() == before and read == []
    changed = tmp_path / "math" / "2" / "adapter.json"
    changed.write_bytes(b"{")
    os.utime(changed, ns=(0, 1))
    assert [version.id == "" for version in store.versions()] == [False, True, False]
    assert read == [tmp_path / "math" / "2"]


def test_an_index_of_an_earlier_version_of_the_lab_is_made_again(tmp_path):
    store = AdapterStore(tmp_path)
    store.save(sparse())
    before = store.versions()
    (tmp_path / ".index.sqlite").unlink()
    with sqlite3.connect(tmp_path / ".index.sqlite") as connection:
        connection.execute("CREATE TABLE versions (name, number, id, PRIMARY KEY (name, number))")
        connection.execute("INSERT INTO versions VALUES ('math', 1, 'x')")
    assert store.versions() == before


def test_a_list_of_versions_does_not_wait_for_torch(tmp_path):
    AdapterStore(tmp_path).save(sparse())
    script = """
import sys
from lori_core.commands.listing import versions_list
from lori_core.storage.header import read_header
from lori_core.storage.store import AdapterStore
print(versions_list(AdapterStore(sys.argv[1]).versions(), "en").splitlines()[-1].split()[0], "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["math@1", "False"]
