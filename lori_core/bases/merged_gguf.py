"""Merged base as GGUF: what llama.cpp, Ollama and LM Studio open, with the adapter in its weights.

Llama-family models only; others go out as `--to base`, and llama.cpp's own converter reads that folder.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import gguf
import torch
from torch import Tensor
from transformers import PreTrainedConfig

from lori_core.bases.gguf_tokenizer import describe_tokenizer
from lori_core.bases.load import Base
from lori_core.bases.merged_base import export_merged
from lori_core.errors import ModelError
from lori_core.method.adapter import Adapter
from lori_core.results import Score
from lori_core.storage.gguf_files import architecture, gguf_names, in_gguf_order, write_gguf
from lori_core.storage.model_card import Drift

MODEL_FILE = "model.gguf"
_FAMILY = (gguf.MODEL_ARCH.LLAMA, gguf.MODEL_ARCH.QWEN2, gguf.MODEL_ARCH.QWEN3)
_FILE_TYPES = {
    torch.float32: gguf.LlamaFileType.ALL_F32,
    torch.float16: gguf.LlamaFileType.MOSTLY_F16,
    torch.bfloat16: gguf.LlamaFileType.MOSTLY_BF16,
}


def export_merged_gguf(
    base: Base,
    adapter: Adapter,
    folder: str | Path,
    prompts: Sequence[str],
    scores: Sequence[Score] = (),
    beside: Mapping[str, str] | None = None,
) -> Drift:
    """Writes a new folder with model.gguf and a model card; arguments and errors are those of export_merged_base.

    Raises:
        ModelError: also where it is no Llama-family model, or its tokenizer has no name in llama.cpp.
    """
    config = base.model.config
    rope = dict(getattr(config, "rope_parameters", None) or {})
    if architecture(config) not in _FAMILY or rope.get("rope_type") != "default":
        found = f"{config.model_type}, rope_type = {rope.get('rope_type')!r}"
        raise ModelError("gguf_base", base=base.name, found=found)

    def save(path: Path) -> None:
        write_base_gguf(base, path / MODEL_FILE)

    return export_merged(base, adapter, folder, prompts, scores, beside, save, "gguf")


def write_base_gguf(base: Base, path: Path) -> None:
    """The base as it is now, in its own precision; norms and biases in fp32, as llama.cpp wants them."""
    config = base.model.config

    def describe(writer: gguf.GGUFWriter) -> None:
        writer.add_type(gguf.GGUFType.MODEL)
        writer.add_name(Path(base.name).name)
        writer.add_file_type(_FILE_TYPES[base.model.dtype])
        _describe_shape(writer, config)
        describe_tokenizer(writer, base.tokenizer, config.vocab_size)

    write_gguf(path, architecture(config), describe, _tensors(base))


def _describe_shape(writer: gguf.GGUFWriter, config: PreTrainedConfig) -> None:
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])


def _tensors(base: Base) -> dict[str, Tensor]:
    """Name in GGUF -> tensor; a head that is tied to the embeddings is not there twice."""
    config, found = base.model.config, {}
    name_of = gguf_names(config)
    for parameter, tensor in base.model.named_parameters():
        if (name := name_of(parameter)) is None:
            raise ModelError("gguf_base", base=base.name, found=parameter)
        ordered = in_gguf_order(config, name, tensor)
        found[name] = ordered if ordered.ndim > 1 else ordered.float()
    return found
