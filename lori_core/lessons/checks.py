"""Checks, one for each exercise of the notebooks: the right answer, and what three typical mistakes would give.

Each takes the student's answer and the language of the message, says that the answer is right, or raises WrongAnswer.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lori_core.bases.layer import LoRILinear
from lori_core.lessons.answers import called, compare
from lori_core.method.masks import magnitude_masks
from lori_core.method.metrics import forgetting as measured_forgetting
from lori_core.method.metrics import random_jaccard

Function = Callable[..., Any]


# --- 1  from LoRA to LoRI


def counts(function: Function, language: str) -> str:
    """(out_features, in_features, rank, sparsity) -> trained values of (LoRA, LoRI-D, LoRI-S)."""
    out, width, rank, sparsity = 96, 160, 8, 0.75
    kept = round((1 - sparsity) * out * rank)
    right = (rank * (out + width), out * rank, kept)
    mistakes = {
        "whole_matrix": (out * width, out * rank, kept),
        "projection_counted": (rank * (out + width), rank * (out + width), kept),
        "sparsity_kept": (rank * (out + width), out * rank, round(sparsity * out * rank)),
    }
    return compare("counts", called(function, out, width, rank, sparsity), right, mistakes, language)


def layer(kind: Callable[..., nn.Module], language: str) -> str:
    """kind(W, A, B, mask, scaling): a module whose forward is the base's output plus the masked update."""
    W, A, B, x = _tensors((24, 16), (4, 16), (24, 4), (3, 16))
    mask, scaling = B > 0.3, 2.0
    base = nn.Linear(16, 24, bias=False)
    base.weight.data = W
    right = LoRILinear(base, A, B * mask, mask, scaling)(x).detach()
    mistakes = {
        "no_scaling": x @ W.T + x @ A.T @ (mask * B).T,
        "no_mask": x @ W.T + scaling * x @ A.T @ B.T,
        "no_base": scaling * x @ A.T @ (mask * B).T,
    }
    return compare("layer", called(kind(W, A, B, mask, scaling), x), right, mistakes, language)


# --- 2  why a random A


def cosine(function: Function, language: str) -> str:
    """(dW_s, dW_t) -> their cosine as vectors."""
    s, t = _tensors((6, 5), (6, 5))
    inner, norm_s, norm_t = (s * t).sum(), s.norm(), t.norm()
    mistakes = {
        "not_normalised": inner,
        "squared_norms": inner / (norm_s * norm_t) ** 2,
        "matrix_product": torch.trace(s @ t.T @ s @ t.T) / (norm_s * norm_t),
    }
    return compare("cosine", called(function, s, t), inner / (norm_s * norm_t), mistakes, language)


def inner_product(function: Function, language: str) -> str:
    """(A_s, B_s, A_t, B_t) -> the inner product of the two updates, from rank-sized matrices."""
    A_s, B_s, A_t, B_t = _tensors((4, 9), (7, 4), (4, 9), (7, 4))
    overlap_B, overlap_A = B_s.T @ B_t, A_s @ A_t.T
    mistakes = {
        "only_B": overlap_B.sum(),
        "matrix_product": (overlap_B @ overlap_A).sum(),
        "transposed": (overlap_B * overlap_A.T).sum(),
    }
    right = ((B_s @ A_s) * (B_t @ A_t)).sum()
    return compare("inner_product", called(function, A_s, B_s, A_t, B_t), right, mistakes, language)


# --- 3  calibrate a mask


def keep_largest(function: Function, language: str) -> str:
    """(B, sparsity) -> a mask that is True at the largest entries."""
    (B,) = _tensors((12, 5))
    sparsity = 0.8
    mistakes = {
        "smallest": magnitude_masks({"": 1 / B}, sparsity)[""],
        "sparsity_kept": magnitude_masks({"": B}, 1 - sparsity)[""],
        "signed": magnitude_masks({"": B - B.min()}, sparsity)[""],
    }
    right = magnitude_masks({"": B}, sparsity)[""]
    return compare("keep_largest", called(function, B, sparsity), right, mistakes, language)


def jaccard(function: Function, language: str) -> str:
    """(mask_s, mask_t) -> entries that both keep / entries that either keeps."""
    a, b = _tensors((20, 6), (20, 6))
    s, t = a > 0.8, b > -0.2
    both = int((s & t).sum())
    mistakes = {
        "share_of_one": both / int(s.sum()),
        "dice": 2 * both / int(s.sum() + t.sum()),
        "agreement": float((s == t).float().mean()),
    }
    return compare("jaccard", called(function, s, t), both / int((s | t).sum()), mistakes, language)


# --- 4  train LoRI-D and LoRI-S


def adam_bytes(function: Function, language: str) -> str:
    """trained values -> bytes of the state that AdamW keeps for them."""
    trained = 1000
    mistakes = {"one_moment": 4 * trained, "in_bits": 64 * trained, "with_values": 12 * trained}
    return compare("adam_bytes", called(function, trained), 8 * trained, mistakes, language)


def masked_step(function: Function, language: str) -> str:
    """(B, gradient, mask, learning_rate) -> B after one step of plain gradient descent."""
    B, gradient = _tensors((8, 3), (8, 3))
    mask, rate = gradient.abs() > 0.5, 0.1
    mistakes = {
        "no_mask": B - rate * gradient,
        "uphill": B + rate * mask * gradient,
        "erased": mask * (B - rate * gradient),
    }
    return compare(
        "masked_step", called(function, B, gradient, mask, rate), B - rate * mask * gradient, mistakes, language
    )


