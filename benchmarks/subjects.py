"""Subjects side by side on one base: its own passes (the floor), PEFT's LoRA, LoRI-D, LoRI-S, the official one.

They share one frozen base. Each has layers of its own, which stand in the base only while its step is measured, so that
steps can be interleaved and no subject has the warmer machine.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from lori_core.bases.attach import Attached, attach
from lori_core.bases.load import target_modules
from lori_core.config import AdapterConfig
from lori_core.method.adapter import Adapter, blank
from lori_core.method.masks import random_masks

WARM, REPEATS = 1, 8
FLOOR = "floor"


@dataclass(frozen=True)
class Subject:
    """layers: module of the base -> what stands in its place; none: the floor."""

    name: str
    layers: Mapping[str, nn.Module]
    optimizer: torch.optim.Optimizer | None
    attached: Attached | None = None

    @property
    def own_bytes(self) -> int:
        """Of the layers' weights, the base's apart, and of AdamW's moments."""
        base = {id(tensor) for layer in self.layers.values() for tensor in _base_of(layer).parameters()}
        tensors = [t for layer in self.layers.values() for t in (*layer.parameters(), *layer.buffers())]
        states = [] if self.optimizer is None else self.optimizer.state.values()
        moments = [value for state in states for value in state.values() if isinstance(value, Tensor) and value.dim()]
        return sum(tensor.nbytes for tensor in [*tensors, *moments] if id(tensor) not in base)


def _base_of(layer: nn.Module) -> nn.Module:
    """The frozen linear map, called `base` by us and `base_layer` by PEFT."""
    return layer.get_submodule("base" if "base" in dict(layer.named_children()) else "base_layer")


def floor() -> Subject:
    return Subject(FLOOR, {}, None)


def lori(model: PreTrainedModel, name: str, config: AdapterConfig) -> Subject:
    """LoRI-D where sparsity is 0; else LoRI-S under a random mask."""
    attached = attach(model, random_start(model, name, config))
    attached.detach()
    return Subject(name, attached.layers, _optimizer(attached.layers), attached)


def random_start(model: PreTrainedModel, name: str, config: AdapterConfig) -> Adapter:
    shapes = target_modules(model)
    entries = {module: (out_features, config.rank) for module, (out_features, _) in shapes.items()}
    masks = random_masks(entries, config.sparsity, config.projection_seed) if config.sparsity else None
    return blank(name, shapes, config, masks)


def peft_lora(
    model: PreTrainedModel,
    name: str,
    config: AdapterConfig,
    *,
    fp32: bool = True,
    frozen_projection: bool = False,
    dropout: float = 0.0,
) -> Subject:
    """As PEFT makes it by default: factors in fp32 beside a base in bf16. fp32=False: factors in the base's dtype."""
    modules = {module: model.get_submodule(module) for module in target_modules(model)}
    alpha = int(config.scaling * config.rank)
    settings = LoraConfig(
        r=config.rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(modules), task_type="CAUSAL_LM"
    )
    get_peft_model(model, settings, autocast_adapter_dtype=fp32)  # puts its layers into the model itself
    layers = {module: model.get_submodule(module) for module in modules}
    for module, base in modules.items():
        model.set_submodule(module, base)
    del model.peft_config  # else the next subject is taken for a second adapter of this one
    for parameter_name, parameter in ((n, p) for layer in layers.values() for n, p in layer.named_parameters()):
        if frozen_projection and "lora_A" in parameter_name:
            parameter.requires_grad_(False)
    return Subject(name, layers, _optimizer(layers))


class OfficialLinear(nn.Module):
    """LoRI-S as the official code has it: all of B is a parameter, and the mask acts on its gradient alone."""

    A: Tensor

    def __init__(self, base: nn.Module, A: Tensor, mask: Tensor, scaling: float) -> None:
        super().__init__()
        self.base, self.mask, self.scaling = base, mask, scaling
        self.register_buffer("A", A)
        self.B = nn.Parameter(torch.zeros(mask.shape, device=A.device))

    def forward(self, x: Tensor) -> Tensor:  # (..., in_features) -> (..., out_features)
        return self.base(x) + self.scaling * F.linear(F.linear(x, self.A), self.B.to(x.dtype))


