"""What has to hold on a CUDA GPU as it does on a CPU. Skipped where there is none; run alone with `pytest -m cuda`."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
import tiny
import torch
from architectures import save
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig

from lori_core.bases.attach import applied, attach
from lori_core.bases.layer import LoRILinear
from lori_core.bases.load import Base, load_base
from lori_core.config import AdapterConfig
from lori_core.evaluation.answers import choose, write
from lori_core.method.masks import magnitude_masks
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.tasks.task import Example
from lori_core.training.estimate import estimate
from lori_core.training.learn import learn
from lori_core.training.train import train

DEVICE = "cuda"

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here"),
]


def on_gpu(base: Base) -> Base:
    return replace(base, model=base.model.to(DEVICE))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_layer_and_its_gradients_are_those_of_the_dense_product_on_a_cpu(dtype):
    torch.manual_seed(0)
    base, A, B = nn.Linear(64, 48), torch.randn(4, 64) / 8, torch.randn(48, 4)
    mask, x = torch.rand(48, 4) < 0.5, torch.randn(3, 5, 64)
    layer = LoRILinear(base, A, B * mask, mask, scaling=2.0).to(DEVICE)
    layer.base.to(dtype)
    y = layer(x.to(DEVICE, dtype))
    y.float().square().sum().backward()

    W, b = (t.detach().cpu().float() for t in base.parameters())
    dense = (B * mask).requires_grad_()
    rounded = A.to(dtype).float()
    expected = x.to(dtype).float() @ (W + 2.0 * dense @ rounded).T + b
    expected.square().sum().backward()
    assert dense.grad is not None and layer.values is not None and layer.values.grad is not None
    tolerance = 1e-4 if dtype == torch.float32 else 0.05
    assert (y.float().cpu() - expected).norm() < tolerance * expected.norm()
    assert (layer.values.grad.cpu() - dense.grad[mask]).norm() < tolerance * dense.grad[mask].norm()


def test_masks_of_values_on_a_gpu_are_those_of_the_same_values_on_a_cpu():
    generator = torch.Generator().manual_seed(0)
    B = {module: torch.randn(64, 4, generator=generator).bfloat16() for module in ("q_proj", "up_proj")}  # with ties
    ours, expected = magnitude_masks({m: b.to(DEVICE) for m, b in B.items()}, 0.9), magnitude_masks(B, 0.9)
    assert all(torch.equal(ours[module].cpu(), mask) for module, mask in expected.items())


def test_what_was_learned_on_a_gpu_is_the_same_adapter_on_a_cpu(tmp_path):
    base = on_gpu(tiny.base())
    learned = learn(base, tiny.task(), "lori_s", tiny.CONFIG, tiny.by_method(steps=5))
    assert learned.training.losses[-1] < learned.training.losses[0]
    save_adapter(learned.adapter, tmp_path / "adapter", "fp32")
    adapter = load_adapter(tmp_path / "adapter")
    assert tiny.same_bits(adapter, learned.adapter)
    ids, logits = torch.tensor([[5, 9, 200, 7]]), []
    for device in (DEVICE, "cpu"):
        base.model.to(device)  # pyright: ignore[reportArgumentType]
        with applied(base.model, adapter), torch.no_grad():
            logits.append(base.model(ids.to(device)).logits.cpu())
    torch.testing.assert_close(*logits, rtol=1e-3, atol=1e-3)


def test_answers_and_choices_are_the_same_in_every_batch_and_on_a_cpu():
    choices = (" an oak", " an owl", " a teal", " a stone")
    examples = [Example(f"{n}{'x' * (n % 7)}", " ", choices, 0) for n in range(24)]
    model, tokenizer = tiny.llama(spread=0.5), tiny.byte_tokenizer()
    found = []
    for device, size in (("cpu", 16), (DEVICE, 16), (DEVICE, 1)):
        model.to(device)  # pyright: ignore[reportArgumentType]
        with torch.inference_mode():
            texts, best = {}, {}
            for _, some in write(model, tokenizer, examples, size, 12):
                texts |= some
            for _, some, _ in choose(model, tokenizer, examples, size):
                best |= some
        found.append((texts, best))
    assert len(found[0][0]) == len(examples)
    assert found[0] == found[1] == found[2]


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_a_quantised_base_is_scored_and_then_learns(quantization, tmp_path):
    """Scored first: 4 bits repack their weights at the first scoring, which spoils gradients where it is not CUDA."""
    name = save(tiny.llama(), tmp_path)
    base = load_base(name, device=DEVICE, quantization=quantization)
    assert base.fingerprint == load_base(name, device="cpu", dtype="fp32").fingerprint
    base = replace(base, tokenizer=tiny.byte_tokenizer())
    with torch.inference_mode():
        list(write(base.model, base.tokenizer, tiny.task().examples("test"), 4, 4))
    learned = learn(base, tiny.task(), "lori_d", tiny.CONFIG, tiny.by_method(steps=10))
    assert learned.adapter.record["base"]["quantization"] == quantization
    assert learned.training.losses[-1] < learned.training.losses[0]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_estimate_is_within_a_tenth_of_the_peak(checkpointing):
    rows, tokens = 8, 512
    config = LlamaConfig(
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=8,
        num_attention_heads=16,
        num_key_value_heads=4,
        vocab_size=8192,
        eos_token_id=tiny.END,
    )
    wanted = AdapterConfig(sparsity=0.0)
    memory = estimate(config, wanted, batch_size=rows, length=tokens, gradient_checkpointing=checkpointing)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with torch.device(DEVICE):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    base = Base(model, tiny.byte_tokenizer(), "random", None, "")
    attach(model, tiny.start(base, wanted))
    examples = [Example("a", "b" * (tokens - 2))] * rows
    settings = tiny.settings(steps=3, batch_size=rows, max_length=tokens, gradient_checkpointing=checkpointing)
    train(model, base.tokenizer, examples, settings)
    assert memory.total == pytest.approx(torch.cuda.max_memory_allocated() - before, rel=0.1)
