"""Parts of merge methods: what goes into one and comes out, a dW as factors, and steps that several methods take."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lori_core.method.adapter import Factors, dense_factors
from lori_core.method.footprint import Moments
from lori_core.method.masks import magnitude_masks
from lori_core.method.projection import uniform


@dataclass(frozen=True)
class Part:
    """One adapter's share in a module.

    Attributes:
        name: unlike that of any other part.
        moments: what the adapter's task feeds into the module; None where no footprints were given.
    """

    name: str
    factors: Factors
    weight: float
    moments: Moments | None = None

    @property
    def scale(self) -> float:
        return self.weight * self.factors.scaling


@dataclass(frozen=True)
class Merged:
    """One module of the result, and what writing it as factors cost.

    Attributes:
        lost: squared Frobenius norm of the method's dW minus what the factors give.
        size: squared Frobenius norm of the method's dW.
    """

    factors: Factors
    lost: float = 0.0
    size: float = 0.0


def factorise(update: Tensor, rank: int | None) -> Merged:
    """A dense dW (out_features, in_features) as factors: B = U S, A = Vᵀ of its singular value decomposition.

    Args:
        rank: at most this many singular values stay; None: all above rounding error, so that nothing is lost.
    """
    U, S, Vh = torch.linalg.svd(update, full_matrices=False)
    stays = max(1, above_rounding(S, update))  # one even for dW = 0: a rank of 0 is no adapter
    stays = min(stays, rank or stays)
    A, B = Vh[:stays].contiguous(), U[:, :stays] * S[:stays]
    lost = (update - B @ A).square().sum().item()
    return Merged(dense_factors(A, B), lost, update.square().sum().item())


def compress(factors: Factors, rank: int | None) -> Merged:
    """The same dW, or its best approximation of a rank, in the fewest factors; dW itself is never formed.

    Only the (rank, rank) core between the QR factors of both sides is decomposed.

    Args:
        rank: as factorise has it.
    """
    left, left_core = torch.linalg.qr(factors.scaling * factors.B)
    right, right_core = torch.linalg.qr(factors.A.T)
    core = factorise(left_core @ right_core.T, rank)
    return replace(core, factors=dense_factors(core.factors.A @ right.T, left @ core.factors.B))


def above_rounding(singular: Tensor, matrix: Tensor) -> int:
    """How many of the matrix's singular values, largest first, are more than rounding (torch.linalg.matrix_rank's)."""
    rounding = singular[:1].sum() * max(matrix.shape) * torch.finfo(singular.dtype).eps
    return int(singular.gt(rounding).sum())


def trim(module: str, values: Tensor, keep: float) -> Tensor:
    """The share of the entries that is largest, one at least; the others zero. module: for what goes wrong."""
    sparsity = min(1 - keep, 1 - 1 / values.numel())
    return values * magnitude_masks({module: values}, sparsity)[module].to(values.device)


def drop_at_random(values: Tensor, drop: float, *key: object) -> Tensor:
    """Each entry zero with probability drop, else divided by 1 - drop; the same entries for the same key."""
    return values * ~dropped(tuple(values.shape), drop, *key).to(values.device) / (1 - drop)


def dropped(shape: tuple[int, ...], drop: float, *key: object) -> Tensor:
    """bool, True with probability drop; the same entries for the same key."""
    return torch.from_numpy(uniform(shape, "dare", *key)) < 2 * drop - 1


def elect(values: Tensor) -> Tensor:
    """TIES: an entry's sign is that of its sum over the tasks; the mean over the tasks whose entry has that sign.

    Where the sum is zero no sign is elected and the entry is zero.

    Args:
        values: (T, ...), trimmed.
    """
    agrees = (values.sign() == values.sum(dim=0).sign()) & (values != 0)
    return (values * agrees).sum(dim=0) / agrees.sum(dim=0).clamp(min=1)
