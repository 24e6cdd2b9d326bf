"""What a footprint and a conditioned A cost: beside a training of the embedded base, and at Llama-3-8B's shapes."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from transformers import LlamaConfig

from benchmarks.adapters import base
from benchmarks.footprint_sets import task_of
from benchmarks.memory import peak_bytes
from benchmarks.speed_parts import LAYER, model_of
from benchmarks.store import large
from lori_core.bases.inputs import in_batches
from lori_core.bases.load import Base, target_modules
from lori_core.config import AdapterConfig
from lori_core.files import folder_size
from lori_core.method.adapter import blank
from lori_core.method.conditioned import Conditions, conditioned
from lori_core.method.footprint import Footprint
from lori_core.method.masks import random_masks
from lori_core.storage.adapter_files import save_adapter
from lori_core.storage.footprint_files import save_footprint
from lori_core.training.footprints import task_footprint, text_footprint
from lori_core.training.learn import learn

LAYERS = 32  # of Llama-3-8B
TOKENS, TEXTS = 256, 4
Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def cost(processes: int) -> dict[str, Any]:
    """Seconds of the pass beside one training, on one core; each three times, by turns, the least of each."""
    task, config, modules = task_of("math"), AdapterConfig(), target_modules(base().model)
    rows = []
    for _ in range(3):
        own, passed = timed(lambda: task_footprint(base(), task))
        _, made = timed(lambda own=own: conditioned(Conditions(own, [own]), modules, config.rank, config.ridge))
        learned = learn(base(), task, "lori_d", config)
        rows.append((passed, made, learned.training.seconds))
    pass_s, conditioning_s, training_s = map(min, zip(*rows, strict=True))
    return {
        "pass_s": pass_s,
        "conditioning_s": conditioning_s,
        "training_s": training_s,
        "pass_of_training": pass_s / training_s,
        "pass_of_lori_s": pass_s / (2 * training_s),  # which trains twice: calibration, then the kept entries
    }


def llama_3_8b(processes: int) -> dict[str, Any]:
    """One layer of random weights in fp32 on one core, 256 directions; bytes are of all layers."""
    settings: dict[str, Any] = LAYER.to_dict() | {"vocab_size": len(base().tokenizer)}
    model = model_of(LlamaConfig(**settings), torch.float32)
    one_layer = Base(model, base().tokenizer, "one layer of Llama-3-8B", None, "")
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(len(base().tokenizer), (TEXTS, TOKENS), generator=generator).tolist()
    written: list[str] = [str(one_layer.tokenizer.decode(each)) for each in tokens]
    texts = {"text": written, "other": written[:1]}

    def forward() -> None:
        with torch.no_grad():
            for batch in in_batches(tokens):
                model(input_ids=batch)

    def footprint(name: str = "text") -> Footprint:
        return text_footprint(one_layer, name, texts[name], max_length=TOKENS)

    footprint()  # warm: R is drawn once
    beyond = peak_bytes(footprint) - peak_bytes(forward)
    own, passed = timed(footprint)
    _, read = timed(forward)
    config = AdapterConfig(projection="conditioned")
    modules = target_modules(model)
    A, made = timed(lambda: conditioned(Conditions(own, [footprint("other")]), modules, config.rank, config.ridge))
    masks = random_masks({m: (rows, config.rank) for m, (rows, _) in modules.items()}, config.sparsity, 0)
    sizes = {}
    with TemporaryDirectory() as folder:
        for label, projections in (("random", None), ("conditioned", A)):
            kind = config if projections else config.changed(projection="kaiming_uniform")
            start = blank("t", modules, kind, masks, projections)
            factors = {m: replace(f, values=0.01 * large(len(f.values), generator)) for m, f in start.factors.items()}
            save_adapter(replace(start, factors=factors), Path(folder) / label)
            sizes[label] = LAYERS * folder_size(Path(folder) / label)
        save_footprint(own, Path(folder) / "footprint")
        footprint_bytes = LAYERS * folder_size(Path(folder) / "footprint")
    return {
        "footprint_bytes": footprint_bytes,
        "adapter_bytes": sizes,
        "adapter_of_random": sizes["conditioned"] / sizes["random"],
        "bytes_beyond_forward": beyond,  # of one layer: sums, R, and a batch of z
        "pass_of_forward": passed / read,
        "conditioning_s": LAYERS * made,
    }
