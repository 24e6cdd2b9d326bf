"""Chance overlap of two masks that keep how often each row (output) and each column (rank) is kept.

Masks prefer outputs: what moves most depends on W and on the loss, not on the task alone. Two masks that prefer the
same outputs share more entries than their counts would give, and agree on no entry for that. What independence makes
exchangeable, beside all that preference, depends on A:

    independent A   row k of one A has nothing to do with row k of the other: the columns of one mask are permuted
    one shared A    columns belong together: rows are permuted among those of equal counts in both masks

Either way the overlap is Σ_i C[i, π(i)] of a random permutation π, whose mean and variance are exact (W. Hoeffding,
A combinatorial central limit theorem, 1951):

    mean = Σ C / n,   variance = Σ D² / (n - 1),   D = C less its row means and column means, plus its mean
"""

import numpy as np
import torch
from torch import Tensor

Moments = tuple[float, float]  # mean, variance


def chance_overlap(s: np.ndarray, t: np.ndarray, shared: bool) -> Moments:
    """Mean and variance of the entries that both keep.

    Args:
        s, t: (out_features, rank) of ones and zeros, of one module; of fewer than 2^24 outputs.
        shared: both have the same A.
    """
    if shared:
        return _within_rows_alike(s.astype(np.float64), t.astype(np.float64))
    ones_s, ones_t = (mask.astype(np.float32, copy=False) for mask in (s, t))  # counts are exact in fp32 too
    return _permuted((ones_s.T @ ones_t).astype(np.float64))


def same_projection(s: Tensor, t: Tensor) -> bool:
    """Whether two A (rank, in_features) are one."""
    return s is t or (s.shape == t.shape and torch.equal(s, t))


def _permuted(C: np.ndarray) -> Moments:
    """Σ_i C[i, π(i)] over all permutations. C: (n, n) whole numbers, so that what cannot vary has variance 0."""
    n = len(C)
    if n == 1:
        return float(C[0, 0]), 0.0
    D = n**2 * C - n * C.sum(axis=0) - n * C.sum(axis=1, keepdims=True) + C.sum()  # n² D, exact
    return C.sum() / n, np.square(D).sum() / n**4 / (n - 1)


def _within_rows_alike(s: np.ndarray, t: np.ndarray) -> Moments:
    """Rows permuted among those that keep as many entries in s and as many in t; C = s tᵀ is not formed."""
    alike = s.sum(axis=1) * (t.shape[1] + 1) + t.sum(axis=1)
    mean = variance = 0.0
    for kind in np.unique(alike):
        rows_s, rows_t = s[alike == kind], t[alike == kind]
        n, columns_s, columns_t = len(rows_s), rows_s.sum(axis=0), rows_t.sum(axis=0)
        mean += columns_s @ columns_t / n
        if n > 1:  # n times the scatter of the rows, exact; Σ D² is the inner product of the two scatters
            scatter_s, scatter_t = (
                n * rows.T @ rows - np.outer(sums, sums) for rows, sums in ((rows_s, columns_s), (rows_t, columns_t))
            )
            variance += (scatter_s * scatter_t).sum() / n**2 / (n - 1)
    return mean, variance
