"""LoRA GGUF: an adapter as llama.cpp reads it, `llama-server --model BASE.gguf --lora adapter.gguf`.

    general.type = adapter, adapter.type = lora, adapter.lora.alpha = rank
    "blk.0.attn_q.weight.lora_a" (rank, in_features), "....lora_b" (out_features, rank) fp32;  dW = alpha / rank · B A

As in PEFT's format there is one rank, and the scaling is folded into B. GPT-2's Conv1D needs nothing of its own: its
weight is transposed, the adapter's factors are not, here and in llama.cpp.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import gguf
from torch import Tensor
from transformers import PreTrainedConfig

from lori_core.errors import AdapterError
from lori_core.files import folder_atomic
from lori_core.method.adapter import Adapter
from lori_core.results import Score
from lori_core.storage.gguf_files import architecture, gguf_names, in_gguf_order, write_gguf
from lori_core.storage.model_card import model_card, write_beside
from lori_core.storage.peft import plain_factors

LORA_FILE = "adapter.gguf"


def export_gguf_lora(
    adapter: Adapter,
    config: PreTrainedConfig,
    folder: str | Path,
    scores: Sequence[Score] = (),
    beside: Mapping[str, str] | None = None,
) -> None:
    """Writes a new folder with adapter.gguf and a model card.

    Args:
        config: the base's.
        scores: go into the card.
        beside: name -> text of more files in the folder.
    Raises:
        ModelError: llama.cpp's order of this architecture's rows is not known here.
        AdapterError: a module is no linear map of it in llama.cpp, or is the output head or the embeddings.
        StorageError: the folder exists, or the disk refused.
    """
    tensors = _tensors(adapter, config)
    rank = next(iter(tensors.values())).shape[0]

    def describe(writer: gguf.GGUFWriter) -> None:
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_name(adapter.name)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, rank)

    with folder_atomic(folder) as temporary:
        write_gguf(temporary / LORA_FILE, architecture(config), describe, tensors)
        write_beside(temporary, model_card(adapter, "llama.cpp", scores), beside)


def _tensors(adapter: Adapter, config: PreTrainedConfig) -> dict[str, Tensor]:
    """Name in GGUF -> A (rank, in_features) or B (out_features, rank), fp32."""
    name_of, tensors = gguf_names(config), {}
    for module, (A, B) in plain_factors(adapter).items():
        name = name_of(f"{module}.weight")
        # The head is often tied to the embeddings, which llama.cpp then has once: an update of one would be of both.
        if name is None or not name.startswith("blk."):
            raise AdapterError("gguf_module", adapter=adapter.name, module=module, architecture=config.model_type)
        tensors[f"{name}.lora_a"] = A.float()
        tensors[f"{name}.lora_b"] = in_gguf_order(config, name, B.float())
    return tensors
