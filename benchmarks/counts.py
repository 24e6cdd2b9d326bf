"""Costs of a step by count, without a clock: bytes that autograd keeps, kernels a decoder layer, bytes of moments."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from benchmarks.subjects import Subject, forward, put_in, to_embeddings

NO_WORK = {"_unsafe_view", "empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"}


def kept_bytes(model: PreTrainedModel, subject: Subject, ids: Tensor) -> int:
    """Bytes that autograd keeps from the forward to the backward pass: each storage once, weights and loss apart."""
    with put_in(model, subject), to_embeddings(model), kept_for_backward() as kept:
        own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
        model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    return bytes_of(kept, own)


@contextmanager
def kept_for_backward() -> Iterator[list[Tensor]]:
    """The tensors that autograd keeps while the block runs."""
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


def bytes_of(tensors: list[Tensor], own: set[int]) -> int:
    """Of the different storages among the tensors, without those that are in `own`."""
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(size for storage, size in storages.items() if storage not in own)


class _Kernels(TorchDispatchMode):
    """Counts the aten operations that are no views and do more than reserve memory."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        if not func.is_view and name not in NO_WORK:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def kernels(model: PreTrainedModel, subject: Subject, ids: Tensor) -> Counter[str]:
    """Name of the operation -> how often a decoder layer asks for it, forward and backward.

    It is the second layer's: with one layer less in the model, that many fewer.
    """
    with put_in(model, subject), to_embeddings(model):
        whole = _counted(model, ids)
        layers = model.model.layers
        model.model.layers, shorter = layers[:-1], layers
        fewer = _counted(model, ids)
        model.model.layers = shorter
    for layer in subject.layers.values():
        layer.zero_grad()
    return whole - fewer


def _counted(model: nn.Module, ids: Tensor) -> Counter[str]:
    with _Kernels() as seen:
        forward(model, ids).backward()
    model.zero_grad()
    return seen.counts


def moment_bytes(subject: Subject) -> int:
    """Bytes of AdamW's moments."""
    assert subject.optimizer is not None
    values = [value for state in subject.optimizer.state.values() for value in state.values()]
    return sum(value.nbytes for value in values if isinstance(value, Tensor) and value.dim())
