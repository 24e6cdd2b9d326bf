"""GGUF, llama.cpp's file format: what its architectures call a module, in which order they want rows, and the file.

    model.layers.0.self_attn.q_proj   ->   blk.0.attn_q.weight   (out_features, in_features)

The names are those of the package gguf, which llama.cpp's own converters use. Llama-family models want the rows of q
and k as pairs that rotate together, (0, d/2, 1, d/2 + 1 ...) of each head, where transformers has both halves one after
the other; so B's rows of these modules move too. Architectures whose order is not known here are refused by name.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import gguf
import torch
from torch import Tensor
from transformers import PreTrainedConfig

from lori_core.errors import ModelError

# config.model_type -> llama.cpp's architecture.
ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gpt2": gguf.MODEL_ARCH.GPT2,
}
_PAIRED = gguf.MODEL_ARCH.LLAMA  # the architecture that wants q and k in pairs
_TYPES = {
    torch.float32: gguf.GGMLQuantizationType.F32,
    torch.float16: gguf.GGMLQuantizationType.F16,
    torch.bfloat16: gguf.GGMLQuantizationType.BF16,
}


def architecture(config: PreTrainedConfig) -> gguf.MODEL_ARCH:
    """llama.cpp's name for what a base is; raises ModelError for one whose order of rows is not known here."""
    if config.model_type not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelError("gguf_architecture", architecture=config.model_type, known=known)
    return ARCHITECTURES[config.model_type]


def gguf_names(config: PreTrainedConfig) -> Callable[[str], str | None]:
    """transformers' name of a parameter -> its name in GGUF; None: llama.cpp has no such tensor."""
    names = gguf.get_tensor_name_map(architecture(config), config.num_hidden_layers)
    return lambda parameter: names.get_name(parameter, try_suffixes=(".weight", ".bias"))


def in_gguf_order(config: PreTrainedConfig, name: str, rows: Tensor) -> Tensor:
    """A weight, its bias, or an adapter's B, whose rows are out_features, as llama.cpp wants them.

    Args:
        name: the tensor's in GGUF.
        rows: (out_features, ...).
    """
    if architecture(config) is not _PAIRED or not any(part in name for part in (".attn_q.", ".attn_k.")):
        return rows
    heads = config.num_attention_heads
    if ".attn_k." in name:
        heads = getattr(config, "num_key_value_heads", None) or heads
    return rows.unflatten(0, (heads, 2, -1)).transpose(1, 2).reshape(rows.shape)


def write_gguf(
    path: Path, arch: gguf.MODEL_ARCH, describe: Callable[[gguf.GGUFWriter], object], tensors: Mapping[str, Tensor]
) -> None:
    """A new file; tensors are written one by one, in fp32, fp16 or bf16 as they are.

    Args:
        describe: adds the keys.
    """
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    describe(writer)
    for name, tensor in tensors.items():
        data = _bytes(tensor)
        writer.add_tensor_info(name, data.shape, data.numpy().dtype, data.nbytes, _TYPES[tensor.dtype])
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors.values():
            writer.write_tensor_data(_bytes(tensor).numpy())
    finally:
        writer.close()


def _bytes(tensor: Tensor) -> Tensor:
    """(..., bytes of a row) uint8 on the CPU: numpy has no bf16."""
    return tensor.detach().cpu().contiguous().view(torch.uint8)
