"""A base with an adapter in its weights: what transformers opens, what rounding does, what is refused."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from lori_core.bases.attach import applied
from lori_core.bases.load import Base
from lori_core.bases.merged_base import export_merged_base
from lori_core.errors import ConfigError, IncompatibleAdapters, LoRIError, ModelError, StorageError
from lori_core.method.adapter import Adapter, dense_factors
from lori_core.method.merge import merge

MODELS = {"llama": tiny.llama, "gpt2": tiny.gpt2}
PROMPTS = ["after a:", "b"]


def sparse(base: Base, seed: int = 0) -> Adapter:
    return tiny.filled(tiny.start(base, masks=tiny.halves(base, seed=seed)), seed)


def opened(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()


def dense_sum(model: PreTrainedModel, adapter: Adapter) -> dict[str, torch.Tensor]:
    """The state dict with W + dW summed in fp64 and rounded to the model's dtype."""
    expected = tiny.weights(model)
    for module, factors in adapter.factors.items():
        W = expected[f"{module}.weight"]
        update = factors.scaling * factors.B.double() @ factors.A.double()
        sum_ = W.double() + (update if W.shape == update.shape and "c_" not in module else update.T)
        expected[f"{module}.weight"] = sum_.to(W.dtype)
    return expected


@pytest.mark.parametrize("architecture", MODELS)
def test_transformers_opens_the_folder_and_computes_what_base_and_adapter_compute(architecture, tmp_path):
    base = tiny.base(MODELS[architecture]())
    adapter = sparse(base)
    drift = export_merged_base(base, adapter, tmp_path / "out", PROMPTS)
    merged = opened(tmp_path / "out")
    assert type(merged) is type(base.model)
    with applied(base.model, adapter):
        torch.testing.assert_close(tiny.logits(merged), tiny.logits(base.model), rtol=1e-4, atol=1e-5)
    assert drift.max_abs < 1e-4 and drift.kl < 1e-8
    assert (drift.prompts, drift.positions) == (2, sum(len(prompt) for prompt in PROMPTS))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("計算 a")["input_ids"] == base.tokenizer("計算 a")["input_ids"]


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize(
    # fp32 and fp64 sums round apart only where they fall on both sides of the middle between two numbers
    ("dtype", "apart", "tolerance"),
    [(torch.bfloat16, 0.01, 0.01), (torch.float16, 0.01, 0.002), (torch.float64, 1.0, 1e-14)],
)
def test_weights_are_rounded_once_to_the_dtype_of_the_base(architecture, dtype, apart, tolerance, tmp_path):
    base = tiny.base(MODELS[architecture]().to(dtype))
    adapter = sparse(base)
    expected = dense_sum(base.model, adapter)
    export_merged_base(base, adapter, tmp_path / "out", PROMPTS)
    got = tiny.weights(opened(tmp_path / "out"))
    assert got.keys() == expected.keys()
    for name, tensor in got.items():
        assert tensor.dtype == dtype
        assert (tensor != expected[name]).float().mean() <= apart
        torch.testing.assert_close(tensor, expected[name], rtol=tolerance, atol=1e-15)


def test_many_adapters_go_in_as_their_exact_merge_with_one_rounding(tmp_path):
    base = tiny.base(tiny.llama().bfloat16())
    parts = [sparse(base, seed) for seed in range(4)]
    merged = merge(parts, "concat", [1.0] * 4, "four")
    export_merged_base(base, merged, tmp_path / "out", PROMPTS)
    exact = tiny.weights(base.model)
    rounded_each = tiny.weights(base.model)
    for part in parts:
        for module, factors in part.factors.items():
            name = f"{module}.weight"
            exact[name] = exact[name].float() + factors.update
            rounded_each[name] = (rounded_each[name].float() + factors.update).bfloat16()

    def error(weights: dict[str, torch.Tensor]) -> float:
        return sum((weights[n].float() - exact[n].float()).square().sum().item() for n in weights)

    assert error(tiny.weights(opened(tmp_path / "out"))) < 0.7 * error(rounded_each)


