"""Inputs of modules: what a model feeds into them while it reads token sequences."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

import torch
from torch import Tensor, nn

BATCH_TOKENS = 1024


@contextmanager
def listening(model: nn.Module, modules: Iterable[str], listen: Callable[[str, Tensor], None]) -> Iterator[None]:
    """In evaluation mode, without gradients: listen(module, its input) before each of these modules runs."""

    def hook(module: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, inputs: listen(module, inputs[0])

    handles = [model.get_submodule(module).register_forward_pre_hook(hook(module)) for module in modules]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()
            yield
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()


def in_batches(sequences: Sequence[Sequence[int]]) -> Iterator[Tensor]:
    """(n, tokens), of one length each: padding would have activations too."""
    for length, alike in groupby(sorted(sequences, key=len), len):
        yield from torch.tensor(list(alike)).split(max(1, BATCH_TOKENS // length))
