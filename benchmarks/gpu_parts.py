"""Parts of benchmarks/gpu.py, each measured on the same base.

steps      floor (frozen base forward and backward), PEFT LoRA, LoRI-D, LoRI-S, interleaved; memory beside the estimate
training   the product's own loop: tokens a second, memory beside the estimate
threshold  masks of all entries of B (44 M in Llama-3-8B), beside torch.topk
merge      four adapters into one, and that one into the base's weights
files      save, load, PEFT's format
scoring    texts in batches and one by one; choices
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.subjects import FLOOR, Subject, floor, lori, peft_lora, put_in, random_start, side_by_side
from lori_core.assets import ASSETS
from lori_core.bases.attach import applied
from lori_core.bases.merged_base import merged_into
from lori_core.config import AdapterConfig, TrainConfig
from lori_core.evaluation.answers import choose, write
from lori_core.files import folder_size
from lori_core.method.adapter import Adapter
from lori_core.method.masks import magnitude_masks
from lori_core.method.merge import merge
from lori_core.results import Memory
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.storage.peft import export_peft
from lori_core.tasks.task import Example
from lori_core.training.estimate import RESERVE, device_memory, estimate
from lori_core.training.hooks import Hooks
from lori_core.training.train import recompute_activations, train

SPARSITY = 0.9


@dataclass(frozen=True)
class Size:
    """cases: (rows, tokens, gradient checkpointing) of a step. prompts: how many are answered, new tokens each."""

    config: LlamaConfig
    rank: int
    cases: tuple[tuple[int, int, bool], ...]
    prompts: int
    new_tokens: int


@dataclass(frozen=True)
class Bench:
    """What the parts work on. subjects: name -> subject."""

    size: Size
    device: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    subjects: dict[str, Subject]


def prepared(size: Size, device: str) -> Bench:
    torch.manual_seed(0)
    with torch.device(device):  # drawn where it stays: 8 billion numbers take minutes on a CPU
        model = AutoModelForCausalLM.from_config(size.config, dtype=torch.bfloat16, attn_implementation="sdpa")
    model.requires_grad_(False).train()
    dense = AdapterConfig(rank=size.rank, sparsity=0)
    subjects = [
        floor(),
        peft_lora(model, "peft", dense),
        lori(model, "lori_d", dense),
        lori(model, "lori_s", dense.changed(sparsity=SPARSITY)),
    ]
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "base")
    return Bench(size, device, model, tokenizer, {subject.name: subject for subject in subjects})


# --- parts


def steps(bench: Bench, rows: int, tokens: int, checkpointing: bool) -> dict[str, Any]:
    ids = torch.randint(bench.size.config.vocab_size, (rows, tokens), device=bench.device)
    with checkpointing_on(bench.model, checkpointing):
        found = side_by_side(bench.model, list(bench.subjects.values()), ids)
    floor_taken = found[FLOOR]
    for name, taken in found.items():
        if taken["fits"] and floor_taken["fits"]:
            taken["times_floor"] = taken["seconds"] / floor_taken["seconds"]
        if name in ("lori_d", "lori_s"):
            memory = _estimate(bench, name, rows, tokens, checkpointing)
            taken |= _beside(bench, memory, taken.get("own_bytes"), taken.get("step_bytes"))
        if "step_bytes" in taken and "step_bytes" in floor_taken:
            taken["bytes_beyond_floor"] = taken["own_bytes"] + taken["step_bytes"] - floor_taken["step_bytes"]
    return found


@contextmanager
def checkpointing_on(model: PreTrainedModel, wanted: bool) -> Iterator[None]:
    if wanted:
        recompute_activations(model, "enable")
    try:
        yield
    finally:
        if wanted:
            recompute_activations(model, "disable")


def _estimate(bench: Bench, name: str, rows: int, tokens: int, checkpointing: bool) -> Memory:
    config = AdapterConfig(rank=bench.size.rank, sparsity=0 if name == "lori_d" else SPARSITY)
    return estimate(
        bench.size.config,
        config,
        batch_size=rows,
        length=tokens,
        device=bench.device,
        attention="sdpa",
        gradient_checkpointing=checkpointing,
    )


def _beside(bench: Bench, memory: Memory, own: int | None, during: int | None) -> dict[str, Any]:
    """The estimate, its verdict for this device, and on a GPU what was taken in its share."""
    said: dict[str, Any] = {"estimate": asdict(memory) | {"total": memory.total}}
    said["estimate_fits"] = memory.total + RESERVE <= device_memory(bench.device)
    if own is None or during is None:
        return said
    base = sum(tensor.nbytes for tensor in (*bench.model.parameters(), *bench.model.buffers()))
    total = base + own + during
    return said | {"total_bytes": total, "estimate_in_measured": memory.total / total}


def training(bench: Bench) -> dict[str, Any]:
    rows, tokens, checkpointing = bench.size.cases[0]
    owls = (tokens - 8) // len(bench.tokenizer(" owl", add_special_tokens=False)["input_ids"])
    settings = TrainConfig(
        learning_rate=1e-4, steps=6, batch_size=rows, max_length=tokens, gradient_checkpointing=checkpointing
    )
    subject, events = bench.subjects["lori_s"], []
    on_gpu = bench.device == "cuda"
    with put_in(bench.model, subject):
        before = torch.cuda.memory_allocated() if on_gpu else 0
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        examples = [Example("an", " owl" * owls)] * rows
        train(bench.model, bench.tokenizer, examples, settings, hooks=Hooks(events.append))
        during = torch.cuda.max_memory_allocated() - before if on_gpu else None
    own = sum(t.nbytes for layer in subject.layers.values() for t in (*layer.parameters(False), *layer.buffers(False)))
    memory = _estimate(bench, "lori_s", rows, tokens, checkpointing)
    return {"tokens_per_second": events[-1]["tokens_per_second"], **_beside(bench, memory, own, during)}


def threshold(bench: Bench) -> dict[str, Any]:
    generator = torch.Generator(bench.device).manual_seed(0)
    attached = bench.subjects["lori_d"].attached
    assert attached is not None
    B = {m: torch.randn(layer.shape, generator=generator, device=bench.device) for m, layer in attached.layers.items()}
    entries = sum(each.numel() for each in B.values())
    ours, masks = _timed(bench, lambda: magnitude_masks(B, SPARSITY))
    kept = sum(int(mask.sum()) for mask in masks.values())
    flat = torch.cat([each.reshape(-1).abs() for each in B.values()])
    topk, _ = _timed(bench, lambda: torch.topk(flat, kept))
    return {"entries": entries, "kept": kept, "seconds": ours, "topk_seconds": topk}


def merging(bench: Bench) -> dict[str, Any]:
    parts = [_filled(bench, number) for number in range(4)]
    merged_seconds, merged = _timed(bench, lambda: merge(parts, "concat", [0.4] * 4, "merged"))

    def into_weights() -> None:
        with merged_into(bench.model, merged):
            pass

    into, _ = _timed(bench, into_weights)
    return {"adapters": len(parts), "seconds": merged_seconds, "into_weights_seconds": into}


def files(bench: Bench) -> dict[str, Any]:
    adapter = _filled(bench, 0)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "lori", Path(folder) / "peft"
        saving, _ = _timed(bench, lambda: save_adapter(adapter, ours))
        loading, _ = _timed(bench, lambda: load_adapter(ours))
        exporting, _ = _timed(bench, lambda: export_peft(adapter, theirs))
        sizes = {path.name: folder_size(path) for path in (ours, theirs)}
    return {"save_seconds": saving, "load_seconds": loading, "export_seconds": exporting, "bytes": sizes}


def scoring(bench: Bench) -> dict[str, Any]:
    """With LoRI-S beside the base, as an adapter is scored."""
    choices = (" an oak", " an owl in a tree", " a stone", " the sea at night")
    examples = [Example(f"{n} " + " owl" * (32 + n % 32), choices[0], choices, 0) for n in range(bench.size.prompts)]
    few, new = examples[:4], bench.size.new_tokens
    model, tokenizer = bench.model.eval(), bench.tokenizer
    with applied(model, _filled(bench, 0)), torch.inference_mode():
        list(write(model, tokenizer, few, 4, new))  # warm
        texts, _ = _timed(bench, lambda: list(write(model, tokenizer, examples, 32, new)))
        single, _ = _timed(bench, lambda: list(write(model, tokenizer, few, 1, new)))
        rated, _ = _timed(bench, lambda: list(choose(model, tokenizer, examples, 32)))
    model.train()
    each, alone = texts / len(examples), single / len(few)
    return {
        "new_tokens": new,
        "seconds_a_text": each,
        "seconds_a_text_one_by_one": alone,
        "times": alone / each,
        "seconds_a_question_of_4_choices": rated / len(examples),
    }


def _filled(bench: Bench, seed: int) -> Adapter:
    """A LoRI-S adapter of the base with random values."""
    config = AdapterConfig(rank=bench.size.rank, sparsity=SPARSITY, projection_seed=seed)
    start, generator = random_start(bench.model, f"task {seed}", config), torch.Generator().manual_seed(seed)
    factors = {
        module: replace(each, values=0.01 * torch.randn(each.values.shape, generator=generator))
        for module, each in start.factors.items()
    }
    return replace(start, factors=factors)


def _timed(bench: Bench, work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    done = work()
    if bench.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, done


Part = Callable[[Bench], dict[str, Any]]
PARTS: dict[str, Part] = {
    "training": training,
    "threshold": threshold,
    "merge": merging,
    "files": files,
    "scoring": scoring,
}


def parts_of(size: Size) -> dict[str, Part]:
    """The steps of each case, and the other parts."""
    cases: dict[str, Part] = {}
    for rows, tokens, checkpointing in size.cases:
        name = f"steps {rows} x {tokens}{', checkpointing' if checkpointing else ''}"
        cases[name] = partial(steps, rows=rows, tokens=tokens, checkpointing=checkpointing)
    return cases | PARTS