# --- 5  interference


def chance_overlap(function: Function, language: str) -> str:
    """sparsity -> Jaccard of two random masks."""
    sparsity, kept = 0.8, 0.2
    mistakes = {"kept_share": kept, "both": kept**2, "sparsity_used": sparsity / (2 - sparsity)}
    return compare("chance_overlap", called(function, sparsity), random_jaccard(sparsity), mistakes, language)


def z_score(function: Function, language: str) -> str:
    """(value, null_mean, null_sd) -> how many standard deviations the value is from chance."""
    value, mean, sd = 0.31, 0.05, 0.02
    mistakes = {"not_centred": value / sd, "variance": (value - mean) / sd**2, "not_scaled": value - mean}
    return compare("z_score", called(function, value, mean, sd), (value - mean) / sd, mistakes, language)


# --- 6  merge


def concat(function: Function, language: str) -> str:
    """(A_s, B_s, A_t, B_t, weight) -> (A, B) whose product is the weighted sum of both updates."""
    A_s, B_s, A_t, B_t = _tensors((3, 8), (6, 3), (3, 8), (6, 3))
    weight = 0.4
    got = called(function, A_s, B_s, A_t, B_t, weight)
    if isinstance(got, tuple) and len(got) == 2 and all(isinstance(each, Tensor) for each in got):
        A, B = got
        got = B @ A
    mistakes = {
        "no_weight": B_s @ A_s + B_t @ A_t,
        "weight_squared": weight**2 * (B_s @ A_s + B_t @ A_t),
        "factors_added": weight * (B_s + B_t) @ (A_s + A_t),
    }
    return compare("concat", got, weight * (B_s @ A_s + B_t @ A_t), mistakes, language)


def ties(function: Function, language: str) -> str:
    """updates (tasks, entries) -> the mean of those whose sign is that of the sum."""
    updates = torch.tensor([[3.0, 1.0, -2.0, 0.5], [-1.0, 1.0, -2.0, 0.4], [-1.0, -4.0, 1.0, 0.6]])
    votes = updates.sign().sum(dim=0).sign()
    mistakes = {
        "plain_mean": updates.mean(dim=0),
        "counted_votes": _mean_of(updates, votes),
        "all_tasks": (updates * (updates.sign() == updates.sum(dim=0).sign())).sum(dim=0) / len(updates),
    }
    return compare("ties", called(function, updates), _mean_of(updates, updates.sum(dim=0).sign()), mistakes, language)


# --- 7  continual learning


def forgetting(function: Function, language: str) -> str:
    """score matrix (row: after task i, column: on task j) -> best earlier minus final score, a number a task."""
    matrix = [[0.8, 0.1, 0.7], [0.9, 0.6, 0.2], [0.5, 0.75, 0.65]]
    right = measured_forgetting(matrix)
    mistakes = {
        "sign": tuple(-each for each in right),
        "first_score": tuple(matrix[j][j] - matrix[-1][j] for j in range(3)),
        "before_learned": tuple(max(row[j] for row in matrix[:-1]) - matrix[-1][j] for j in range(3)),
    }
    got = called(function, [list(row) for row in matrix])
    return compare("forgetting", tuple(got) if isinstance(got, list) else got, right, mistakes, language)


def free_entries(function: Function, language: str) -> str:
    """(movement, held, k) -> a mask of the k largest entries that no earlier task holds."""
    movement, other = _tensors((10, 6), (10, 6))
    held, k = other > 0.2, 9
    mistakes = {
        "held_ignored": _largest(movement, k),
        "taken_away_after": _largest(movement, k) & ~held,
        "only_held": _largest(movement.masked_fill(~held, 0), k),
    }
    right = _largest(movement.masked_fill(held, 0), k)
    return compare("free_entries", called(function, movement, held, k), right, mistakes, language)


# --- 8  a proof of concept


def retention(function: Function, language: str) -> str:
    """(base, single, merged) -> the share of what the adapter gained that the merge keeps."""
    base, single, merged = 0.2, 0.8, 0.65
    mistakes = {
        "base_ignored": merged / single,
        "lost": (single - merged) / (single - base),
        "upside_down": (single - base) / (merged - base),
    }
    right = (merged - base) / (single - base)
    return compare("retention", called(function, base, single, merged), right, mistakes, language)


def decide(function: Function, language: str) -> str:
    """(sparsity -> score, tolerance) -> the highest sparsity whose score is within the tolerance of the best."""
    scores: Mapping[float, float] = {0.0: 0.90, 0.5: 0.92, 0.8: 0.91, 0.9: 0.89, 0.99: 0.41}
    mistakes = {"best_score": 0.5, "highest": 0.99, "against_dense": 0.9}
    return compare("decide", called(function, dict(scores), 0.015), 0.8, mistakes, language)


# --- what the checks share


def _tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    """Normal numbers, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def _largest(values: Tensor, k: int) -> Tensor:
    largest = values.abs().flatten().topk(k).indices
    return torch.zeros(values.numel(), dtype=torch.bool).index_fill_(0, largest, True).view(values.shape)


def _mean_of(updates: Tensor, sign: Tensor) -> Tensor:
    agrees = updates.sign() == sign
    return (updates * agrees).sum(dim=0) / agrees.sum(dim=0).clamp(min=1)
