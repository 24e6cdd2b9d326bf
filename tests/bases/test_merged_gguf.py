"""A whole model as GGUF beside a real llama.cpp, with the embedded base and the adapters that ship with it."""

from typing import Any

import gguf
import pytest
import tiny
import torch
from llama_cpp import LlamaCpp, lively

from lori_core.assets import ASSETS
from lori_core.bases.attach import applied
from lori_core.bases.load import Base, load_base
from lori_core.bases.merged_gguf import MODEL_FILE, export_merged_gguf, write_base_gguf
from lori_core.errors import ModelError
from lori_core.method.adapter import Adapter
from lori_core.storage.adapter_files import load_adapter
from lori_core.storage.gguf_lora import LORA_FILE, export_gguf_lora
from lori_core.tasks.registry import load_task

NEW = 12  # tokens of an answer


@pytest.fixture(scope="module")
def base() -> Base:
    return load_base(device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def adapter() -> Adapter:
    return load_adapter(ASSETS / "adapters" / "math" / "lori_s")


@pytest.fixture(scope="module")
def prompts() -> list[str]:
    return [example.prompt for example in load_task("math").load("test")[:20]]


@pytest.fixture(scope="module")
def served(base, adapter, tmp_path_factory) -> dict[str, LlamaCpp]:
    """llama.cpp with the bare base, with the LoRA GGUF on it, and with the merged model."""
    folder = tmp_path_factory.mktemp("gguf")
    write_base_gguf(base, folder / "base.gguf")
    export_gguf_lora(adapter, base.model.config, folder / "lora")
    export_merged_gguf(base, adapter, folder / "merged", ["2 + 3 ="])
    return {
        "bare": LlamaCpp(folder / "base.gguf"),
        "lora": LlamaCpp(folder / "base.gguf", folder / "lora" / LORA_FILE),
        "merged": LlamaCpp(folder / "merged" / MODEL_FILE),
    }


def greedy(base: Base, prompt: str) -> list[int]:
    ids = base.tokenizer(prompt, return_tensors="pt")["input_ids"]
    model: Any = base.model
    new = model.generate(ids, max_new_tokens=NEW, do_sample=False)[0, ids.shape[1] :].tolist()
    return new[: new.index(2) + 1] if 2 in new else new


def log_probs(base: Base, prompt: str) -> torch.Tensor:
    return tiny.logits(base.model, [base.tokenizer(prompt)["input_ids"]])[0, -1].log_softmax(-1)


@pytest.mark.parametrize("form", ["lora", "merged"])
def test_llama_cpp_writes_the_same_20_answers_and_other_ones_than_the_bare_base(form, base, adapter, prompts, served):
    with applied(base.model, adapter):
        ours = [greedy(base, prompt) for prompt in prompts]
    assert [served[form].greedy(prompt, NEW) for prompt in prompts] == ours
    bare = [greedy(base, prompt) for prompt in prompts]
    assert [served["bare"].greedy(prompt, NEW) for prompt in prompts] == bare
    assert sum(one != other for one, other in zip(bare, ours, strict=True)) >= 10


@pytest.mark.parametrize("form", ["lora", "merged"])
def test_llama_cpp_computes_the_same_log_probabilities_and_other_ones_than_the_bare_base(
    form, base, adapter, prompts, served
):
    vocabulary = base.model.config.vocab_size
    for prompt in prompts[:5]:
        with applied(base.model, adapter):
            ours = log_probs(base, prompt)
        theirs = served[form].log_probs(prompt, vocabulary)
        likely = ours > -10  # fp16 sums inside llama.cpp move what is unlikely by more, and by nothing that is chosen
        assert (theirs - ours)[likely].abs().max() < 0.02
        assert (theirs - served["bare"].log_probs(prompt, vocabulary)).abs().max() > 0.5


def test_bf16_weights_go_out_as_they_are(tmp_path):
    base = lively("llama")
    base.model.bfloat16()
    write_base_gguf(base, tmp_path / "base.gguf")
    read = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "base.gguf").tensors}
    down = torch.from_numpy(read["blk.1.ffn_down.weight"].data.copy()).view(torch.bfloat16)
    assert torch.equal(down, base.model.get_parameter("model.layers.1.mlp.down_proj.weight"))
    assert read["blk.1.attn_norm.weight"].tensor_type == gguf.GGMLQuantizationType.F32


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [("gpt2", {}), ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}})],
)
def test_what_is_no_plain_llama_is_refused_by_name(architecture, changes, tmp_path):
    base = lively(architecture, **changes)
    with pytest.raises(ModelError) as caught:
        export_merged_gguf(base, tiny.start(base), tmp_path / "out", ["a"])
    assert caught.value.key == "gguf_base" and not (tmp_path / "out").exists()
