"""Cost against size: model 10 M to 8 B parameters, 2 to 64 tasks, 1 M to 430 M entries of B. One core, real files.

`python -m benchmarks.scale [model | tasks | entries]` writes results/scale.json; parts that are not named keep theirs.

A model's memory is estimate.py's, whose figures benchmarks/gpu.py holds against a GPU; nothing of that size is built.
Tasks are of the model of benchmarks/speed.py (1.7 M entries of B). The largest B is that of 70 B parameters at rank 64.
"""

import os
import sys
import tempfile
import time
from dataclasses import asdict, replace
from typing import Any

import torch
from transformers import LlamaConfig

from benchmarks.memory import peak_bytes
from benchmarks.record import RESULTS, commit, record, results_of
from benchmarks.speed_parts import CONFIG, RANK, SPARSITY, filled, model_of, timed
from lori_core.config import AdapterConfig
from lori_core.method.adapter import Adapter
from lori_core.method.masks import magnitude_masks, overlap_counts, pack, packed_overlap
from lori_core.method.merge import merge
from lori_core.storage.store import AdapterStore
from lori_core.training.estimate import estimate

REPEATS = 3
TASKS = (2, 4, 8, 16, 32, 64)
ENTRIES = (1e6, 10e6, 44e6, 88e6, 430e6)
# hidden, intermediate, layers, heads, key heads, vocabulary
MODELS = {
    "10 M": (256, 768, 8, 8, 8, 8192),
    "100 M": (768, 2048, 8, 12, 3, 32768),
    "1 B": (2048, 8192, 16, 32, 8, 128256),
    "8 B": (4096, 14336, 32, 32, 8, 128256),
}
METHODS = {
    "lora": AdapterConfig(rank=RANK, sparsity=0, train_projection=True),
    "lori_d": AdapterConfig(rank=RANK, sparsity=0),
    "lori_s": AdapterConfig(rank=RANK, sparsity=SPARSITY),
}


def models() -> dict[str, Any]:
    """Bytes of one training stage of 4 rows of 2048 tokens, bf16 base, on a GPU, without and with checkpointing."""
    found: dict[str, Any] = {}
    for size, (hidden, inner, layers, heads, key_heads, vocabulary) in MODELS.items():
        config = LlamaConfig(
            hidden_size=hidden,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=key_heads,
            vocab_size=vocabulary,
            max_position_embeddings=2048,
        )
        for checkpointing in (False, True):
            for method, adapter in METHODS.items():
                memory = estimate(config, adapter, batch_size=4, length=2048, gradient_checkpointing=checkpointing)
                name = f"{method}, checkpointing" if checkpointing else method
                found.setdefault(size, {})[name] = asdict(memory) | {"total": memory.total}
    return found


def tasks() -> dict[str, Any]:
    model = model_of(CONFIG, torch.bfloat16)
    adapters: list[Adapter] = []
    found = {}
    for count in TASKS:
        adapters += [replace(filled(model, seed), name=f"task{seed}") for seed in range(len(adapters), count)]
        masks = [adapter.masks for adapter in adapters]
        packed = [pack(each) for each in masks]
        weights = [1 / count] * count
        row = {
            "merge_seconds": timed(lambda: merge(adapters, "concat", weights, "merged"), REPEATS)[1],  # noqa: B023
            "overlap_seconds": timed(lambda: overlap_counts(masks), REPEATS)[1],  # noqa: B023
            "packed_overlap_seconds": timed(lambda: packed_overlap(packed), REPEATS)[1],  # noqa: B023
        }
        found[str(count)] = row | _stored(adapters)
    return found


def _stored(adapters: list[Adapter]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        store = AdapterStore(folder)
        start = time.perf_counter()
        for adapter in adapters:
            store.save(adapter)
        saving = (time.perf_counter() - start) / len(adapters)
        _, listing = timed(store.versions, REPEATS)
        _, loading = timed(lambda: store.load(f"{adapters[-1].name}@1"), REPEATS)
    return {"save_seconds_each": saving, "list_seconds": listing, "load_seconds_each": loading}


def entries() -> dict[str, Any]:
    """B in modules of 14336 x 64, as the largest of 70 B parameters are."""
    found = {}
    shape = (14336, 64)
    for size in ENTRIES:
        count = max(1, round(size / (shape[0] * shape[1])))
        generator = torch.Generator().manual_seed(0)
        B = {f"model.layers.{n}.mlp.up_proj": torch.randn(shape, generator=generator) for n in range(count)}
        total = count * shape[0] * shape[1]
        _, seconds = timed(lambda: magnitude_masks(B, SPARSITY), REPEATS)  # noqa: B023
        extra = peak_bytes(lambda: magnitude_masks(B, SPARSITY)) - total  # noqa: B023
        found[str(total)] = {"seconds": seconds, "extra_bytes": extra, "mask_bytes": total}
    return found


PARTS = {"model": models, "tasks": tasks, "entries": entries}


def main() -> None:
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    results = results_of(RESULTS / "scale.json")
    for name in sys.argv[1:] or PARTS:
        results[name] = {"commit": commit(), "found": PARTS[name]()}
        settings = {"rank": RANK, "sparsity": SPARSITY, "repeats": REPEATS, "threads": 1}
        print(record("scale", settings, {part: results[part] for part in PARTS if part in results}))


if __name__ == "__main__":
    main()
