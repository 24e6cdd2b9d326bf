"""The estimate against memory that was really taken: what autograd saves and the allocator hands out; known models."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import architectures
import pytest
import tiny
import torch
from allocations import allocated_bytes
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen2Config
from typer.testing import CliRunner, Result

from lori_core.__main__ import app
from lori_core.bases.attach import attach
from lori_core.bases.load import DTYPES
from lori_core.bases.quantize import packed_bytes
from lori_core.bases.sharded import shared_out
from lori_core.bases.targets import target_modules
from lori_core.config import AdapterConfig
from lori_core.errors import ConfigError, ModelError
from lori_core.results import Memory
from lori_core.tasks.task import Example
from lori_core.training.estimate import GIB, estimate
from lori_core.training.train import train

ROOT = Path(__file__).parents[2]
BATCH, LENGTH = 8, 64
LORI_S = AdapterConfig(rank=4, sparsity=0.5)
LORI_D = LORI_S.changed(sparsity=0)
LORA = LORI_D.changed(train_projection=True)


def storages(tensors: Sequence[Tensor]) -> dict[int, int]:
    """Address -> bytes of what the tensors lie in."""
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}


def one_step(model: PreTrainedModel, checkpointing: bool):
    """Of training, on rows of which all but the first token is a response; one of them is padded."""
    examples = [Example("a", "b" * (LENGTH - (2 if row else 3))) for row in range(BATCH)]
    settings = tiny.settings(
        steps=1, batch_size=BATCH, max_length=LENGTH, gradient_checkpointing=checkpointing, clip=None
    )
    return train(model, tiny.byte_tokenizer(), examples, settings)


def saved_bytes(model: PreTrainedModel, checkpointing: bool) -> int:
    """What autograd keeps in one step, weights and adapter apart."""
    own, saved = storages([*model.parameters(), *model.buffers()]), {}

    def pack(tensor: Tensor) -> Tensor:
        saved.update(storages([tensor]))
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        one_step(model, checkpointing)
    return sum(size for address, size in saved.items() if address not in own)


@pytest.mark.parametrize(
    ("architecture", "precision", "adapter", "attention", "checkpointing"),
    [
        ("llama", "fp32", LORI_S, "eager", False),
        ("llama", "bf16", LORA, "sdpa", False),
        ("llama", "fp32", LORI_D, "sdpa", True),
        ("gemma2", "bf16", LORI_D, "eager", False),
        ("gpt2", "bf16", LORI_S, "eager", False),
        ("gpt_neox", "fp32", LORI_D, "sdpa", False),
        ("bloom", "bf16", LORI_S, "eager", False),
        ("qwen2_moe", "bf16", LORI_S, "eager", False),
        ("mixtral", "fp32", LORI_S, "eager", False),
        ("qwen3_moe", "fp32", LORA, "sdpa", True),
    ],
)
def test_it_is_what_a_real_training_takes(architecture, precision, adapter, attention, checkpointing):
    config = copy.deepcopy(architectures.CONFIGS[architecture])
    asked = config.to_dict()
    memory = estimate(
        config,
        adapter,
        batch_size=BATCH,
        length=LENGTH,
        precision=precision,
        device="cpu",
        attention=attention,
        gradient_checkpointing=checkpointing,
    )
    assert config.to_dict() == asked
    model = AutoModelForCausalLM.from_config(config, dtype=DTYPES[precision], attn_implementation=attention).eval()
    base = tiny.base(model)
    attach(model, tiny.start(base, adapter, masks=halves(base, adapter)))
    weights = sum(storages([*model.parameters(), *model.buffers()]).values())
    optimizer = one_step(model, checkpointing).optimizer_bytes
    assert memory.base + memory.adapter == pytest.approx(weights, rel=0.01)
    assert memory.optimizer == pytest.approx(optimizer, rel=0.03)  # masks keep about a half, not exactly
    if not checkpointing:  # whose hooks are within ours
        saved = saved_bytes(model, checkpointing)
        assert memory.activations == pytest.approx(saved, rel=0.02)
    allocated = allocated_bytes(lambda: one_step(model, checkpointing))
    assert memory.total - memory.base - memory.adapter == pytest.approx(allocated, rel=0.02)


def halves(base, adapter: AdapterConfig) -> dict[str, Tensor] | None:
    return tiny.halves(base, adapter) if adapter.sparsity else None


LARGE = {
    "Llama-3-8B": (
        architectures.LLAMA_3_8B,
        8_030_261_248,
    ),
    "Mistral-7B": (
        architectures.MISTRAL_7B,
        7_241_732_096,
    ),
    "Qwen2.5-7B": (
        Qwen2Config(
            hidden_size=3584,
            intermediate_size=18944,
            num_hidden_layers=28,
            num_attention_heads=28,
            num_key_value_heads=4,
            vocab_size=152064,
        ),
        7_615_616_512,
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_models_have_their_published_parameters_and_none_is_loaded(name):
    config, published = LARGE[name]
    memory = estimate(config, AdapterConfig(sparsity=0, target_modules=("q_proj",)), batch_size=1, length=8)
    heads = config.num_hidden_layers * config.hidden_size
    assert memory.parameters == published
    assert memory.trained == 32 * heads
    assert memory.base == pytest.approx(2 * published, rel=1e-5)
    assert memory.adapter == 2 * 32 * heads + 4 * 32 * heads  # A in bf16, the values in fp32
    assert (memory.gradients, memory.optimizer) == (4 * memory.trained, 8 * memory.trained)


def estimated(**changes: Any) -> Memory:
    settings: dict[str, Any] = {"batch_size": 2, "length": 32} | changes
    return estimate(architectures.CONFIGS["llama"], LORI_S, **settings)


def test_a_larger_batch_takes_proportionally_more_and_the_rest_stays():
    one, two = estimated(batch_size=2), estimated(batch_size=4)
    assert two.activations == pytest.approx(2 * one.activations, rel=0.02)
    assert (two.base, two.adapter, two.optimizer) == (one.base, one.adapter, one.optimizer)


def test_gradient_checkpointing_and_fused_attention_keep_less():
    plain = estimated(attention="eager", length=128)
    assert estimated(attention="sdpa", length=128).activations < plain.activations
    assert estimated(attention="eager", length=128, gradient_checkpointing=True).activations < plain.activations / 2


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_of_a_quantised_base_the_linear_maps_are_packed_and_unpacked_one_at_a_time(quantization):
    whole, packed = estimated(), estimated(quantization=quantization)
    shapes = target_modules(architectures.model("llama")).values()
    assert whole.base - packed.base == sum(
        2 * out * width - packed_bytes((out, width), quantization) for out, width in shapes
    )
    assert packed.working - whole.working == pytest.approx(2 * 48 * 32, abs=0.01 * whole.working)


def test_the_product_in_8_bits_keeps_its_inputs():
    """Those of q, k, v are one, and so are those of gate and up: 4 a layer, of widths 32, 32, 32 and 48."""
    more = estimated(quantization="8bit").activations - estimated(quantization="4bit").activations
    assert 0 < more <= 2 * 2 * 32 * 2 * (32 + 32 + 32 + 48)


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError) as caught:
        estimated(length=4096)
    assert caught.value.key == "too_long_for_base"
    with pytest.raises(ConfigError) as caught:
        estimate(architectures.CONFIGS["llama"], LORI_S.changed(rank=64), batch_size=1, length=8)
    assert caught.value.key == "rank_too_large"
    by_content = copy.deepcopy(architectures.CONFIGS["mixtral"])
    by_content._experts_implementation = "eager"  # goes through the experts that the tokens chose
    with pytest.raises(ModelError) as caught:
        estimate(by_content, LORI_S, batch_size=1, length=8)
    assert caught.value.key == "cannot_estimate"


# --- shared out over processes

ALL = AdapterConfig(sparsity=0)  # of every linear map of a layer, as a calibration trains it


def test_of_a_base_that_is_shared_out_a_process_has_its_rows_and_all_of_the_adapter():
    config = copy.deepcopy(architectures.LLAMA_3_8B)
    config.num_hidden_layers = 2
    given: dict[str, Any] = {"batch_size": 1, "length": 8}
    alone, shared = estimate(config, ALL, **given), estimate(config, ALL, **given, processes=8)
    model = on_meta(config)
    layer = sum(parameter.nbytes for parameter in model.model.layers[0].parameters())
    head = model.get_output_embeddings().weight.nbytes
    weights = sum(parameter.nbytes for parameter in model.parameters())
    assert alone.base - shared.base == weights * 7 // 8  # 8 divides every number of rows
    norm = model.model.norm.weight.nbytes
    assert shared.working - alone.working == head + norm + 4 * max(layer, head)  # embeddings are as large as the head
    for same in ("adapter", "gradients", "optimizer", "activations", "trained", "parameters"):
        assert getattr(shared, same) == getattr(alone, same), same


def on_meta(config: Any) -> Any:
    """The model without contents, in bf16."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("name", "config"), [("Llama-3-8B", architectures.LLAMA_3_8B), ("Llama-3-70B", architectures.LLAMA_3_70B)]
)
def test_the_document_on_scale_has_what_is_counted_without_contents(name, config):
    model = on_meta(config)
    trained = sum(out * ALL.rank for out, _ in target_modules(model).values())
    frozen = sum(width * ALL.rank for _, width in target_modules(model).values())
    adapter = 2 * frozen + (4 + 4 + 8) * trained  # A in bf16; values, gradients and AdamW's moments in fp32
    rows = [f"| {name} | {sum(parameter.numel() for parameter in model.parameters()):,} | {trained:,} |"]
    for processes in (2, 4, 8, 16):
        share, gathered = shared_out(model, processes)
        parts = (share, gathered, adapter, share + gathered + adapter)
        rows.append(f"| {name} | {processes} | " + " | ".join(f"{part / GIB:.1f}" for part in parts) + " |")
    written = (ROOT / "docs/scale.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in written if line.startswith(f"| {name} |")] == rows


def test_a_quantised_base_is_not_planned_for_several_processes():
    with pytest.raises(ModelError) as caught:
        estimated(quantization="4bit", processes=2)
    assert caught.value.key == "sharded_not_whole"


# --- the command


def lori(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["estimate", *map(str, arguments)])


def test_the_command_says_what_is_needed_and_whether_it_fits(tmp_path):
    architectures.CONFIGS["llama"].save_pretrained(tmp_path)  # no weights are there, and none are asked for
    given = ("--base", tmp_path, "--rank", 4, "--batch", 2, "--length", 32)
    plenty, little = lori(*given, "--memory", 24), lori(*given, "--memory", 0.5)
    assert (plenty.exit_code, little.exit_code) == (0, 0)
    assert "Fits: 1.00 GiB are needed, 24.00 GiB" in plenty.stdout
    assert "Does not fit: 1.00 GiB are needed, 0.50 GiB" in little.stdout
    assert f"{estimated(batch_size=2).parameters:,}" in plenty.stdout
    assert "calibration" in plenty.stdout and "calibration" not in lori(*given, "--method", "lora").stdout
    assert "Fits: 1.00 GiB" in lori(*given, "--memory", 24, "--processes", 8).stdout
    assert "収まります" in lori(*given, "--language", "ja").stdout


def test_the_command_plans_for_a_device_that_is_elsewhere_if_told_its_memory(tmp_path):
    architectures.CONFIGS["llama"].save_pretrained(tmp_path)
    given = ("--base", tmp_path, "--rank", 4, "--batch", 2, "--length", 32, "--device", "cuda:99")
    refused = lori(*given)
    assert refused.exit_code == 2 and "--memory" in refused.output and "Traceback" not in refused.output
    assert "Fits" in lori(*given, "--memory", 24, "--quantization", "4bit").stdout
