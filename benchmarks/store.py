"""Storage of an adapter of Llama-3-8B: bytes on disk, times to write and read. One core, real files.

`python -m benchmarks.store`; PEFT's file beside it holds the same update in bf16 (A and a dense B).
"""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks.adapters import base
from benchmarks.record import record
from lori_core.config import AdapterConfig
from lori_core.method.adapter import Adapter, blank
from lori_core.method.masks import random_masks
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.tasks.registry import load_task
from lori_core.training.learn import learn
from lori_core.training.recipes import training_for

RANK, SPARSITY, LAYERS, REPEATS = 32, 0.9, 32, 5
WIDTH, KEY_WIDTH, INNER = 4096, 1024, 14336  # Llama-3-8B
MODULES = {
    "self_attn.q_proj": (WIDTH, WIDTH),
    "self_attn.k_proj": (KEY_WIDTH, WIDTH),
    "self_attn.v_proj": (KEY_WIDTH, WIDTH),
    "self_attn.o_proj": (WIDTH, WIDTH),
    "mlp.gate_proj": (INNER, WIDTH),
    "mlp.up_proj": (INNER, WIDTH),
    "mlp.down_proj": (WIDTH, INNER),
}
SHAPES = {f"model.layers.{layer}.{name}": shape for layer in range(LAYERS) for name, shape in MODULES.items()}


def large(count: int, generator: torch.Generator) -> torch.Tensor:
    """What a threshold leaves: normal numbers beyond the quantile `SPARSITY` of |x|."""
    beyond = (1 - SPARSITY) * torch.rand(count, generator=generator, dtype=torch.float64)
    signs = 2.0 * torch.randint(2, (count,), generator=generator) - 1
    return (signs * torch.special.ndtri(beyond / 2)).float()


def random_adapter(kind: str) -> Adapter:
    """Llama-3-8B's shapes, random masks, values of standard deviation 0.01 before any threshold."""
    shapes = {module: (out_features, RANK) for module, (out_features, _) in SHAPES.items()}
    start = blank("benchmark", SHAPES, AdapterConfig(rank=RANK, sparsity=SPARSITY), random_masks(shapes, SPARSITY, 0))
    generator = torch.Generator().manual_seed(0)
    factors = {}
    for module, each in start.factors.items():
        count = each.values.numel()
        values = large(count, generator) if kind == "threshold" else torch.randn(count, generator=generator)
        factors[module] = replace(each, values=0.01 * values)
    return replace(start, factors=factors)


def trained_adapter(task: str) -> Adapter:
    return learn(base(), load_task(task), "lori_s", AdapterConfig(), training_for("embedded")).adapter


def peft_bytes(adapter: Adapter, path: Path) -> int:
    """The size of PEFT's adapter_model.safetensors for the same factors in bf16."""
    tensors = {}
    for module, factors in adapter.factors.items():
        tensors[f"base_model.model.{module}.lora_A.weight"] = factors.A.bfloat16().clone()
        tensors[f"base_model.model.{module}.lora_B.weight"] = factors.B.bfloat16()
    save_file(tensors, path)
    return path.stat().st_size


def timed(work: Callable[[int], object]) -> dict[str, list[float]]:
    """Wall time, and the processor's time beside it: other work on the machine lengthens the one alone."""
    taken: dict[str, list[float]] = {"seconds": [], "processor_seconds": []}
    for number in range(REPEATS):
        starts = time.perf_counter(), time.process_time()
        work(number)
        taken["seconds"].append(round(time.perf_counter() - starts[0], 3))
        taken["processor_seconds"].append(round(time.process_time() - starts[1], 3))
    return taken


def measured(adapter: Adapter) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        saving = timed(lambda number: save_adapter(adapter, root / str(number)))
        loading = timed(lambda number: load_adapter(root / str(number)))
        files = {path.name: path.stat().st_size for path in (root / "0").iterdir()}
        again = load_adapter(root / "0")
        for module, each in again.factors.items():
            assert torch.equal(each.values, adapter.factors[module].values.bfloat16().float())
            assert torch.equal(each.mask, adapter.factors[module].mask)
            assert torch.equal(each.A, adapter.factors[module].A)
        kept = sum(each.values.numel() for each in adapter.factors.values())
        return {
            "modules": len(adapter.factors),
            "entries": sum(each.mask.numel() for each in adapter.factors.values()),
            "kept": kept,
            "files": files,
            "megabytes": round(sum(files.values()) / 1e6, 3),
            "bits_a_kept_value": round(8 * sum(files.values()) / kept, 2),
            "peft_bf16_megabytes": round(peft_bytes(adapter, root / "peft.safetensors") / 1e6, 3),
            "save": saving,
            "load": loading,
            "median_save_seconds": median(saving["seconds"]),
            "median_load_seconds": median(loading["seconds"]),
        }


def main() -> None:
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    results = {f"llama_3_8b_{kind}": measured(random_adapter(kind)) for kind in ("threshold", "normal")}
    results |= {f"embedded_{task}": measured(trained_adapter(task)) for task in ("nlu", "math", "safety")}
    config = {"rank": RANK, "sparsity": SPARSITY, "repeats": REPEATS, "threads": 1}
    print(record("store", config, results))


if __name__ == "__main__":
    main()
