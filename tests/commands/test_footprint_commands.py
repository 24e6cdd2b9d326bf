"""`lori footprint`, `lori forecast` and what trains and merges with footprints, as people type them."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
from footprints import measured
from stored import sparse
from typed import lori, refused

from lori_core.embedded.corpus import texts
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.storage.footprint_files import load_footprint, save_footprint
from lori_core.storage.footprint_store import FootprintStore
from lori_core.storage.store import AdapterStore
from lori_core.study.runs import list_runs


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """A base, two tasks, a text, and a store with footprints of all three."""
    folder = tmp_path_factory.mktemp("given")
    tiny.saved_base(folder / "base")
    for name, step in (("after", 1), ("before", -1)):
        rows = [{"prompt": f"{name} {a}{b}:", "response": chr(ord(b) + step)} for a in "abcd" for b in "bcdefghijk"]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "letters.txt").write_text("some words\n\nand others\n\nand more", encoding="utf-8")
    options = ["--text", folder / "letters.txt", *on_base(folder), "--store", folder / "store", "--examples", 8]
    done = lori("footprint", task(folder, "after"), task(folder, "before"), *options)
    assert done.exit_code == 0, done.output
    assert all(f"Stored as {name}@1" in done.stdout for name in ("after", "before", "letters"))
    return folder


def task(given: Path, name: str) -> str:
    return f"{name}={given / name}.jsonl"


def on_base(given: Path) -> list[object]:
    return ["--base", given / "base", "--precision", "fp32", "--device", "cpu"]


def test_what_was_measured_is_listed_shown_and_compared(given):
    def kept(*arguments: object):
        return lori("store", "footprint", *arguments, "--store", given / "store")

    listed = kept("list").stdout
    assert all(f"{name}@1" in listed for name in ("after", "before", "letters")) and "base" in listed
    shown = kept("show", "after").stdout
    assert "record.data.fingerprint" in shown and "tokens" in shown and "32 of 32, 48 of 48" in shown
    told = kept("diff", "after@1", "letters").stdout
    assert "letters" in told and "distance of moments, model.layers.1.mlp.down_proj" in told
    assert "モーメントの距離" in kept("diff", "after", "before", "--language", "ja").stdout
    assert "0.0000" in kept("diff", "after", given / "store" / ".footprints" / "after" / "1").stdout


def test_folders_are_written_instead_of_versions_where_one_is_named(given, tmp_path):
    done = lori("footprint", task(given, "after"), *on_base(given), "--out", tmp_path / "new", "--examples", 4)
    assert f"Footprint: {tmp_path / 'new' / 'after'}" in done.stdout
    assert load_footprint(tmp_path / "new" / "after").record["examples"] == 4
    assert list(tmp_path.iterdir()) == [tmp_path / "new"]


def test_texts_whose_footprints_would_have_one_name_are_refused_before_anything_is_measured(given, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(given / "letters.txt", tmp_path / name / "notes.txt")
    shutil.copy(given / "letters.txt", tmp_path / "corpus.txt")
    shutil.copy(given / "letters.txt", tmp_path / "after.txt")
    where = [*on_base(given), "--out", tmp_path / "out"]
    for first, second in (("a/notes.txt", "b/notes.txt"), ("a/notes.txt", "a/notes.txt")):
        texts_given = ["--text", tmp_path / first, "--text", tmp_path / second]
        refused(lori("footprint", *texts_given, *where), "'notes'", tmp_path / first, tmp_path / second)
    refused(lori("footprint", "--text", "corpus", "--text", tmp_path / "corpus.txt", *where), "'corpus'")
    refused(lori("footprint", task(given, "after"), "--text", tmp_path / "after.txt", *where), "'after'")
    assert not (tmp_path / "out").exists()


def test_a_modules_option_and_a_length_are_heeded(given, tmp_path):
    command = ["footprint", task(given, "after"), *on_base(given), "--module", "q_proj", "--out", tmp_path]
    refused(lori(*command, "--length", 9), "9 tokens")  # "after ab:" alone has as many
    assert lori(*command).exit_code == 0
    found = load_footprint(tmp_path / "after")
    assert set(found.inputs) == {f"model.layers.{layer}.self_attn.q_proj" for layer in (0, 1)}


def test_the_embedded_base_s_own_corpus_is_a_text(given, tmp_path):
    done = lori("footprint", "--text", "corpus", *on_base(given), "--examples", 3, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    expected = sum(min(512, len(text.encode())) - 1 for text in texts(3))
    assert load_footprint(tmp_path / "corpus").tokens == expected
    assert texts(3) == texts(3) != texts(3, seed=1)


def test_a_forecast_from_footprints_needs_no_base_and_says_chance_beside(given):
    options = ["--store", given / "store", "--footprint", "after@1", "--footprint", "before", "--rank", 4]
    drawn = lori("forecast", *options)
    assert drawn.exit_code == 0, drawn.output
    assert "after" in drawn.stdout and "(" in drawn.stdout and "1 is as much as of the own task" in drawn.stdout
    told = lori("forecast", *options, "--projection", "conditioned", "--language", "ja")
    assert told.exit_code == 0 and "ランダムな A" in told.stdout and told.stdout != drawn.stdout


def test_a_forecast_of_tasks_measures_them_and_adds_what_was_measured_before(given):
    options = ["--footprint", "letters@1", "--store", given / "store", "--rank", 4, "--examples", 8]
    done = lori("forecast", task(given, "after"), task(given, "before"), *on_base(given), *options)
    assert done.exit_code == 0, done.output
    assert all(name in done.stdout for name in ("after", "before", "letters"))


@pytest.fixture
def pair(given, tmp_path) -> list[Path]:
    base, folders = tiny.load_base(str(given / "base"), device="cpu", dtype="fp32"), []
    for seed, name in enumerate(("after", "before")):
        save_adapter(tiny.strong(base, seed, name), tmp_path / name)
        folders.append(tmp_path / name)
    return folders


def test_adapters_have_their_forecast_from_footprints_without_a_base(given, pair):
    options = ["--footprint", "after@1", "--footprint", "before@1", "--store", given / "store"]
    done = lori("forecast", *pair, *options)
    assert done.exit_code == 0, done.output
    assert "after" in done.stdout and "before" in done.stdout
    refused(lori("forecast", *pair, *options[:2], "--store", given / "store"), "1 footprints", "2 adapters")
    refused(lori("forecast", *pair), "after", "lori footprint")  # its record leads to no data
    refused(lori("forecast", pair[0], task(given, "after")), str(pair[0]), "tasks only")


def test_an_adapter_is_trained_against_a_task_and_a_footprint_and_merged_by_removal(given, pair, tmp_path):
    shutil.copytree(given / "store", tmp_path / "store")
    against = ["--against", task(given, "before"), "--against", "letters@1", "--store", tmp_path / "store"]
    options = ["--method", "lori_d", "--projection", "conditioned", "--rank", 4, "--steps", 2, *on_base(given)]
    done = lori("train", "--task", task(given, "after"), *options, *against, "--out", tmp_path / "runs")
    assert done.exit_code == 0, done.output
    (run,) = list_runs(tmp_path / "runs")
    assert run.config["against"] == [task(given, "before")]
    assert run.config["footprints"] == [str(FootprintStore(tmp_path / "store").folder("letters"))]
    others = load_adapter(run.path / "adapters" / "trained").record["conditioned"]["others"]
    assert [each["name"] for each in others] == ["before", "letters"]
    assert "after@1" in lori("store", "list", "--store", tmp_path / "store").stdout
    footprints = ["--footprint", "after@1", "--footprint", "before@1", "--ridge", 0.001, "--weight", 1]
    where = ["--store", tmp_path / "store", "--out", tmp_path / "merges"]
    merged = lori("merge", run.path / "adapters" / "trained", pair[1], "--method", "removal", *footprints, *where)
    assert merged.exit_code == 0, merged.output
    (run,) = list_runs(tmp_path / "merges")
    assert run.config["options"] == {"ridge": 0.001} and json.loads(run.result())["merge"]["footprints"]


def test_a_study_s_A_are_conditioned_on_footprints_where_such_are_named(given, tmp_path):
    folder = FootprintStore(given / "store").folder("letters")
    options = ["--method", "lori_d_conditioned", "--rank", 4, "--steps", 2, "--test-examples", 2, *on_base(given)]
    done = lori("study", "--task", task(given, "after"), *options, "--footprint", folder, "--out", tmp_path)
    assert done.exit_code == 0, done.output
    (run,) = list_runs(tmp_path)
    assert run.config["footprints"] == [str(folder)]
    others = load_adapter(run.path / "adapters" / "single-lori_d_conditioned-0-0").record["conditioned"]["others"]
    assert [each["name"] for each in others] == ["letters"]
    refused(
        lori("study", "--task", task(given, "after"), *options, "--footprint", "nobody", "--out", tmp_path), "nobody"
    )


def test_verify_of_a_store_looks_at_footprints_too(tmp_path):
    AdapterStore(tmp_path).save(sparse())
    FootprintStore(tmp_path).save(measured("code"))
    assert lori("store", "verify", "--store", tmp_path).exit_code == 0
    path = tmp_path / ".footprints" / "code" / "1" / "footprint.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    refused(lori("store", "verify", "--store", tmp_path), "code@1", "checksum")
    refused(lori("store", "footprint", "show", "code", "--store", tmp_path), "checksum")
    assert "code@1" in lori("store", "footprint", "list", "--store", tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["footprint"], ["--text"]),
        (["footprint", "cooking"], ["cooking", "nlu, math, code, safety"]),
        (["footprint", "math", "math"], ["math"]),
        (["footprint", "--text", "nowhere.txt"], ["nowhere.txt"]),
        (["footprint", "math", "--base", "/no/such/folder"], ["/no/such/folder", "config.json"]),
        (["footprint", "math", "--examples", 0], ["--examples"]),
        (["forecast"], ["--footprint"]),
        (["forecast", "cooking"], ["cooking"]),
        (["forecast", "math@7"], ["math@7"]),
        (["forecast", "--footprint", "math@9"], ["math@9", "lori store footprint list"]),
        (["forecast", "--footprint", "../x"], ["footprint.json"]),
        (["train", "--task", "math", "--against", "code@3"], ["code@3"]),
        (["train", "--task", "math", "--against", "code"], ["conditioned", "kaiming_uniform"]),
        (["train", "--task", "math", "--projection", "conditioned"], ["math", "footprints"]),
        (["merge", "x", "y", "--footprint", "code@3"], ["x"]),
        (["store", "footprint", "show", "../x"], ["footprint.json"]),
        (["store", "footprint", "diff", "math", "code"], ["math"]),
    ],
)
def test_what_is_not_there_or_cannot_be_is_told_and_leaves_nothing(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    refused(lori(*arguments), *words)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_here_and_a_version_of_one_name_are_not_mixed_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FootprintStore("store").save(measured("code"))
    save_footprint(measured("math"), "code")
    save_footprint(measured("nlu"), "nlu")
    refused(lori("store", "footprint", "show", "code"), "code@1")
    assert "math" in lori("store", "footprint", "show", "./code").stdout
    assert "nlu" in lori("store", "footprint", "show", "nlu").stdout
