"""Attaching an adapter to a model, detaching it, extracting what it learned: the one door between both.

Shapes are checked here; whether the adapter was trained on this base's weights is check_base() of method/adapter.py.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn

from lori_core.bases.layer import LoRILinear
from lori_core.bases.quantize import dense_weight
from lori_core.bases.targets import linear_shape
from lori_core.errors import IncompatibleAdapters
from lori_core.method.adapter import Adapter, Factors
from lori_core.method.masks import Masks


@dataclass(frozen=True)
class Attached:
    """A model whose modules are wrapped by an adapter's layers.

    Attributes:
        layers: module -> LoRILinear; modules whose mask keeps nothing stay as they are and cost nothing.
    """

    model: nn.Module
    adapter: Adapter
    layers: Mapping[str, LoRILinear]

    def extract(self) -> Adapter:
        """The adapter with the values (and for LoRA the A) as they are now, on the CPU."""
        factors = dict(self.adapter.factors)
        for module, layer in self.layers.items():
            B = layer.B().detach().to("cpu", copy=True)
            A = layer.A.detach().to("cpu", copy=True) if isinstance(layer.A, nn.Parameter) else factors[module].A
            factors[module] = Factors(A, B[factors[module].mask], factors[module].mask, factors[module].scaling)
        return replace(self.adapter, factors=factors)

    def detach(self) -> None:
        """The model as it was."""
        for module, layer in self.layers.items():
            self.model.set_submodule(module, layer.base)


def attach(model: nn.Module, adapter: Adapter, trained: Masks | None = None) -> Attached:
    """Wrap the adapter's modules in place; everything else of the model is frozen.

    Args:
        trained: module -> (out_features, rank) bool, the entries that move; None: all that the adapter keeps.
    Raises:
        IncompatibleAdapters: the model lacks a module, another adapter is attached, a shape does not fit, or `trained`
            names an entry that the adapter does not keep: what it learned could not be extracted.
    """
    if any(isinstance(module, LoRILinear) for module in model.modules()):
        raise IncompatibleAdapters("already_attached", name=adapter.name)
    modules = dict(model.named_modules())
    for module, factors in adapter.factors.items():  # before anything is wrapped: all or nothing
        _check_fit(adapter.name, module, modules.get(module), factors)
    _check_trained(adapter, trained or {})
    model.requires_grad_(False)
    layers = {}
    for module, factors in adapter.factors.items():
        if not factors.values.numel():
            continue
        base = modules[module]
        moves = factors.mask if trained is None else trained.get(module)
        train_projection = adapter.config.train_projection and trained is None
        A = factors.A if train_projection else _in_dtype_of(base, factors.A)
        layer = LoRILinear(base, A, factors.B, moves, factors.scaling, train_projection)
        layers[module] = layer.to(next(base.parameters()).device).train(base.training)
        model.set_submodule(module, layers[module])
    return Attached(model, adapter, layers)


@contextmanager
def applied(model: nn.Module, adapter: Adapter) -> Iterator[nn.Module]:
    """The model with the adapter, nothing trainable, for the length of a with block."""
    attached = attach(model, adapter, trained={})
    try:
        yield model
    finally:
        attached.detach()


def update_ratio(model: nn.Module, adapter: Adapter) -> float:
    """‖dW‖ / ‖W‖ in Frobenius norm over the adapted modules of a model to which nothing is attached."""
    modules = dict(model.named_modules())
    update = base = 0.0
    for module, factors in adapter.factors.items():
        B = factors.B.double()
        A = factors.A.double()
        update += factors.scaling**2 * torch.sum((B.T @ B) * (A @ A.T)).item()
        base += dense_weight(modules[module]).double().square().sum().item()
    return (update / base) ** 0.5


def _in_dtype_of(base: nn.Module, A: torch.Tensor) -> torch.Tensor:
    """A frozen A in the base's own precision is not cast again in each forward pass; a quantised base has none."""
    weight = base.get_parameter("weight")
    return A.to(weight.dtype) if weight.dtype.is_floating_point else A


def _check_fit(name: str, module: str, base: nn.Module | None, factors: Factors) -> None:
    expected = linear_shape(base)
    if expected is None:
        raise IncompatibleAdapters("no_such_module", name=name, module=module)
    if expected != factors.shape:
        raise IncompatibleAdapters("shape_differs", name=name, module=module, got=factors.shape, expected=expected)


def _check_trained(adapter: Adapter, trained: Masks) -> None:
    kept = adapter.masks
    for module, moves in trained.items():
        if module not in kept or moves.shape != kept[module].shape or bool((moves & ~kept[module]).any()):
            raise IncompatibleAdapters("trained_not_kept", name=adapter.name, module=module)
