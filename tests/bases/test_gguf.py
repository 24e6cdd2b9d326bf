"""GGUF files as bases: weights, tokenizer, template, fingerprints, and what is refused."""

import random
from dataclasses import replace
from pathlib import Path

import gguf_files
import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar, enable_progress_bar

from lori_core.bases.load import fingerprint, load_base, load_config
from lori_core.bases.merged_base import export_merged_base
from lori_core.errors import IncompatibleAdapters, ModelError
from lori_core.method.adapter import base_notes, check_base
from lori_core.training.learn import fine_tune, learn


def refused(name: Path, **options) -> str:
    with pytest.raises(ModelError) as caught:
        load_base(str(name), device="cpu", **options)
    return caught.value.key


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return gguf_files.write(gguf_files.llama(), tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_1"])
def test_the_model_computes_with_the_weights_that_the_file_s_blocks_stand_for(kind, tmp_path):
    model = gguf_files.llama()
    base = load_base(str(gguf_files.write(model, tmp_path / "a.gguf", kind)), device="cpu", dtype="fp32")
    expected = gguf_files.rounded(model, kind)
    for name, weight in base.model.state_dict().items():
        torch.testing.assert_close(weight, expected[name.replace("lm_head", "model.embed_tokens")], rtol=0, atol=1e-6)
    model.load_state_dict(expected)
    torch.testing.assert_close(tiny.logits(base.model), tiny.logits(model), rtol=1e-4, atol=1e-4)
    assert base.stored_as == (None if kind in ("F32", "F16") else kind)


def test_a_folder_with_one_gguf_file_is_a_base_as_the_file_is(file):
    one, other = (load_base(str(name), device="cpu") for name in (file, file.parent))
    assert one.fingerprint == other.fingerprint == fingerprint(one.model)
    assert load_config(str(file)).model_type == load_config(str(file.parent)).model_type == "llama"


def test_the_fingerprint_is_that_of_the_weights_as_used_in_either_precision(file):
    bases = [load_base(str(file), device="cpu", dtype=dtype) for dtype in ("fp32", "bf16")]
    assert [base.model.dtype for base in bases] == [torch.float32, torch.bfloat16]
    assert bases[0].record == bases[1].record
    rounded = gguf_files.llama()
    rounded.load_state_dict(gguf_files.rounded(rounded, "Q4_1"))
    assert bases[0].fingerprint == fingerprint(rounded) != fingerprint(gguf_files.llama())


def test_tokens_and_chat_template_are_the_file_s(file):
    tokenizer = load_base(str(file), device="cpu").tokenizer
    assert tokenizer("計算 a")["input_ids"] == tiny.byte_tokenizer()("計算 a")["input_ids"]
    turns = [{"role": "user", "content": "hi"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == "<user>hi<end>"
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == tiny.END


def test_an_adapter_is_learned_on_it_and_its_record_says_how_the_file_stores_weights(file):
    base = load_base(str(file), device="cpu")
    learned = learn(base, tiny.task(), "lori_s", tiny.CONFIG, tiny.by_method(steps=2))
    assert learned.adapter.record["base"] == base.record
    assert base.record["stored_as"] == "Q4_1" and base.quantization is None


def test_all_weights_of_it_can_be_tuned_since_they_are_plain_ones(file):
    tuned, _ = fine_tune(load_base(str(file), device="cpu"), tiny.task(), tiny.settings(steps=1))
    assert tuned.model.dtype == torch.float32


def test_a_merged_base_of_it_is_written_as_plain_safetensors(file, tmp_path):
    base = load_base(str(file), device="cpu", dtype="fp32")
    export_merged_base(base, tiny.filled(tiny.start(base)), tmp_path / "out", ["a b"])
    config = (tmp_path / "out" / "config.json").read_text()
    assert "gguf" not in config and (tmp_path / "out" / "model.safetensors").is_file()
    again = load_base(str(tmp_path / "out"), device="cpu")
    assert again.stored_as is None and again.tokenizer.chat_template == gguf_files.TEMPLATE
    assert type(AutoModelForCausalLM.from_pretrained(tmp_path / "out")) is type(base.model)


def whole_base(folder: Path, seed: int = 0) -> Path:
    gguf_files.llama(seed).save_pretrained(folder)
    tiny.byte_tokenizer().save_pretrained(folder)
    return folder


def test_an_adapter_of_a_rounded_copy_opens_on_the_whole_weights_and_the_other_way_round_and_is_told(file, tmp_path):
    rounded = load_base(str(file), device="cpu")
    whole = load_base(str(whole_base(tmp_path / "whole")), device="cpu")
    assert rounded.fingerprint != whole.fingerprint
    for trained, opened in [(rounded, whole), (whole, rounded)]:
        adapter = replace(tiny.start(trained), record={"base": trained.record})
        check_base(adapter, opened.record)
        assert base_notes(adapter, opened.record) == ("note.other_file_quantization",)
        assert base_notes(adapter, trained.record) == ()


def test_an_adapter_of_a_rounded_copy_is_refused_on_another_model(file, tmp_path):
    rounded = load_base(str(file), device="cpu")
    other = load_base(str(whole_base(tmp_path / "other", seed=1)), device="cpu")
    for trained, opened in [(rounded, other), (other, rounded)]:
        with pytest.raises(IncompatibleAdapters) as caught:
            check_base(replace(tiny.start(trained), record={"base": trained.record}), opened.record)
        assert caught.value.key == "wrong_base"


def test_bases_with_the_same_vectors_are_not_one_unless_a_gguf_file_is_among_them(tmp_path):
    """Adding an adapter to the weights leaves norms as they are, so they say nothing about it."""
    model = gguf_files.llama()
    whole = load_base(str(whole_base(tmp_path / "whole")), device="cpu")
    model.get_parameter("model.layers.0.mlp.up_proj.weight").data += 1
    model.save_pretrained(tmp_path / "merged")
    tiny.byte_tokenizer().save_pretrained(tmp_path / "merged")
    merged = load_base(str(tmp_path / "merged"), device="cpu")
    assert merged.vectors == whole.vectors
    with pytest.raises(IncompatibleAdapters):
        check_base(replace(tiny.start(whole), record={"base": whole.record}), merged.record)


# --- refused


def test_a_folder_with_several_files_asks_which(file, tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(file.read_bytes())
    assert refused(tmp_path) == "gguf_several"
    assert load_base(str(tmp_path / "b.gguf"), device="cpu").stored_as == "Q4_1"


def test_a_file_that_is_not_there_and_one_that_is_none_are_refused(tmp_path):
    assert refused(tmp_path / "nothing.gguf") == "no_model_folder"
    (tmp_path / "text.gguf").write_text("GGUF, they say")
    assert refused(tmp_path / "text.gguf") == "gguf_not_loadable"


def test_one_part_of_several_says_how_to_join_them(tmp_path):
    assert refused(gguf_files.write(gguf_files.llama(), tmp_path / "a.gguf", split_count=3)) == "gguf_in_parts"


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_it_is_not_quantised_once_more(file, quantization):
    assert refused(file, quantization=quantization) == "gguf_quantised"


@pytest.mark.parametrize("place", [16, 24, 200])
def test_a_count_that_leads_beyond_the_file_is_refused_at_once(file, tmp_path, place):
    """Read as a number of keys, the length of a key, or whatever lies at 200: a reader that counts on never ends."""
    data = bytearray(file.read_bytes())
    data[place : place + 8] = (2**60).to_bytes(8, "little")
    (tmp_path / "a.gguf").write_bytes(data)
    assert refused(tmp_path / "a.gguf") == "gguf_not_loadable"


def test_a_damaged_header_gives_a_model_or_a_refusal_and_nothing_else(file, tmp_path):
    whole, damaged, drawn = file.read_bytes(), tmp_path / "a.gguf", random.Random(0)
    for number in range(40):
        data = bytearray(whole[: drawn.randrange(len(whole))] if number % 4 == 0 else whole)
        for _ in range(3):
            if data:
                data[drawn.randrange(min(len(data), 8000))] = drawn.randrange(256)
        damaged.write_bytes(data)
        try:
            load_base(str(damaged), device="cpu")
        except ModelError as error:
            assert error.key in {"gguf_not_loadable", "gguf_in_parts", "weights_missing", "not_causal"}


def test_a_load_parses_the_file_once_and_leaves_the_package_as_it_was(file, monkeypatch, capsys):
    import gguf as package

    own, parsed = package.GGUFReader, []

    def counted(path, *rest):
        parsed.append(path)
        return own(path, *rest)

    monkeypatch.setattr(package, "GGUFReader", counted)
    load_base(str(file), device="cpu", dtype="fp32")
    load_base(str(file), device="cpu", dtype="fp32")
    assert len(parsed) == 2  # one a load: the file may have changed between two
    assert "%|" in capsys.readouterr().err
    disable_progress_bar()
    try:
        load_base(str(file), device="cpu", dtype="fp32")
    finally:
        enable_progress_bar()
    assert "%|" not in capsys.readouterr().err
    assert package.GGUFReader is counted
