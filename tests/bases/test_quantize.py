"""Bases in 8 and 4 bits. What needs bitsandbytes is skipped where it is not installed."""

import importlib
import sys
from contextlib import nullcontext
from importlib.util import find_spec

import pytest
import tiny
import torch
from architectures import save
from torch import nn

from lori_core.bases.attach import applied, attach, update_ratio
from lori_core.bases.load import load_base, target_modules
from lori_core.bases.quantize import dense_weight, in_4_bits, packed_bytes, quantization_config, rounded
from lori_core.errors import ModelError
from lori_core.training.learn import fine_tune, learn

needs_bitsandbytes = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")


def test_without_bitsandbytes_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    name = save(tiny.llama(), tmp_path)
    with pytest.raises(ModelError, match="pip install bitsandbytes") as caught:
        load_base(name, device="cpu", quantization="8bit")
    assert caught.value.key == "quantization_missing"


@pytest.mark.parametrize(("quantization", "device"), [("4bit", "cpu"), ("4bit", "mps"), ("8bit", "mps")])
def test_where_results_would_be_wrong_quantisation_is_refused(quantization, device):
    with pytest.raises(ModelError, match="cuda") as caught:
        quantization_config(quantization, device, torch.float32)
    assert caught.value.key == "quantization_device"


def test_a_weight_that_is_not_quantised_is_its_own():
    linear = nn.Linear(3, 2)
    assert torch.equal(dense_weight(linear), linear.weight)


@pytest.mark.parametrize(("quantization", "bits"), [("8bit", 8 + 32 / 4096), ("4bit", 4.127)])
def test_a_weight_takes_the_bits_that_the_papers_say(quantization, bits):
    """LLM.int8(): a scale a row. QLoRA, section 3: 0.127 bits a parameter for the constants, quantised twice."""
    assert 8 * packed_bytes((4096, 4096), quantization) / 4096**2 == pytest.approx(bits, abs=0.001)


@needs_bitsandbytes
@pytest.mark.parametrize("shape", [(96, 64), (512, 640)])
def test_a_packed_weight_has_the_bytes_that_bitsandbytes_makes_of_it(shape):
    packing = importlib.import_module("bitsandbytes.functional")

    packed, scales, _ = packing.int8_vectorwise_quant(torch.randn(shape, dtype=torch.float16))
    assert packed_bytes(shape, "8bit") == packed.nbytes + scales.nbytes
    packed, state = packing.quantize_4bit(torch.randn(shape), quant_type="nf4", compress_statistics=True)
    tensors = [packed, state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code]
    assert packed_bytes(shape, "4bit") == sum(tensor.nbytes for tensor in tensors)


@needs_bitsandbytes
def test_a_base_in_8_bits_learns_as_its_unpacked_weights_do(tmp_path):
    base = load_base(save(tiny.llama(), tmp_path), device="cpu", dtype="fp32", quantization="8bit")
    whole = load_base(str(tmp_path), device="cpu", dtype="fp32")
    adapter = tiny.filled(tiny.start(whole))
    for module in adapter.factors:
        linear = whole.model.get_submodule(module)
        packed = base.model.get_submodule(module)
        assert packed.get_parameter("weight").dtype == torch.int8
        assert (dense_weight(packed) - dense_weight(linear)).abs().max() < 0.01 * dense_weight(linear).abs().max()
        linear.get_parameter("weight").data = dense_weight(packed)
    assert update_ratio(base.model, adapter) == pytest.approx(update_ratio(whole.model, adapter))
    logits, gradients = [], []
    for model in (base.model, whole.model):
        attach(model.train(), adapter)  # scoring rounds activations to 8 bits too, training does not
        logits.append(model(torch.tensor([[5, 9, 200, 7]])).logits)
        logits[-1].square().sum().backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.linalg.norm(ours - theirs) < 1e-4 * torch.linalg.norm(theirs)


@needs_bitsandbytes
@pytest.mark.parametrize("make", [tiny.llama, tiny.gpt2])
def test_a_quantised_base_has_the_fingerprint_of_its_checkpoint(make, tmp_path):
    name = save(make(), tmp_path)
    whole, packed = (load_base(name, device="cpu", dtype="fp32", quantization=q) for q in (None, "8bit"))
    assert packed.fingerprint == whole.fingerprint
    assert whole.record == {key: value for key, value in packed.record.items() if key != "quantization"}


@needs_bitsandbytes
def test_learning_on_a_quantised_base_is_recorded_and_full_fine_tuning_is_refused(tmp_path):
    base = load_base(save(tiny.llama(), tmp_path), device="cpu", dtype="fp32", quantization="8bit")
    learned = learn(base, tiny.task(), "lori_d", tiny.CONFIG, tiny.by_method(steps=3))
    assert learned.adapter.record["base"]["quantization"] == "8bit"
    assert learned.training.losses[-1] < learned.training.losses[0]
    with pytest.raises(ModelError) as caught:
        fine_tune(base, tiny.task(), tiny.settings())
    assert caught.value.key == "quantized_full"


def test_plain_rounding_is_llama_cpp_s_Q4_0():
    quants = pytest.importorskip("gguf.quants")
    kind = importlib.import_module("gguf").GGMLQuantizationType.Q4_0
    W = torch.randn(6, 64, generator=torch.Generator().manual_seed(0))
    expected = quants.dequantize(quants.quantize(W.numpy(), kind), kind)  # whose steps are fp16
    torch.testing.assert_close(in_4_bits(W), torch.from_numpy(expected.copy()), rtol=2e-3, atol=1e-6)
    odd = W[:, :33].contiguous()  # the last block is filled up
    assert in_4_bits(odd).shape == odd.shape and (in_4_bits(odd) - odd).abs().max() <= odd.abs().max() / 8
    assert in_4_bits(torch.zeros(2, 32)).equal(torch.zeros(2, 32))


def test_a_rounded_model_computes_with_rounded_maps_also_under_an_adapter_and_is_whole_again_after():
    base = tiny.base(tiny.llama(spread=1.0))
    whole = {name: weight.clone() for name, weight in base.model.state_dict().items()}
    other = tiny.llama(spread=1.0)
    for module in target_modules(other):
        weight = other.get_submodule(module).get_parameter("weight")
        weight.data = in_4_bits(weight.data)
    adapter = tiny.strong(base, 0)
    for context in (nullcontext, lambda model: applied(model, adapter)):
        with rounded(base.model), context(base.model):
            found = tiny.logits(base.model)
        with context(other):
            torch.testing.assert_close(found, tiny.logits(other))
    assert all(weight.equal(whole[name]) for name, weight in base.model.state_dict().items())


def test_a_rounded_model_is_whole_again_after_an_error_in_the_middle():
    model = tiny.llama(spread=1.0)
    whole = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(RuntimeError), rounded(model):
        model.get_submodule("model.layers.0.self_attn.q_proj")(torch.zeros(1, 3))  # of another width
    assert all(weight.equal(whole[name]) for name, weight in model.state_dict().items())
