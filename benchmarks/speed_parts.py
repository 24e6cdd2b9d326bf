"""Parts of benchmarks/speed.py. Subjects of one part share a base and are interleaved.

steps       seconds of a step beside the floor and PEFT's default; checkpointing, rank 64, bf16
embedded    the product's own training on the embedded base, beside the same loop with one norm trained
compiled    the same with the decoder layer compiled, beside the compiled floor; one layer
counts      bytes that autograd keeps beyond the floor, kernels a decoder layer, bytes of moments: counted, not timed
optimizer   seconds of AdamW's step alone
threshold   masks of the 44 M entries of B in Llama-3-8B beside torch.topk, with the memory taken
overlap     8 masks of as many entries, beside bool tensors
merge       4 adapters into the weights of one of Llama-3-8B's layers, beside PEFT
files       bytes of an adapter of Llama-3-8B beside PEFT's in bf16
start       `lori --help`
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path
from statistics import median
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from benchmarks.counts import kept_bytes, kernels, moment_bytes
from benchmarks.gpu_parts import checkpointing_on
from benchmarks.memory import peak_bytes
from benchmarks.store import SHAPES, peft_bytes, random_adapter
from benchmarks.subjects import (
    FLOOR,
    REPEATS,
    WARM,
    Subject,
    floor,
    lori,
    official,
    peft_lora,
    random_start,
    side_by_side,
)
from lori_core.bases.attach import attach
from lori_core.bases.load import load_base
from lori_core.bases.merged_base import merged_into
from lori_core.config import AdapterConfig, Method
from lori_core.files import folder_size
from lori_core.method.adapter import Adapter
from lori_core.method.masks import magnitude_masks, overlap_counts, pack, packed_overlap
from lori_core.method.merge import merge
from lori_core.storage.adapter_files import save_adapter
from lori_core.tasks.registry import load_task
from lori_core.training.learn import config_of
from lori_core.training.recipes import training_for
from lori_core.training.train import train

RANK, SPARSITY, TOKENS = 32, 0.9, 512
CONFIG = LlamaConfig(  # 99.8 M parameters
    hidden_size=768,
    intermediate_size=2048,
    num_hidden_layers=8,
    num_attention_heads=12,
    num_key_value_heads=3,
    vocab_size=32768,
    max_position_embeddings=TOKENS,
)
LAYER = LlamaConfig(  # one decoder layer of Llama-3-8B
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=1,
    num_attention_heads=32,
    num_key_value_heads=8,
    vocab_size=256,
)
DROPOUT = 0.05  # PEFT's alone: LoRI's effective dropout is 0, and the product has none

Makers = dict[str, Callable[[PreTrainedModel, str, AdapterConfig], Subject]]
PEERS: Makers = {
    "peft": peft_lora,
    "peft_bf16": partial(peft_lora, fp32=False),
    "peft_frozen_A": partial(peft_lora, frozen_projection=True),
    "peft_dropout": partial(peft_lora, dropout=DROPOUT),
    "official": official,
    "lori_d": lori,
    "lori_s": lori,
}
MAIN = ("peft", "lori_d", "lori_s")
SPARSE = ("official", "lori_s")


def model_of(config: LlamaConfig, dtype: torch.dtype) -> PreTrainedModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    return model.requires_grad_(False).train()


def changed(**sizes: int) -> LlamaConfig:
    """CONFIG with other sizes."""
    settings: dict[str, Any] = CONFIG.to_dict() | sizes
    return LlamaConfig(**settings)


def subjects_on(model: PreTrainedModel, names: Sequence[str], rank: int = RANK) -> list[Subject]:
    settings = {name: AdapterConfig(rank=rank, sparsity=SPARSITY if name in SPARSE else 0) for name in names}
    return [floor(), *(PEERS[name](model, name, settings[name]) for name in names)]


def rows(config: LlamaConfig, tokens: int = TOKENS) -> torch.Tensor:
    return torch.randint(config.vocab_size, (1, tokens))


# --- steps


def steps(
    names: Sequence[str] = MAIN,
    dtype: torch.dtype = torch.float32,
    rank: int = RANK,
    checkpointing: bool = False,
    repeats: int = REPEATS,
) -> dict[str, Any]:
    model = model_of(CONFIG, dtype)
    subjects = subjects_on(model, names, rank)
    with checkpointing_on(model, checkpointing):
        return _ratios(side_by_side(model, subjects, rows(CONFIG), repeats=repeats))


def embedded(task: str = "math", steps: int = 8) -> dict[str, Any]:
    """Seconds of so many steps; the floor's gradient reaches the lowest weight, as an adapter's does."""
    base, examples = load_base("embedded", device="cpu"), load_task(task).examples("train")[:500]
    training = {method: each.changed(steps=steps) for method, each in training_for("embedded").items()}

    def of_adapter(method: Method) -> float:
        config = config_of(method, AdapterConfig(sparsity=SPARSITY))
        attached = attach(base.model, random_start(base.model, method, config))
        try:
            return train(base.model, base.tokenizer, examples, training[method]).seconds
        finally:
            attached.detach()

    def of_floor() -> float:
        first = base.model.get_parameter("model.layers.0.input_layernorm.weight")
        before = first.detach().clone()
        first.requires_grad_(True)
        try:
            return train(base.model, base.tokenizer, examples, training["lori_d"]).seconds
        finally:
            first.requires_grad_(False).copy_(before)

    works = {FLOOR: of_floor, **{name: partial(of_adapter, name) for name in ("lora", "lori_d", "lori_s")}}
    rounds = [{name: work() for name, work in works.items()} for _ in range(WARM + REPEATS)][WARM:]
    each = {name: [taken[name] for taken in rounds] for name in works}
    return _ratios({name: {"seconds": median(seconds), "each": seconds} for name, seconds in each.items()})


def _ratios(found: dict[str, Any]) -> dict[str, Any]:
    """With the medians of each round's ratios: other work on the machine lengthens a round's steps alike."""
    for taken in found.values():
        for name, beside in (("times_floor", FLOOR), ("times_peft", "peft")):
            if beside not in found:
                continue
            pairs = zip(taken["each"], found[beside]["each"], strict=True)
            taken[name] = median(seconds / others for seconds, others in pairs)
    return found


def compiled() -> dict[str, Any]:
    """One layer: compiling takes longer than running. Each subject has a base of its own, compiled with it inside."""
    torch._dynamo.config.recompile_limit = 64
    config = changed(num_hidden_layers=1, vocab_size=2048)
    ids, models, seconds = rows(config), {}, {}
    for name in (FLOOR, *MAIN):
        model = model_of(config, torch.float32)
        subject = {each.name: each for each in subjects_on(model, [name] if name in PEERS else [])}[name]
        for module, layer in subject.layers.items():
            model.set_submodule(module, layer)
        for layer in model.model.layers:
            layer.compile()
        models[name], seconds[name] = (model, replace(subject, layers={})), []
    for number in range(WARM + REPEATS):
        for name, (model, subject) in models.items():
            taken = side_by_side(model, [subject], ids, warm=0, repeats=1)[name]["seconds"]
            if number >= WARM:
                seconds[name].append(taken)
    return _ratios({name: {"seconds": median(each), "each": each} for name, each in seconds.items()})


# --- counted


def counts() -> dict[str, Any]:
    """Bytes at the full size with TOKENS tokens; kernels at two layers, where they are the same."""
    found = {}
    small = changed(hidden_size=96, intermediate_size=128, num_hidden_layers=2, vocab_size=64, head_dim=8)
    for dtype, rank in ((torch.bfloat16, 32), (torch.bfloat16, 64), (torch.float32, 32)):
        model, few = model_of(CONFIG, dtype), model_of(small, dtype)
        subjects, short = subjects_on(model, tuple(PEERS), rank), subjects_on(few, tuple(PEERS), rank)
        ids, some = rows(CONFIG), rows(small, 8)
        kept = {subject.name: kept_bytes(model, subject, ids) for subject in subjects}
        beyond = {name: size - kept[FLOOR] for name, size in kept.items()}
        asked = {subject.name: kernels(few, subject, some) for subject in short}
        found[f"{str(dtype).removeprefix('torch.')}, rank {rank}"] = {
            "kept_bytes": kept,
            "beyond_floor": beyond,
            "beyond_in_peft": {name: size / beyond["peft"] for name, size in beyond.items()},
            "kernels_a_layer": {name: count.total() for name, count in asked.items()},
            "kernels": {name: dict(count.most_common()) for name, count in asked.items()},
            "moment_bytes": {subject.name: _moments(model, subject) for subject in subjects if subject.optimizer},
        }
    return found


def _moments(model: PreTrainedModel, subject: Subject) -> int:
    assert subject.optimizer is not None
    _give_gradients(subject)
    subject.optimizer.step()
    return moment_bytes(subject)


def _give_gradients(subject: Subject) -> None:
    assert subject.optimizer is not None
    for group in subject.optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)


def optimizer() -> dict[str, Any]:
    model = model_of(CONFIG, torch.bfloat16)
    names = ("peft", "peft_bf16", "official", "lori_d", "lori_s")
    subjects = subjects_on(model, names)[1:]
    for subject in subjects:
        _give_gradients(subject)
    taken = interleaved({s.name: s.optimizer.step for s in subjects if s.optimizer is not None})
    return {
        name: seconds | {"in_official": seconds["seconds"] / taken["official"]["seconds"]}
        for name, seconds in taken.items()
    }


# --- around training


def threshold() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    B = {module: torch.randn(out, RANK, generator=generator) for module, (out, _) in SHAPES.items()}
    entries = sum(each.numel() for each in B.values())
    kept = round((1 - SPARSITY) * entries)

    def topk() -> torch.Tensor:
        flat = torch.cat([each.reshape(-1).abs() for each in B.values()])
        return flat >= torch.topk(flat, kept).values[-1]

    taken = interleaved({"ours": lambda: magnitude_masks(B, SPARSITY), "topk": topk})
    memory = {"ours": peak_bytes(lambda: magnitude_masks(B, SPARSITY)), "topk": peak_bytes(topk)}
    return {
        "entries": entries,
        "in_topk": taken["ours"]["seconds"] / taken["topk"]["seconds"],
        # a bool mask of all entries is what both give back
        **{name: seconds | {"extra_bytes": memory[name] - entries} for name, seconds in taken.items()},
    }


def overlap(tasks: int = 8) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    masks = [
        {module: torch.rand(out, RANK, generator=generator) >= SPARSITY for module, (out, _) in SHAPES.items()}
        for _ in range(tasks)
    ]
    packed = [pack(each) for each in masks]

    whole = [torch.cat([mask.reshape(-1) for mask in each.values()]) for each in masks]

    def bools() -> list[int]:
        return [int((s & t).sum()) for s, t in combinations_with_replacement(whole, 2)]

    def by_module() -> list[int]:
        pairs = combinations_with_replacement(masks, 2)
        return [sum(int((s[module] & t[module]).sum()) for module in s) for s, t in pairs]

    taken = interleaved(
        {
            "packed": lambda: packed_overlap(packed),
            "packing": lambda: [pack(each) for each in masks],
            "with_packing": lambda: overlap_counts(masks),
            "bools": bools,
            "bools_by_module": by_module,
        }
    )
    return {name: each | {"in_bools": each["seconds"] / taken["bools"]["seconds"]} for name, each in taken.items()}


def merging() -> dict[str, Any]:
    """Four adapters of rank 32 into fp32 weights, beside a bare copy of these weights; PEFT has the adapters loaded."""
    model = model_of(LAYER, torch.float32)
    parts = [filled(model, number) for number in range(4)]

    def ours() -> None:
        with merged_into(model, merge(parts, "concat", [0.4] * 4, "merged")):
            pass

    def copy() -> None:
        weights = [model.get_submodule(name).get_parameter("weight").clone() for name in parts[0].factors]
        weights.clear()  # all alive at once until here, as merged weights are

    taken = interleaved({"ours": ours, "copy": copy})
    settings = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=list(parts[0].factors), init_lora_weights=False)
    theirs: Any = get_peft_model(model, settings, adapter_name="0")
    for number in range(1, 4):
        theirs.add_adapter(str(number), settings)
    names = [str(number) for number in range(4)]

    def peft() -> None:
        theirs.add_weighted_adapter(names, [0.4] * 4, "merged", "cat")
        theirs.merge_adapter(["merged"])

    def undo() -> None:
        theirs.unmerge_adapter()
        theirs.delete_adapter("merged")

    taken["peft_cat"] = interleaved({"peft": peft}, after=undo)["peft"]
    theirs_take = taken["peft_cat"]["seconds"]
    return taken | {f"{name}_in_peft": taken[name]["seconds"] / theirs_take for name in ("ours", "copy")}


def filled(model: PreTrainedModel, seed: int) -> Adapter:
    """A LoRI-S adapter with random values."""
    start = random_start(model, f"task {seed}", AdapterConfig(rank=RANK, sparsity=SPARSITY, projection_seed=seed))
    generator = torch.Generator().manual_seed(seed)
    factors = {
        module: replace(each, values=0.01 * torch.randn(each.values.shape, generator=generator))
        for module, each in start.factors.items()
    }
    return replace(start, factors=factors)


def files() -> dict[str, Any]:
    found = {}
    for kind in ("threshold", "normal"):
        adapter = random_adapter(kind)
        with tempfile.TemporaryDirectory() as folder:
            save_adapter(adapter, Path(folder) / "lori")
            ours = folder_size(Path(folder) / "lori")
            peft = peft_bytes(adapter, Path(folder) / "peft.safetensors")
        found[kind] = {"bytes": ours, "peft_bf16_bytes": peft, "in_peft": ours / peft}
    return found


def start() -> dict[str, Any]:
    command = [sys.executable, "-m", "lori_core", "--help"]
    return interleaved({"lori --help": lambda: subprocess.run(command, check=True, capture_output=True)})


# --- timing


def timed(work: Callable[[], Any], repeats: int = REPEATS) -> tuple[Any, float]:
    """What the last run gave, and the median of the seconds."""
    seconds, done = [], None
    for _ in range(repeats):
        began = time.perf_counter()
        done = work()
        seconds.append(time.perf_counter() - began)
    return done, median(seconds)


def interleaved(
    works: dict[str, Callable[[], Any]], after: Callable[[], Any] = lambda: None
) -> dict[str, dict[str, Any]]:
    """Name -> median seconds and each, after one warm run of all. after: is not timed."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(1 + REPEATS):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - began)
            after()
    return {name: {"seconds": median(each), "each": each} for name, each in seconds.items()}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "steps": partial(steps, tuple(PEERS)),
    "steps_bf16": partial(steps, dtype=torch.bfloat16, repeats=3),  # minutes a step where bf16 is emulated
    "steps_checkpointing": partial(steps, checkpointing=True),
    "steps_rank_64": partial(steps, rank=64),
    "embedded": embedded,
    "compiled": compiled,
    "counts": counts,
    "optimizer": optimizer,
    "threshold": threshold,
    "overlap": overlap,
    "merge": merging,
    "files": files,
    "start": start,
}
