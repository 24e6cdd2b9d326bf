"""Interference in weights: how the updates, masks and subspaces of adapters overlap, beside what chance would give.

Works on adapters alone: no base model, and no (out_features, in_features) update is formed, because

    ⟨dW_s, dW_t⟩ = scaling_s scaling_t Σ (B_sᵀ B_t) ⊙ (A_s A_tᵀ)

Cosine and principal angles depend on the updates only, not on how these are written as factors. A module without an
update (B = 0) has None, not a number. Every measure is a ratio of sums over modules: the value of a whole adapter is
the ratio of the summed parts, and its chance spread adds the modules' variances, which are independent.

What this cannot say: orthogonal updates do not make dW_s x small on another task's inputs x; probe.py measures that.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lori_core.errors import IncompatibleAdapters
from lori_core.method.adapter import Adapter, Factors, check_comparable
from lori_core.method.overlap_null import chance_overlap, same_projection
from lori_core.method.pair_matrix import Reading, Table, compare
from lori_core.results import PairMatrix

Space = Literal["projection", "row", "column"]


def inner_product(s: Factors, t: Factors) -> float:
    """⟨dW_s, dW_t⟩ of one module; the ranks may differ."""
    overlap = (s.B.double().T @ t.B.double()) * (s.A.double() @ t.A.double().T)
    return s.scaling * t.scaling * overlap.sum().item()


def update_norm(adapter: Adapter) -> float:
    """Frobenius norm of all updates together."""
    # a rounded sum of squares can fall below zero where the update is nearly zero
    return math.sqrt(max(0.0, sum(inner_product(factors, factors) for factors in adapter.factors.values())))


def keeps_less(adapter: Adapter) -> bool:
    """Whether its mask holds any entry of B at zero."""
    return not all(mask.all() for mask in adapter.masks.values())


def cosine_matrix(adapters: Sequence[Adapter], shared: Sequence[Adapter] | None = None) -> PairMatrix:
    """cos(dW_s, dW_t).

    The null turns one task's input space at random, independently in each module: dW_t -> dW_t R, R a random rotation
    of the d = in_features inputs. Its mean is 0 and its standard deviation is exactly

        ‖dW_sᵀ dW_t‖_F / (√d ‖dW_s‖ ‖dW_t‖)

    For independently drawn A, whose rows are nearly orthogonal and of one length, that is the formula
    ‖B_sᵀ B_t‖_F / (√d ‖B_s‖_F ‖B_t‖_F) <= 1/√d; it holds as well for trained A and for merged adapters.

    Independent A leave the cosine of related tasks a mean that is not 0: where G_s and G_t are the updates of all of W
    and dW = G P, P the projection on the r rows of A, it is (r/d) cos(G_s, G_t) to first order. Under one shared A the
    cosine is about cos(G_s, G_t) itself, so related_mean is r/d times what `shared` shows, module by module. It is
    given where all of B and no A was trained: a mask takes away entries, and with them another part of the mean.

    Args:
        shared: adapters of the same tasks, in the same order, that share one A.
    """
    found = compare("cosine", adapters, _scaled_factors, _cosine_parts, _read_cosine)
    if shared is None or any(keeps_less(each) or each.config.train_projection for each in adapters):
        return found
    return replace(found, related_mean=_related(adapters, shared))


def mask_overlap(adapters: Sequence[Adapter]) -> PairMatrix:
    """Jaccard index |both| / |either| of the masks.

    The null keeps what each mask prefers, outputs and ranks (overlap_null.py), and the index follows to first order.
    Three steps lead to the value: even_mean, masks that keep a and b of N entries of each module, anywhere: a b / N are
    in both. null_mean, above it where masks prefer the same outputs. The value, above that where they agree on entries.
    even_mean lies above random_jaccard's p / (2 - p) where masks crowd into the same modules.

    Raises:
        IncompatibleAdapters: the masks differ in shape.
    """
    _check_masks(adapters)
    return compare("jaccard", adapters, _mask_and_projection, _mask_parts, _read_jaccard)


def principal_angles(
    adapters: Sequence[Adapter], space: Space = "projection", statistic: Literal["mean", "largest"] = "mean"
) -> PairMatrix:
    """Squared cosines of the principal angles between two tasks' subspaces, or their largest cosine.

    Args:
        space: "projection": the rows of A. "row": the inputs that the update reads. "column": the outputs it writes.
        statistic: "mean": of cos² over all angles; chance is r/d, with its exact spread for random subspaces.
            "largest": cos of the smallest angle over all modules; chance is random_largest_cosine, without a spread.
    """

    def basis(factors: Factors) -> Tensor:
        return _basis(factors, space)

    if statistic == "mean":
        return compare("principal_angle", adapters, basis, _angle_parts, _read_angles)
    return compare("principal_angle", adapters, basis, _largest_angle_parts, _read_largest_angle, np.max)


def forgetting(matrix: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """By task: best earlier score since it was learned, minus the final one; negative where later tasks helped.

    Args:
        matrix: row i: after task i was learned; column j: the score on task j.
    Returns:
        one number a task; 0 for the last one, which nothing followed.
    """
    final = matrix[-1]
    earlier = [max((row[j] for row in matrix[j:-1]), default=final[j]) for j in range(len(matrix))]
    return tuple(best - last for best, last in zip(earlier, final, strict=True))


def random_jaccard(sparsity: float) -> float:
    """p / (2 - p), p = 1 - sparsity: how far two random masks over all entries overlap."""
    return (1 - sparsity) / (1 + sparsity)


def random_largest_cosine(rank_s: int, rank_t: int, dimension: int) -> float:
    """The edge to which the largest cosine of two random subspaces tends; 2 √(r/d (1 - r/d)) for equal ranks.

    √(a (1 - b)) + √(b (1 - a)) with a = r_s/d, b = r_t/d; 1 once a + b >= 1, where the two must meet.
    """
    a, b = rank_s / dimension, rank_t / dimension
    return 1.0 if a + b >= 1 else math.sqrt(a * (1 - b)) + math.sqrt(b * (1 - a))


def _scaled_factors(factors: Factors) -> tuple[Tensor, Tensor]:
    return factors.scaling * factors.B.double(), factors.A.double()


def _cosine_parts(s: tuple[Tensor, Tensor], t: tuple[Tensor, Tensor]) -> tuple[float, ...]:
    """⟨dW_s, dW_t⟩, ‖dW_s‖², ‖dW_t‖², and the null variance of the first, ‖dW_sᵀ dW_t‖² / d."""
    (B_s, A_s), (B_t, A_t) = s, t
    cross, K_s, K_t = B_s.T @ B_t, A_s @ A_s.T, A_t @ A_t.T
    inner = (cross * (A_s @ A_t.T)).sum().item()
    norms = ((B_s.T @ B_s) * K_s).sum().item(), ((B_t.T @ B_t) * K_t).sum().item()
    return inner, *norms, ((K_s @ cross @ K_t) * cross).sum().item() / A_s.shape[1]


def _read_cosine(parts: Sequence[float]) -> Reading | None:
    inner, norm_s, norm_t, variance = parts
    size = math.sqrt(max(norm_s, 0.0) * max(norm_t, 0.0))
    return Reading(inner / size, 0.0, math.sqrt(max(variance, 0.0)) / size) if size else None


def _related(adapters: Sequence[Adapter], shared: Sequence[Adapter]) -> Table:
    """T x T: Σ (r/d) cos(of the shared ones) ‖dW_s‖ ‖dW_t‖ over modules, over the whole norms; r = √(r_s r_t)."""
    control = compare("cosine", shared, _scaled_factors, _cosine_parts, _read_cosine)
    norms, sizes = [update_norm(adapter) for adapter in adapters], []  # sizes: by adapter, module -> ‖dW‖ √r
    for adapter in adapters:
        squares = {m: max(0.0, inner_product(f, f)) * f.rank for m, f in adapter.factors.items()}
        sizes.append({m: math.sqrt(square) for m, square in squares.items()})

    def mean(s: int, t: int) -> float | None:
        if s == t or not norms[s] * norms[t]:
            return None
        modules = adapters[s].factors.items()
        parts = ((control.by_module[m][s][t] or 0.0) * sizes[s][m] * sizes[t][m] / f.A.shape[1] for m, f in modules)
        return sum(parts) / (norms[s] * norms[t])

    tasks = range(len(adapters))
    return tuple(tuple(mean(s, t) for t in tasks) for s in tasks)


def _check_masks(adapters: Sequence[Adapter]) -> None:
    check_comparable(adapters)
    first = adapters[0]
    for other in adapters[1:]:
        for module, mask in other.masks.items():
            left, right = tuple(first.masks[module].shape), tuple(mask.shape)
            if left != right:
                names = {"left": first.name, "right": other.name}
                raise IncompatibleAdapters("masks_differ", module=module, left_shape=left, right_shape=right, **names)


def _mask_and_projection(factors: Factors) -> tuple[np.ndarray, Tensor]:
    return factors.mask.numpy().astype(np.float32), factors.A  # sums of ones are exact up to 2^24


def _mask_parts(s: tuple[np.ndarray, Tensor], t: tuple[np.ndarray, Tensor]) -> tuple[float, ...]:
    """Entries kept by both, by s, by t; mean and variance of the first by chance, and its mean by counts alone."""
    (mask_s, A_s), (mask_t, A_t) = s, t
    both, a, b = (float(np.vdot(x, y)) for x, y in ((mask_s, mask_t), (mask_s, mask_s), (mask_t, mask_t)))
    return both, a, b, *chance_overlap(mask_s, mask_t, same_projection(A_s, A_t)), a * b / mask_s.size


def _read_jaccard(parts: Sequence[float]) -> Reading | None:
    both, a, b, mean, variance, even = parts
    if not a + b:
        return None
    # j = x / (a + b - x) has the slope (a + b) / (a + b - x)²
    slope = (a + b) / (a + b - mean) ** 2
    value, null, by_counts = (x / (a + b - x) for x in (both, mean, even))
    return Reading(value, null, slope * math.sqrt(variance), even_mean=by_counts)


def _basis(factors: Factors, space: Space) -> Tensor:
    """(dimension, k) orthonormal basis of the subspace; k = 0 where there is no update."""
    A, B = factors.A.double(), factors.B.double()
    if space == "projection":
        spanning = A.T
    elif space == "row":
        spanning = (torch.linalg.qr(B).R @ A).T
    else:
        spanning = B @ torch.linalg.qr(A.T).R.T
    U, S, _ = torch.linalg.svd(spanning, full_matrices=False)
    rounding = S[0] * max(spanning.shape) * torch.finfo(torch.float32).eps  # the factors were fp32 before
    return U[:, S.gt(rounding)]


def _angle_parts(s: Tensor, t: Tensor) -> tuple[float, ...]:
    """Σ cos², the number of angles; mean and variance of the first for random subspaces (of a Haar rotation)."""
    (d, k_s), k_t = s.shape, t.shape[1]
    mean = k_s * k_t / d
    variance = 2 * mean * (d - k_s) * (d - k_t) / (d * max(d - 1, 1) * (d + 2))
    return (s.T @ t).square().sum().item(), min(k_s, k_t), mean, variance


def _read_angles(parts: Sequence[float]) -> Reading | None:
    overlap, angles, mean, variance = parts
    return Reading(overlap / angles, mean / angles, math.sqrt(variance) / angles) if angles else None


def _largest_angle_parts(s: Tensor, t: Tensor) -> tuple[float, ...]:
    """The largest cosine and where chance puts it; -1 where there is no subspace."""
    if not s.shape[1] or not t.shape[1]:
        return -1.0, -1.0
    largest = torch.linalg.matrix_norm(s.T @ t, 2).item()
    return min(largest, 1.0), random_largest_cosine(s.shape[1], t.shape[1], s.shape[0])


def _read_largest_angle(parts: Sequence[float]) -> Reading | None:
    return Reading(*parts) if parts[0] >= 0 else None
