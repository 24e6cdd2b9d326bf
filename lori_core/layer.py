"""LoRILinear: the one nn.Module.

    y = W x + scaling · B A x,   B = frozen entries + trained values scattered to where the mask is True

Only the trained values are a Parameter, so gradients, optimizer state and checkpoints have their size. Once A is
frozen, autograd keeps h = A x (rank numbers a token) and not x.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Scatter(torch.autograd.Function):
    """values (kept,) -> scale · dense B (out_features, rank); the gradient is gathered at the same entries."""

    @staticmethod
    def forward(ctx, values: Tensor, index: Tensor, frozen: Tensor | None, shape, scale: float, dtype) -> Tensor:
        ctx.save_for_backward(index)
        ctx.scale, ctx.values_dtype = scale, values.dtype
        dense = values.new_zeros(shape, dtype=dtype) if frozen is None else (frozen * scale).to(dtype)
        # scatter_ is twice as fast as index_put_ here
        dense.view(-1).scatter_(0, index, (values * scale).to(dtype))
        return dense

    @staticmethod
    def backward(ctx, gradient: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        (index,) = ctx.saved_tensors
        return (
            gradient.reshape(-1).index_select(0, index).to(ctx.values_dtype) * ctx.scale,
            *[None] * 5,
        )


class LoRILinear(nn.Module):
    """A frozen linear map (nn.Linear, GPT-2's Conv1D, quantised ...) with a low-rank update.

    Attributes:
        A: (rank, in_features), a buffer; a Parameter where the projection is trained (LoRA).
        values: (trained,) the entries of B that move, None where none do.
        index: (trained,) their positions in B, row-major; None where all entries move.
        frozen: (out_features, rank) the other entries of B, zero at the trained ones; None where there are none.
    """

    A: Tensor
    values: nn.Parameter | None
    index: Tensor | None
    frozen: Tensor | None

    def __init__(
        self,
        base: nn.Module,
        A: Tensor,
        B: Tensor,
        trained: Tensor | None,
        scaling: float,
        train_projection: bool = False,
    ) -> None:
        """B: (out_features, rank) to start from. trained: the same shape, True where B moves; None: nowhere."""
        super().__init__()
        self.base = base
        self.shape = B.shape
        self.scaling = scaling
        # Buffers are not persistent: A is drawn again or stored by us, and FSDP2 would shard them.
        if train_projection:
            self.A = nn.Parameter(A.clone())
        else:
            self.register_buffer("A", A, persistent=False)
        moves = torch.zeros(B.shape, dtype=torch.bool) if trained is None else trained
        self.values = nn.Parameter(B[moves].clone()) if bool(moves.any()) else None
        index = None if bool(moves.all()) or self.values is None else moves.reshape(-1).nonzero().squeeze(1)
        self.register_buffer("index", index, persistent=False)
        frozen = B.masked_fill(moves, 0)
        self.register_buffer("frozen", frozen if bool(frozen.any()) else None, persistent=False)

    def B(self, scale: float = 1.0, dtype: torch.dtype | None = None) -> Tensor:
        """scale · B, (out_features, rank), dense."""
        if self.values is None:
            frozen = torch.zeros(self.shape, device=self.A.device) if self.frozen is None else self.frozen
            return (frozen * scale).to(dtype or frozen.dtype)
        dtype = dtype or self.values.dtype
        if self.index is None:
            return (self.values.view(self.shape) * scale).to(dtype)
        return _Scatter.apply(self.values, self.index, self.frozen, self.shape, scale, dtype)  # pyright: ignore[reportReturnType]

    def forward(self, x: Tensor) -> Tensor:  # (..., in_features) -> (..., out_features)
        # Two dimensions, so that the base's output is no view and can take the update in place.
        rows = x.reshape(-1, x.shape[-1])
        y = self.base(rows)
        # Cast explicitly: under autocast the base returns another dtype than A has, and addmm_ refuses a mixture.
        h = F.linear(rows.to(y.dtype), self.A.to(y.dtype))
        B = self.B(self.scaling, y.dtype)
        y = torch.addmm(y, h, B.T) if y._is_view() else y.addmm_(h, B.T)
        return y.view(*x.shape[:-1], y.shape[-1])
