"""lori export and lori import as people type them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM
from typed import lori, refused
from typer.testing import Result

from lori_core.bases.attach import applied
from lori_core.bases.load import load_base
from lori_core.method.adapter import Adapter
from lori_core.results import Score, SingleResult, Training, to_json
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.storage.peft import import_peft
from lori_core.storage.store import AdapterStore


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def given(tmp_path) -> Path:
    """A folder with a tiny base, and a trained LoRI-S adapter of it that names it."""
    tiny.llama().save_pretrained(tmp_path / "base")
    tiny.byte_tokenizer().save_pretrained(tmp_path / "base")
    base = load_base(str(tmp_path / "base"), device="cpu", dtype="fp32")
    adapter = tiny.filled(tiny.start(base, masks=tiny.halves(base)))
    record = {"task": "after", "base": {"name": base.name, "revision": None, "fingerprint": base.fingerprint}}
    save_adapter(Adapter("after", adapter.config, adapter.factors, record), tmp_path / "adapter")
    return tmp_path


def rows_of_text(folder: Path) -> Path:
    """A task as a file."""
    rows = [{"prompt": f"{a}{b}:", "response": b} for a in "abcd" for b in "abcdefghij"]
    (folder / "same.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "same.jsonl"


def same_updates(left: Adapter, right: Adapter) -> None:
    assert left.factors.keys() == right.factors.keys()
    for module, factors in left.factors.items():
        torch.testing.assert_close(factors.update, right.factors[module].update, rtol=1e-6, atol=1e-7)


def test_a_folder_that_is_there_already_is_refused_however_it_is_spelt(given, monkeypatch):
    done(lori("export", given / "adapter", given / "peft"))
    (given / "in").mkdir()
    monkeypatch.chdir(given / "in")
    for out in (".", "..", given / "in"):
        refused(lori("import", given / "peft", out), given)
    assert list((given / "in").iterdir()) == []
    done(lori("import", given / "peft", "./new"))
    assert load_adapter(given / "in" / "new").name == "peft"


def test_an_adapter_goes_out_to_PEFT_and_comes_in_again(given):
    assert f"{given / 'peft'}" in done(lori("export", given / "adapter", given / "peft"))
    done(lori("import", given / "peft", given / "again", "--name", "again"))
    again = load_adapter(given / "again")
    assert again.name == "again"
    same_updates(again, load_adapter(given / "adapter"))


def test_a_base_goes_out_with_the_adapter_in_it_and_the_drift_is_told(given):
    options = ["--to", "base", "--precision", "fp32", "--device", "cpu", "--prompt", "after a:"]
    output = done(lori("export", given / "adapter", given / "merged", *options))
    assert "over 8 positions" in output
    base = load_base(str(given / "base"), device="cpu", dtype="fp32")
    with applied(base.model, load_adapter(given / "adapter")):
        expected = tiny.logits(base.model)
    merged: Any = AutoModelForCausalLM.from_pretrained(given / "merged", dtype="auto")
    torch.testing.assert_close(tiny.logits(merged), expected, rtol=1e-4, atol=1e-5)


def test_a_rank_can_be_chosen_and_its_error_is_told(given):
    output = done(lori("export", given / "adapter", given / "peft", "--rank", 2, "--language", "ja"))
    reduced, whole = import_peft(given / "peft"), load_adapter(given / "adapter")
    lost = sum((f.update - reduced.factors[m].update).square().sum().item() for m, f in whole.factors.items())
    size = sum(f.update.square().sum().item() for f in whole.factors.values())
    assert f"相対フロベニウス誤差: {(lost / size) ** 0.5:.3g}" in output
    assert {factors.rank for factors in reduced.factors.values()} == {2}


def test_what_comes_from_PEFT_keeps_its_bits(given):
    done(lori("export", given / "adapter", given / "peft"))
    done(lori("import", given / "peft", given / "again"))
    same = import_peft(given / "peft")
    assert tiny.same_bits(load_adapter(given / "again"), same)  # A is fp32 there, and more than bf16 holds


def test_a_published_adapter_brings_its_mask_which_training_takes(given):
    adapter = load_adapter(given / "adapter")
    done(lori("export", given / "adapter", given / "LoRI-D"))
    (given / "LoRI-D" / "masks").mkdir()
    names = {module: f"base_model.model.{module}.lora_B.default.weight" for module in adapter.factors}
    half = {module: mask & (torch.rand(mask.shape) < 0.5) for module, mask in adapter.masks.items()}
    torch.save({names[module]: mask for module, mask in half.items()}, given / "LoRI-D" / "masks" / "0.9_mask.pt")
    output = done(lori("import", given / "LoRI-D", given / "in"))
    assert f"{given / 'in-mask-0.9'}" in output
    same_updates(load_adapter(given / "in"), adapter)
    masks = load_adapter(given / "in-mask-0.9").masks
    assert all(torch.equal(masks[module], mask) for module, mask in half.items())
    what = ["--task", f"same={rows_of_text(given)}", "--mask", given / "in-mask-0.9", "--rank", 4, "--steps", 1]
    done(lori("train", *what, "--base", given / "base", "--precision", "fp32", "--out", given / "lab"))
    (trained,) = (given / "lab").glob("*/adapters/trained")
    assert all(torch.equal(mask, half[module]) for module, mask in load_adapter(trained).masks.items())


def test_the_card_has_the_score_of_the_run_that_the_adapter_lies_in(given):
    score = Score("after", "test", "exact", 0.625, 0.5, 0.75, 160, 1.0)
    nothing = Training(1, (), 0, 0.0, 0, 0, 0, 0)
    result = SingleResult("after", "lori_s", 0, score, score, 1, 1, 1.0, 0.1, nothing)
    for run, name, path in [("study", "lori_s-0", "units/lori_s-0.json"), ("train", "trained", "result.json")]:
        folder = given / run / "adapters" / name
        save_adapter(load_adapter(given / "adapter"), folder)
        (given / run / path).parent.mkdir(exist_ok=True)
        (given / run / path).write_text(to_json(result))
        done(lori("export", folder, given / f"{run}-out"))
        assert "| 0.625 | 0.500 to 0.750 | 160 |" in (given / f"{run}-out" / "README.md").read_text()
    done(lori("export", given / "study" / "adapters" / "lori_s-0", given / "reduced", "--rank", 1))
    assert "0.625" not in (given / "reduced" / "README.md").read_text()  # what is left at rank 1 was not scored


def test_a_name_is_no_path(given):
    done(lori("export", given / "adapter", given / "peft"))
    done(lori("import", given / "peft", given / "in" / "here", "--name", "../../outside"))
    done(lori("export", given / "in" / "here", given / "in" / "out"))
    assert {path.name for path in given.iterdir()} == {"base", "adapter", "peft", "in"}
    assert {path.name for path in (given / "in").iterdir()} == {"here", "out"}
    assert not (given.parent / "outside").exists()


def test_a_version_of_a_store_goes_out_by_its_name_with_the_scores_in_its_record(given):
    score = {"task": "after", "split": "test", "metric": "exact", "value": 0.625, "low": 0.5, "high": 0.75, "n": 160}
    adapter = load_adapter(given / "adapter")
    scored = replace(adapter, record=adapter.record | {"scores": [score | {"seed": 0}, {"of": "another kind"}, 7]})
    store = AdapterStore(given / "store")
    store.save(scored)
    store.save(tiny.filled(scored, seed=5))
    store.tag("after@1", "good")
    for number, reference in enumerate(("after@1", "after@good")):
        done(lori("export", reference, given / f"out{number}", "--store", given / "store"))
        same_updates(import_peft(given / f"out{number}"), adapter)
        assert "| 0.625 | 0.500 to 0.750 | 160 |" in (given / f"out{number}" / "README.md").read_text()
    done(lori("export", "after", given / "newest", "--store", given / "store"))
    same_updates(import_peft(given / "newest"), store.load("after@2"))
    done(lori("export", "after@1", given / "reduced", "--store", given / "store", "--rank", 1))
    assert "0.625" not in (given / "reduced" / "README.md").read_text()
    refused(lori("export", "after@3", given / "third", "--store", given / "store"), "after@3", "@1 @2 @good")
    refused(lori("export", "before", given / "third", "--store", given / "store"), "before", given / "store")
    assert not (given / "third").exists()


def test_versions_of_a_store_are_merged_and_scored_by_their_names(given):
    store = AdapterStore(given / "store")
    parts = [tiny.filled(load_adapter(given / "adapter"), seed=seed) for seed in (5, 6)]
    for part in parts:
        store.save(part)
    store.tag("after@2", "good")
    named = ["after@1", "after@good", "--weight", 0.5, "--name", "both", "--store", given / "store"]
    done(lori("merge", *named, "--out", given / "lab"))
    (run,) = (given / "lab").iterdir()
    made = load_adapter(run / "adapters" / "merged")
    for module, factors in made.factors.items():
        expected = sum(0.5 * store.load(f"after@{number}").factors[module].update for number in (1, 2))
        torch.testing.assert_close(factors.update, expected, rtol=1e-2, atol=1e-3)  # kept in bf16
    assert [part["id"] for part in made.record["parents"]] == [v.id for v in store.versions("after")]
    assert store.load("both@1").factors.keys() == made.factors.keys()  # a store that is named keeps the result too
    pinned = json.loads((run / "spec.json").read_text())["config"]["adapters"]
    assert pinned == [
        str(given / "store" / "after" / number) for number in "12"
    ]  # what is newest may change, a run not
    scored = ["evaluate", "--task", f"same={rows_of_text(given)}", "--base", given / "base", "--limit", 2]
    done(lori(*scored, "--adapter", "after", "--store", given / "store", "--out", given / "scores"))
    (run,) = (given / "scores").iterdir()
    assert json.loads((run / "result.json").read_text())["adapter"] == str(given / "store" / "after" / "2")
    refused(lori(*scored, "--adapter", "after@3", "--store", given / "store"), "after@3", "@1 @2 @good")
    refused(lori("merge", "after@1", "before", "--store", given / "store"), "before", given / "store")


def test_a_name_of_a_folder_and_of_a_version_is_refused_and_each_can_be_said(given, monkeypatch):
    monkeypatch.chdir(given)
    Path("adapter").rename("after")
    done(lori("export", "after", "out"))  # no store yet: the folder
    AdapterStore("store").save(tiny.filled(load_adapter("after"), seed=5))
    refused(lori("export", "after", "again"), "./after", "after@1")
    refused(lori("merge", "after@1", "after", "--language", "ja"), "./after", "after@1")
    refused(lori("evaluate", "--task", "math", "--adapter", "after"), "./after", "after@1")
    done(lori("export", "./after", "folder"))
    same_updates(import_peft("folder"), load_adapter("after"))
    done(lori("export", "after@1", "version"))
    same_updates(import_peft("version"), AdapterStore("store").load("after@1"))
    assert not Path("again").exists() and not Path("lab").exists()


def test_an_adapter_of_the_same_weights_in_4_bits_goes_into_the_whole_base_and_that_is_told(given):
    adapter = load_adapter(given / "adapter")
    record = adapter.record | {"base": adapter.record["base"] | {"quantization": "4bit"}}
    save_adapter(replace(adapter, record=record), given / "packed")
    told = "another quantisation"
    output = done(lori("export", given / "packed", given / "merged", "--to", "base", "--device", "cpu"))
    assert told in output and "quantised, 4bit" in (given / "merged" / "README.md").read_text()
    scored = ["evaluate", "--task", f"same={rows_of_text(given)}", "--base", given / "base", "--limit", 2]
    assert told in done(lori(*scored, "--adapter", given / "packed", "--out", given / "lab"))
    assert told not in done(lori(*scored, "--adapter", given / "adapter", "--out", given / "lab"))


# --- refused


def test_what_cannot_go_out_is_told_and_leaves_nothing(given):
    before = sorted(given.iterdir())
    out = given / "out"
    refused(lori("export", given / "nowhere", out), given / "nowhere")
    refused(lori("export", given / "adapter", out, "--rank", 0), "at least 1")
    tiny.llama(1).save_pretrained(given / "base")  # other weights under the same name
    refused(lori("export", given / "adapter", out, "--to", "base", "--device", "cpu"), "after")
    assert sorted(given.iterdir()) == before
    refused(lori("export", given / "adapter", given / "base"), given / "base")


def test_an_adapter_that_names_no_base_needs_one(given):
    adapter = load_adapter(given / "adapter")
    save_adapter(Adapter("nameless", adapter.config, adapter.factors), given / "nameless")
    refused(lori("export", given / "nameless", given / "out", "--to", "base"), "nameless", "--base")


def test_what_cannot_come_in_is_told_and_leaves_nothing(given):
    refused(lori("import", given / "base", given / "in"), given / "base", "adapter_config.json")
    refused(lori("import", given / "base", given / "in", "--language", "ja"), "PEFT のアダプターがありません")
    done(lori("export", given / "adapter", given / "peft"))
    (given / "peft" / "masks").mkdir()
    (given / "peft" / "masks" / "0.9_mask.pt").write_bytes(b"no mask")
    refused(lori("import", given / "peft", given / "in"), "0.9_mask.pt")
    assert not (given / "in").exists()


# --- to what serves it


@pytest.fixture
def strong(tmp_path) -> Path:
    """As given, with an adapter that changes what the base writes."""
    save_adapter(tiny.strong(tiny.saved_base(tmp_path / "base"), 0), tmp_path / "adapter")
    return tmp_path


def test_an_adapter_goes_out_in_every_format_with_a_proof_that_check_served_finds_active(strong):
    expected = {
        "peft": "adapter_model.safetensors",
        "vllm": "adapter_model.safetensors",
        "mlx": "adapters.safetensors",
        "gguf-lora": "adapter.gguf",
        "base": "model.safetensors",
    }
    prompts = [part for prompt in ("after a:", "after b:") for part in ("--prompt", prompt)]
    for to, file in expected.items():
        out = strong / f"out-{to}"
        done(lori("export", strong / "adapter", out, "--to", to, "--precision", "fp32", *prompts))
        assert {file, "proof_of_life.json", "README.md"} <= {path.name for path in out.iterdir()}
    assert "Active" in done(lori("check-served", strong / "out-base"))


def test_what_is_not_active_ends_with_code_1_and_what_cannot_be_asked_with_2(strong):
    done(lori("export", strong / "adapter", strong / "peft", "--precision", "fp32"))
    dead = lori("check-served", strong / "base", "--proof", strong / "peft", "--language", "ja")
    assert dead.exit_code == 1 and "効果なし" in dead.output
    refused(lori("check-served", strong / "nowhere"), "proof_of_life.json")


def test_an_adapter_goes_out_without_a_proof_where_its_base_is_not_there(strong):
    done(lori("export", strong / "adapter", strong / "plain", "--no-proof"))
    (strong / "base").rename(strong / "gone")
    assert "Without a proof of life" in done(lori("export", strong / "adapter", strong / "told"))
    for folder in ("plain", "told"):
        assert not (strong / folder / "proof_of_life.json").exists()
        assert (strong / folder / "adapter_model.safetensors").exists()
    refused(lori("export", strong / "adapter", strong / "gguf", "--to", "gguf-lora"), strong / "base")
