"""MLX's adapter format, as mlx-lm reads it on Apple machines: `mlx_lm.generate --model BASE --adapter-path FOLDER`.

    adapters.safetensors: "<module>.lora_a" (in_features, rank), "<module>.lora_b" (rank, out_features)
    y = W x + scale · (x lora_a) lora_b,   scale = 1: ours is folded into lora_b

mlx-lm drops a name that it does not know without a word, so what goes out is only what lies in model.layers, where its
names are those of transformers. A layer that lacks a module which others have gets one that changes nothing.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.torch import save
from transformers import PreTrainedConfig

from lori_core.errors import AdapterError
from lori_core.files import folder_atomic, write_atomic
from lori_core.method.adapter import Adapter
from lori_core.results import Score
from lori_core.storage.model_card import model_card, write_beside
from lori_core.storage.peft import plain_factors

_MODULE = re.compile(r"model\.layers\.\d+\.(?P<key>.+)")


def export_mlx(
    adapter: Adapter,
    config: PreTrainedConfig,
    folder: str | Path,
    scores: Sequence[Score] = (),
    beside: Mapping[str, str] | None = None,
) -> None:
    """Writes a new folder that mlx-lm reads, with a model card; A and B keep their dtype.

    Args:
        config: the base's.
        scores: go into the card.
        beside: name -> text of more files in the folder.
    Raises:
        AdapterError: a module lies elsewhere than in model.layers.
        StorageError: the folder exists, or the disk refused.
    """
    tensors, keys = {}, []
    for module, (A, B) in plain_factors(adapter).items():
        if (matched := _MODULE.fullmatch(module)) is None:
            raise AdapterError("mlx_module", adapter=adapter.name, module=module)
        keys.append(matched["key"])
        tensors[f"{module}.lora_a"], tensors[f"{module}.lora_b"] = A.T.contiguous(), B.T.contiguous()
    rank = next(iter(tensors.values())).shape[1]
    settings = {
        "fine_tune_type": "lora",
        "num_layers": config.num_hidden_layers,
        "lora_parameters": {"rank": rank, "scale": 1.0, "dropout": 0.0, "keys": list(dict.fromkeys(keys))},
    }
    with folder_atomic(folder) as temporary:
        write_atomic(temporary / "adapters.safetensors", save(tensors, metadata={"format": "mlx"}))
        write_atomic(temporary / "adapter_config.json", json.dumps(settings, indent=1))
        write_beside(temporary, model_card(adapter, "mlx", scores), beside)
