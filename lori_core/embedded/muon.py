"""Muon, the optimizer of the base's matrices (https://kellerjordan.github.io/posts/muon/).

torch.optim.Muon orthogonalizes in bf16 whatever the device; a CPU that emulates bf16 takes forty times as long for that
as for fp32 (8.4 s a step of the base against 0.23 s). This one takes the dtype, and in bf16 gives torch's very values.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration: steep at zero, singular values end in 0.5 to 1.5
ITERATIONS = 5
MOMENTUM = 0.95


def orthogonalized(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """UV^T, roughly, of matrix = USV^T, by Newton-Schulz iteration; shape as it came, in `dtype`."""
    a, b, c = COEFFICIENTS
    wide = matrix.to(dtype)
    if matrix.shape[0] > matrix.shape[1]:
        wide = wide.T
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalized; decoupled weight decay."""

    def __init__(self, matrices: Iterable[nn.Parameter], lr: float, weight_decay: float, dtype: torch.dtype) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            for matrix in group["params"]:
                state, (rows, columns) = self.state[matrix], matrix.shape
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(matrix)
                momentum = state["momentum_buffer"]
                momentum.lerp_(matrix.grad, 1 - MOMENTUM)
                update = orthogonalized(matrix.grad.lerp(momentum, MOMENTUM), self.dtype)
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * max(1, rows / columns) ** 0.5)