def test_the_drift_is_that_of_the_logits(tmp_path):
    tiny.llama().bfloat16().save_pretrained(tmp_path / "base")
    base = tiny.base(opened(tmp_path / "base"))  # .bfloat16() also rounds frequencies, which transformers keeps in fp32
    adapter = sparse(base)
    drift = export_merged_base(base, adapter, tmp_path / "out", PROMPTS)
    merged, differences, divergences = opened(tmp_path / "out"), [], []
    for prompt in PROMPTS:
        row = [base.tokenizer(prompt)["input_ids"]]
        with applied(base.model, adapter):
            p = tiny.logits(base.model, row)[0].double()
        q = tiny.logits(merged, row)[0].double()
        differences.append((p - q).abs().flatten())
        p, q = p.softmax(-1), q.softmax(-1)
        divergences.append((p * (p / q).log()).sum(-1))
    assert drift.max_abs == pytest.approx(torch.cat(differences).max().item(), rel=1e-6)
    assert drift.mean_abs == pytest.approx(torch.cat(differences).mean().item(), rel=1e-6)
    assert drift.kl == pytest.approx(torch.cat(divergences).mean().item(), rel=1e-3)
    assert drift.max_abs > 0
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"{drift.kl:.3g} nats" in card and "rounded once to bfloat16" in card


def test_a_prompt_longer_than_the_model_is_cut(tmp_path):
    base = tiny.base(tiny.gpt2())
    drift = export_merged_base(base, sparse(base), tmp_path / "out", ["x" * 5000])
    assert drift.positions == 64


def test_the_base_is_as_before_also_where_the_disk_refuses(tmp_path):
    base = tiny.base()
    before = tiny.weights(base.model)
    export_merged_base(base, sparse(base), tmp_path / "out", PROMPTS)
    assert tiny.same_tensors(tiny.weights(base.model), before)
    with pytest.raises(StorageError):
        export_merged_base(base, sparse(base), tmp_path / "out", PROMPTS)
    assert tiny.same_tensors(tiny.weights(base.model), before)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


# --- refused


def refused(
    kind: type[LoRIError], key: str, folder: Path, base: Base, adapter: Adapter, prompts: Sequence[str] = PROMPTS
) -> None:
    before = tiny.weights(base.model)
    with pytest.raises(kind) as caught:
        export_merged_base(base, adapter, folder, prompts)
    assert caught.value.key == key
    assert tiny.same_tensors(tiny.weights(base.model), before)
    assert not any(folder.parent.iterdir())


def test_an_adapter_of_other_weights_is_refused(tmp_path):
    base, other = tiny.base(), tiny.base(tiny.llama(1))
    adapter = replace(sparse(base), record={"base": {"name": "tiny", "fingerprint": base.fingerprint}})
    refused(IncompatibleAdapters, "wrong_base", tmp_path / "out", other, adapter)
    refused(IncompatibleAdapters, "no_such_module", tmp_path / "out", tiny.base(tiny.gpt2()), sparse(base))
    export_merged_base(base, adapter, tmp_path / "out", PROMPTS)


def test_a_quantised_base_is_refused(tmp_path):
    base = tiny.base()
    adapter = sparse(base)
    marked = replace(base, model=copy.deepcopy(base.model))
    marked.model.config.quantization_config = {"quant_method": "bitsandbytes"}
    refused(ModelError, "merge_quantised", tmp_path / "out", marked, adapter)


def test_a_weight_that_is_shared_is_refused(tmp_path):
    model = tiny.llama()
    model.lm_head.weight = model.model.embed_tokens.weight
    base = tiny.base(model)
    torch.manual_seed(0)
    head = {"lm_head": dense_factors(torch.randn(4, 32), torch.randn(257, 4))}
    refused(ModelError, "merge_tied", tmp_path / "out", base, Adapter("head", tiny.CONFIG, head))


@pytest.mark.parametrize("prompts", [[], [""]])
def test_a_drift_without_text_is_refused(prompts, tmp_path):
    base = tiny.base()
    refused(ConfigError, "drift_needs_prompts", tmp_path / "out", base, sparse(base), prompts)


def test_the_merged_base_ends_an_answer_where_the_adapter_learned_to(tmp_path):
    base = tiny.base()
    base.tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})
    base.model.resize_token_embeddings(len(base.tokenizer))
    before = base.model.generation_config.eos_token_id
    adapter = replace(sparse(base), record={"wording": {"end": "<|im_end|>"}})
    export_merged_base(base, adapter, tmp_path / "out", PROMPTS)
    end = AutoTokenizer.from_pretrained(tmp_path / "out").eos_token_id
    assert end == base.tokenizer.convert_tokens_to_ids("<|im_end|>") != base.tokenizer.eos_token_id
    assert opened(tmp_path / "out").generation_config.eos_token_id == [end, tiny.END]
    assert base.model.generation_config.eos_token_id == before