def official(model: PreTrainedModel, name: str, config: AdapterConfig) -> Subject:
    """Written from the description of the official LoRI-S: dense gradients and moments, masked before each step.

    A and the product are in the base's dtype, which is kinder to it than fp32.
    """
    start = random_start(model, name, config)
    layers = {}
    for module, factors in start.factors.items():
        base = model.get_submodule(module)
        weight = base.get_parameter("weight")
        layers[module] = OfficialLinear(base, factors.A.to(weight), factors.mask.to(weight.device), factors.scaling)
    optimizer = _optimizer(layers)

    def mask_gradients(*_: Any) -> None:
        for layer in layers.values():
            layer.B.grad.mul_(layer.mask)

    optimizer.register_step_pre_hook(mask_gradients)
    return Subject(name, layers, optimizer)


def _optimizer(layers: Mapping[str, nn.Module]) -> torch.optim.Optimizer:
    trained = [p for layer in layers.values() for p in layer.parameters() if p.requires_grad]
    return torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0, fused=True)  # as train.py has it, for all alike


@contextmanager
def put_in(model: PreTrainedModel, subject: Subject) -> Iterator[None]:
    """The base with the subject's layers; the floor's backward pass reaches the embeddings instead."""
    modules = {module: model.get_submodule(module) for module in subject.layers}
    for module, layer in subject.layers.items():
        model.set_submodule(module, layer)
    try:
        with to_embeddings(model) if subject.optimizer is None else nullcontext():
            yield
    finally:
        for module, base in modules.items():
            model.set_submodule(module, base)


@contextmanager
def to_embeddings(model: PreTrainedModel) -> Iterator[None]:
    """The backward pass goes down to the embeddings, although they are frozen."""
    model.enable_input_require_grads()
    try:
        yield
    finally:
        model.disable_input_require_grads()


def forward(model: nn.Module, ids: Tensor) -> Tensor:
    """The loss as train.py has it, of rows (batch, tokens) in which every token but the first is predicted."""
    counts = torch.ones_like(ids[:, 1:], dtype=torch.bool)
    output = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    return F.cross_entropy(output.logits[:, :-1][counts].float(), ids[:, 1:][counts])


def step(model: nn.Module, ids: Tensor, optimizer: torch.optim.Optimizer | None) -> None:
    """One step of training."""
    forward(model, ids).backward()
    if optimizer is not None:
        optimizer.step()
        optimizer.zero_grad()


def side_by_side(
    model: PreTrainedModel, subjects: Sequence[Subject], ids: Tensor, warm: int = WARM, repeats: int = REPEATS
) -> dict[str, Any]:
    """Name -> median seconds of a step, seconds of each, and on a GPU the bytes that live at the worst moment.

    A subject that runs out of memory is left out of further rounds and says so.
    """
    seconds: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    found: dict[str, Any] = {}
    for number in range(warm + repeats):
        for subject in (each for each in subjects if each.name not in found):
            taken, peak = _measured(model, subject, ids)
            if taken is None:
                found[subject.name] = {"fits": False}
                continue
            if number >= warm:
                seconds[subject.name].append(taken)
            if number + 1 == warm + repeats:
                found[subject.name] = _summary(seconds[subject.name], ids.numel(), subject, peak)
    return found


def _summary(seconds: Sequence[float], tokens: int, subject: Subject, peak: int | None) -> dict[str, Any]:
    middle = median(seconds)
    memory = {} if peak is None else {"own_bytes": subject.own_bytes, "step_bytes": peak}
    return {"fits": True, "seconds": middle, "tokens_per_second": tokens / middle, **memory, "each": list(seconds)}


def _measured(model: PreTrainedModel, subject: Subject, ids: Tensor) -> tuple[float | None, int | None]:
    """(seconds or None where memory ran out, bytes beyond what was there before the step or None without a GPU)."""
    before = torch.cuda.memory_allocated() if ids.is_cuda else 0
    if ids.is_cuda:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    with put_in(model, subject):
        fits = _fits(model, ids, subject.optimizer)
    if not fits:
        if subject.optimizer is not None:
            subject.optimizer.zero_grad()
        torch.cuda.empty_cache()
        return None, None
    if not ids.is_cuda:
        return time.perf_counter() - start, None
    torch.cuda.synchronize()
    return time.perf_counter() - start, torch.cuda.max_memory_allocated() - before


def _fits(model: PreTrainedModel, ids: Tensor, optimizer: torch.optim.Optimizer | None) -> bool:
    """Whether memory is enough for a step, which is done. What it held is free when this returns."""
    try:
        step(model, ids, optimizer)
    except torch.OutOfMemoryError:
        return False
    return True
