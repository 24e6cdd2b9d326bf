"""GGUF files of tiny Llamas with the byte tokenizer, as llama.cpp's converter lays them out."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf.constants import GGMLQuantizationType, LlamaFileType
from gguf.quants import dequantize, quantize
from tiny import END, byte_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

TEMPLATE = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}<end>{% endfor %}"
NAMES = {  # of llama.cpp -> of transformers, within a layer
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def llama(seed: int = 0) -> PreTrainedModel:
    """Two layers whose widths are whole blocks of 32, and norms that are not all 1."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}
    ids: dict[str, Any] = {"vocab_size": 258, "bos_token_id": None, "eos_token_id": END, "pad_token_id": END}
    model = LlamaForCausalLM(LlamaConfig(**sizes, **heads, **ids, initializer_range=0.2, tie_word_embeddings=True))
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data = (1 + 0.1 * torch.randn(parameter.shape)).bfloat16().float()
    return model.eval().requires_grad_(False)


def write(model: PreTrainedModel, file: Path, kind: str = "Q4_1", **more: int) -> Path:
    """kind: how matrices are stored, F32, F16, Q8_0, Q4_1 ...; more: further numbers of the header."""
    config: Any = model.config
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(LlamaFileType["ALL_F32" if kind == "F32" else f"MOSTLY_{kind}"])
    for name, number in more.items():
        writer.add_uint32(name.replace("_", "."), number)
    _add_tokenizer(writer)
    for name, weight in stored(model, kind).items():
        writer.add_tensor(name, weight, raw_dtype=None if weight.ndim == 1 else GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def rounded(model: PreTrainedModel, kind: str) -> dict[str, torch.Tensor]:
    """The model's weights after they went through blocks of that kind, which a file of it has to give back."""
    type_ = GGMLQuantizationType[kind]
    return {
        name: weight if weight.dim() == 1 else torch.from_numpy(dequantize(quantize(weight.numpy(), type_), type_))
        for name, weight in model.state_dict().items()
    }


def stored(model: PreTrainedModel, kind: str) -> dict[str, np.ndarray]:
    """llama.cpp's name -> what lies in the file."""
    weights, config = model.state_dict(), model.config
    named = {
        "token_embd.weight": weights["model.embed_tokens.weight"],
        "output_norm.weight": weights["model.norm.weight"],
    }
    for layer in range(config.num_hidden_layers):
        for theirs, ours in NAMES.items():
            weight = weights[f"model.layers.{layer}.{ours}.weight"]
            heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(theirs)
            named[f"blk.{layer}.{theirs}.weight"] = weight if heads is None else _interleaved(weight, heads)
    type_ = GGMLQuantizationType[kind]
    return {n: w.numpy() if w.dim() == 1 else quantize(w.contiguous().numpy(), type_) for n, w in named.items()}


def _interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of q and k in llama.cpp's order: the two halves that a rotation turns lie beside each other."""
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


def _add_tokenizer(writer: Any) -> None:
    vocabulary = byte_tokenizer().get_vocab()
    tokens = [*sorted(vocabulary, key=vocabulary.__getitem__), "þÿ"]  # two bytes that no text has
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_merges(["þ ÿ"])
    writer.add_token_types([3 if token == "<end>" else 1 for token in tokens])
    writer.add_eos_token_id(END)
    writer.add_chat_template(TEMPLATE)
