"""LoRA GGUF beside a real llama.cpp: what it computes with the file is what transformers computes with the adapter."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import architectures
import gguf
import pytest
import tiny
import torch
from llama_cpp import LlamaCpp, lively

from lori_core.bases.attach import applied
from lori_core.bases.gguf_tokenizer import describe_tokenizer
from lori_core.bases.load import Base
from lori_core.bases.merged_gguf import write_base_gguf
from lori_core.config import AdapterConfig
from lori_core.errors import AdapterError, ModelError
from lori_core.method.adapter import Adapter, dense_factors
from lori_core.storage.gguf_files import gguf_names, write_gguf
from lori_core.storage.gguf_lora import LORA_FILE, export_gguf_lora

PROMPT = [7, 3, 200, 41, 5, 90]
FAMILY = {
    "llama": {},
    "mistral": {},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {},
}


def strong(base: Base) -> Adapter:
    """Ranks, scalings and masks that differ by module, and large enough to change the answer."""
    made = tiny.filled(tiny.start(base, masks=tiny.halves(base)))
    factors = {}
    for number, (module, f) in enumerate(made.factors.items()):
        rank = 1 + number % f.rank
        mask = f.mask[:, :rank]
        factors[module] = replace(f, A=f.A[:rank], mask=mask, values=f.B[:, :rank][mask], scaling=2.0 + number % 3)
    return replace(made, factors=factors)


def log_probs(base: Base) -> torch.Tensor:
    return tiny.logits(base.model, [PROMPT])[0, -1].log_softmax(-1)


def write_gpt2(base: Base, path: Path) -> None:
    """As llama.cpp's converter writes it: Conv1D weights transposed. Our exporter leaves GPT-2 to that converter."""
    config = base.model.config

    def describe(writer: Any) -> None:
        writer.add_context_length(config.n_positions)
        writer.add_embedding_length(config.n_embd)
        writer.add_block_count(config.n_layer)
        writer.add_feed_forward_length(config.n_inner)
        writer.add_head_count(config.n_head)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        describe_tokenizer(writer, base.tokenizer, config.vocab_size)

    name_of = gguf_names(config)
    tensors = {}
    for name, tensor in base.model.named_parameters():
        conv = tensor.ndim == 2 and ("attn.c_" in name or "mlp.c_" in name)
        tensors[name_of(name) or name] = tensor.T if conv else tensor
    write_gguf(path, gguf.MODEL_ARCH.GPT2, describe, tensors)


@pytest.mark.parametrize("architecture", [*FAMILY, "gpt2"])
def test_llama_cpp_computes_with_the_file_what_transformers_computes_with_the_adapter(architecture, tmp_path):
    base = lively(architecture, **FAMILY.get(architecture, {}))
    adapter = strong(base)
    (write_gpt2 if architecture == "gpt2" else write_base_gguf)(base, tmp_path / "base.gguf")
    export_gguf_lora(adapter, base.model.config, tmp_path / "out")
    plain = log_probs(base)
    with applied(base.model, adapter):
        ours = log_probs(base)
    assert (ours - plain).abs().max() > 0.1
    vocabulary = base.model.config.vocab_size
    bare = LlamaCpp(tmp_path / "base.gguf").log_probs(PROMPT, vocabulary)
    theirs = LlamaCpp(tmp_path / "base.gguf", tmp_path / "out" / LORA_FILE).log_probs(PROMPT, vocabulary)
    torch.testing.assert_close(bare, plain, atol=2e-3, rtol=0)
    torch.testing.assert_close(theirs, ours, atol=2e-3, rtol=0)


def test_rows_of_q_and_k_that_stay_as_they_are_are_another_adapter(tmp_path, monkeypatch):
    """The control of the test above: were they not moved, it would not pass."""
    base = lively("llama")
    adapter = strong(base)
    write_base_gguf(base, tmp_path / "base.gguf")
    monkeypatch.setattr("lori_core.storage.gguf_lora.in_gguf_order", lambda config, name, rows: rows)
    export_gguf_lora(adapter, base.model.config, tmp_path / "out")
    with applied(base.model, adapter):
        ours = log_probs(base)
    theirs = LlamaCpp(tmp_path / "base.gguf", tmp_path / "out" / LORA_FILE).log_probs(PROMPT, 257)
    assert (theirs - ours).abs().max() > 0.1


def test_the_file_says_what_llama_cpp_looks_for(tmp_path):
    base = lively("llama")
    export_gguf_lora(strong(base), base.model.config, tmp_path / "out")
    read = gguf.GGUFReader(tmp_path / "out" / LORA_FILE)
    said = {name: field.contents() for name, field in read.fields.items() if not name.startswith("GGUF.")}
    assert said["general.type"] == "adapter" and said["adapter.type"] == "lora"
    assert said["general.architecture"] == "llama" and said["adapter.lora.alpha"] == tiny.CONFIG.rank
    shapes = {tensor.name: list(tensor.shape) for tensor in read.tensors}
    assert shapes["blk.1.attn_k.weight.lora_a"] == [32, 4]  # GGUF names the fastest axis first
    assert shapes["blk.1.attn_k.weight.lora_b"] == [4, 16]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {LORA_FILE, "README.md"}


@pytest.mark.parametrize("module", ["lm_head", "model.embed_tokens", "model.layers.0.self_attn.no_such"])
def test_an_output_head_and_what_llama_cpp_does_not_know_are_refused_by_name(module, tmp_path):
    adapter = Adapter("odd", AdapterConfig(rank=2), {module: dense_factors(torch.randn(2, 32), torch.randn(257, 2))})
    with pytest.raises(AdapterError) as caught:
        export_gguf_lora(adapter, lively("llama").model.config, tmp_path / "out")
    assert caught.value.key == "gguf_module" and module in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("architecture", ["gpt_neox", "falcon", "bloom", "phi3", "mixtral", "opt"])
def test_architectures_whose_rows_llama_cpp_orders_in_its_own_way_are_refused_by_name(architecture, tmp_path):
    config = architectures.CONFIGS[architecture]
    with pytest.raises(ModelError) as caught:
        export_gguf_lora(strong(lively("llama")), config, tmp_path / "out")
    assert caught.value.key == "gguf_architecture" and architecture in str(caught.value)
