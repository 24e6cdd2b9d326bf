"""Quantisation in 4 and 8 bits a weight, through bitsandbytes: what can be asked for, and the weights behind it."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BitsAndBytesConfig, PreTrainedModel

from lori_core.bases.sharded import gathered
from lori_core.bases.targets import linear_shapes
from lori_core.config import Quantization
from lori_core.errors import ModelError

# Measured with bitsandbytes 0.50 on a CPU. 8 bit: training follows the unpacked weights to 2e-6, logits and gradients.
# 4 bit: the first scoring repacks the weights, and gradients after that are wrong (relative error 1.0), without a word.
WORKS_ON: dict[Quantization, tuple[str, ...]] = {"4bit": ("cuda",), "8bit": ("cuda", "cpu")}


def quantization_config(quantization: Quantization, device: str, dtype: torch.dtype) -> BitsAndBytesConfig:
    """How transformers quantises; 4 bit is NF4 with double quantisation, computing in dtype (QLoRA, arXiv 2305.14314).

    Raises:
        ModelError: bitsandbytes is not installed, or gives wrong results on this device.
    """
    kind = torch.device(device).type
    if kind not in WORKS_ON[quantization]:
        works_on = ", ".join(WORKS_ON[quantization])
        raise ModelError("quantization_device", quantization=quantization, device=device, works_on=works_on)
    if find_spec("bitsandbytes") is None:
        raise ModelError("quantization_missing", quantization=quantization)
    # It says at every single product that the input is rounded to 16 bits.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def packed_bytes(shape: tuple[int, int], quantization: Quantization) -> int:
    """Bytes of a quantised weight (out_features, in_features) with its scales.

    8 bit: a byte an entry, a fp32 scale a row. 4 bit: half a byte an entry, a byte a block of 64 for its scale, a fp32
    number a block of 256 such scales, and two tables.
    """
    out_features, in_features = shape
    entries = out_features * in_features
    if quantization == "8bit":
        return entries + 4 * out_features
    blocks = math.ceil(entries / 64)
    return math.ceil(entries / 2) + blocks + 4 * math.ceil(blocks / 256) + 4 * (16 + 256 + 1)


def dense_weight(module: nn.Module) -> Tensor:
    """The weight as numbers, in the module's own shape; a quantised one is unpacked, a sharded one gathered."""
    weight = module.get_parameter("weight")
    if weight.dtype.is_floating_point:
        return gathered(weight.detach())
    # Imported here: it imports bitsandbytes, which is not a requirement.
    from transformers.integrations.bitsandbytes import dequantize_bnb_weight

    return dequantize_bnb_weight(weight, getattr(module, "state", None)).detach()


@contextmanager
def rounded(model: PreTrainedModel) -> Iterator[None]:
    """Within it the linear maps compute with weights that are plainly rounded to 4 bits, as a server may have them: all
    but the output head. Each is rounded while it is used, so that no second copy of the model is kept."""
    whole: dict[nn.Module, Tensor] = {}

    def before(module: nn.Module, _: object) -> None:
        weight = module.get_parameter("weight")
        whole[module], weight.data = weight.data, in_4_bits(weight.data)

    def after(module: nn.Module, *_: object) -> None:
        module.get_parameter("weight").data = whole.pop(module)

    modules = [model.get_submodule(name) for name in linear_shapes(model)]
    hooks = [module.register_forward_pre_hook(before) for module in modules]
    hooks += [module.register_forward_hook(after, always_call=True) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def in_4_bits(W: Tensor) -> Tensor:
    """W with each 32 entries in a row at 16 evenly spaced values, 8 steps to the largest in size, as llama.cpp's Q4_0.

    A base that is stored in such blocks but with the least entry beside (Q4_1) is moved by it like any other.
    """
    blocks = F.pad(W.flatten().float(), (0, -W.numel() % 32)).view(-1, 32)
    step = blocks.gather(1, blocks.abs().argmax(1, keepdim=True)) / -8
    found = step * (blocks / torch.where(step == 0, 1.0, step)).round().clamp(-8, 7)
    return found.flatten()[: W.numel()].view(W.shape).to(W.dtype)
