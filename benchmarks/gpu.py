"""Llama-3-8B's shapes with random weights on one GPU, in under 10 minutes and without a download.

python -m benchmarks.gpu [--tiny] [--out FOLDER]       README.md says what a bare machine needs

The result is written after each part of gpu_parts.py; one that fails says why and the others go on.
"""

import argparse
import gc
import json
import time
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig

from benchmarks.gpu_parts import SPARSITY, Bench, Part, Size, parts_of, prepared
from benchmarks.record import RESULTS, record
from lori_core.training.estimate import device_memory

BUDGET = 500  # seconds after which no further part is begun
LARGE = Size(
    LlamaConfig(
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        vocab_size=128256,
        max_position_embeddings=8192,
    ),
    rank=32,
    cases=((4, 2048, True), (4, 2048, False), (1, 2048, False)),
    prompts=64,
    new_tokens=64,
)
TINY = Size(
    LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=8192,
        max_position_embeddings=256,
    ),
    rank=4,
    cases=((2, 32, True), (2, 32, False)),
    prompts=8,
    new_tokens=4,
)


def measure(size: Size, device: str, out: Path) -> Path:
    """All parts, written after each; returns the file."""
    start = time.perf_counter()
    bench = prepared(size, device)
    shapes = {"config": size.config.to_diff_dict(), "rank": size.rank, "sparsity": SPARSITY, "device": device}
    results: dict[str, dict[str, Any]] = {
        "base": {
            "parameters": bench.model.num_parameters(),
            "bytes": sum(tensor.nbytes for tensor in bench.model.parameters()),
            "device_bytes": device_memory(device),
            "prepared_seconds": time.perf_counter() - start,
        }
    }
    path = record("gpu", shapes, results, out)
    for name, part in parts_of(size).items():
        began = time.perf_counter()
        results[name] = _guarded(part, bench) if began - start < BUDGET else {"skipped": f"{BUDGET} s are over"}
        results[name]["part_seconds"] = time.perf_counter() - began
        path = record("gpu", shapes, results, out)
        print(json.dumps({name: results[name]}), flush=True)
    return path


def _guarded(part: Part, bench: Bench) -> dict[str, Any]:
    try:
        return part(bench)
    except Exception as error:  # whatever it is, it must not lose the other parts
        return {"error": f"{type(error).__name__}: {error}"[:1000]}
    finally:
        gc.collect()
        if bench.device == "cuda":
            torch.cuda.empty_cache()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a model of two layers, to see that everything runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of gpu.json")
    given = parser.parse_args()
    if not given.tiny and not torch.cuda.is_available():
        parser.error("there is no CUDA GPU here; --tiny runs everywhere")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(measure(TINY if given.tiny else LARGE, device, given.out))


if __name__ == "__main__":
    main()
