"""LoRILinear: the one nn.Module.

    y = W x + scaling · B A x,   B = frozen entries + trained values scattered to where the mask is True

Only the trained values are a Parameter, so gradients, optimizer state and checkpoints have their size. Once A is
frozen, autograd keeps h = A x (rank numbers a token) and not x.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _scattered(values: Tensor, index: Tensor | None, frozen: Tensor | None, shape, dtype: torch.dtype) -> Tensor:
    """Dense B (out_features, rank); index None: all of it are values."""
    if index is None:
        return values.view(shape).to(dtype)
    dense = values.new_zeros(shape, dtype=dtype) if frozen is None else frozen.to(dtype, copy=True)
    # scatter_ is twice as fast as index_put_ here
    dense.view(-1).scatter_(0, index, values.to(dtype))
    return dense


class _Scatter(torch.autograd.Function):
    """values (trained,) -> dense B (out_features, rank); the gradient is gathered at the same entries."""

    @staticmethod
    def forward(ctx, values: Tensor, index: Tensor, frozen: Tensor | None, shape, dtype) -> Tensor:
        ctx.save_for_backward(index)
        ctx.values_dtype = values.dtype
        return _scattered(values, index, frozen, shape, dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        (index,) = ctx.saved_tensors
        return gradient.reshape(-1).index_select(0, index).to(ctx.values_dtype), *[None] * 4


class _Linear(torch.autograd.Function):
    """x Wᵀ + bias + scaling · (x Aᵀ) Bᵀ where W and A are frozen: less memory and fewer passes than autograd's own way.

    Only h = x Aᵀ is kept: B is scattered again, and both parts of dX are summed in place.
    """

    @staticmethod
    def forward(
        ctx,
        x: Tensor,  # (tokens, in_features)
        W: Tensor,
        bias: Tensor | None,
        A: Tensor,
        values: Tensor,
        index: Tensor | None,
        frozen: Tensor | None,
        shape,
        scaling: float,
    ) -> Tensor:
        h = F.linear(x, A)
        B = _scattered(values, index, frozen, shape, x.dtype)
        ctx.save_for_backward(h, W, A, values, index, frozen)
        ctx.scaling = scaling
        ctx.shape = shape
        return F.linear(x, W, bias).addmm_(h, B.T, alpha=scaling)

    @staticmethod
    def backward(ctx, dY: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        h, W, A, values, index, frozen = ctx.saved_tensors
        dX = None
        if ctx.needs_input_grad[0]:
            B = _scattered(values, index, frozen, ctx.shape, dY.dtype)
            dX = (dY @ W).addmm_(dY @ B, A, alpha=ctx.scaling)
        # beta=0: what is in there does not count
        dB = h.new_empty(ctx.shape).addmm_(dY.T, h, beta=0, alpha=ctx.scaling).view(-1)
        gradient = dB if index is None else dB.index_select(0, index)
        return dX, None, None, None, gradient.to(values.dtype), *[None] * 4


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

    def B(self, dtype: torch.dtype | None = None) -> Tensor:
        """(out_features, rank), dense."""
        if self.values is None:
            frozen = torch.zeros(self.shape, device=self.A.device) if self.frozen is None else self.frozen
            return frozen.to(dtype or frozen.dtype)
        dtype = dtype or self.values.dtype
        if self.index is None:
            return self.values.view(self.shape).to(dtype)
        return _Scatter.apply(self.values, self.index, self.frozen, self.shape, dtype)  # pyright: ignore[reportReturnType]

    def gradient(self) -> Tensor:
        """(out_features, rank), of B, zero where it does not move or no gradient is there; it stays when the
        parameter's own is clipped."""
        dense = torch.zeros(self.shape, device=self.A.device)
        if self.values is None or self.values.grad is None:
            return dense
        if self.index is None:
            return self.values.grad.view(self.shape).clone()
        return dense.view(-1).index_copy_(0, self.index, self.values.grad).view(self.shape)

    def forward(self, x: Tensor) -> Tensor:  # (..., in_features) -> (..., out_features)
        # Two dimensions, so that the base's output is no view and can take the update in place.
        rows = x.reshape(-1, x.shape[-1])
        y = self._fused(rows) if self._can_fuse(x) else self._beside(rows)
        return y.view(*x.shape[:-1], y.shape[-1])

    def _can_fuse(self, x: Tensor) -> bool:
        """Whether base and A are plain frozen matrices of x's dtype; autocast would change dtypes on the way."""
        if type(self.base) is not nn.Linear or self.values is None or torch.is_autocast_enabled(x.device.type):
            return False
        moves = any(tensor.requires_grad for tensor in (self.A, *self.base.parameters()))
        return not moves and x.dtype == self.A.dtype == self.base.weight.dtype

    def _fused(self, rows: Tensor) -> Tensor:
        base, arguments = self.base, (self.values, self.index, self.frozen, self.shape, self.scaling)
        return _Linear.apply(rows, base.weight, base.bias, self.A, *arguments)  # pyright: ignore[reportReturnType]

    def _beside(self, rows: Tensor) -> Tensor:
        """Whatever the base is."""
        y = self.base(rows)
        # Cast explicitly: under autocast the base returns another dtype than A has, and addmm_ refuses a mixture.
        h = F.linear(rows.to(y.dtype), self.A.to(y.dtype))
        B = self.B(y.dtype)
        if torch.compiler.is_compiling() or y._is_view():  # a compiler fuses on its own, and cannot ask
            return torch.addmm(y, h, B.T, alpha=self.scaling)
        return y.addmm_(h, B.T, alpha=self.scaling)
