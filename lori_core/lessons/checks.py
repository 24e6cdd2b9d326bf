"""Checks, one for each exercise of the notebooks: the right answer, and what typical mistakes would give.

Each takes the student's function and the language of the message, says that it is right, or raises WrongAnswer.
"""

import math
from collections.abc import Sequence
from statistics import fmean, pstdev, stdev
from typing import Any

import torch
from torch import Tensor, nn

from lori_core.bases.layer import LoRILinear
from lori_core.lessons.answers import Function, compare, is_open, kind_of
from lori_core.lessons.wrong_answer import WrongAnswer
from lori_core.method.masks import magnitude_masks
from lori_core.method.merge_parts import elect
from lori_core.method.metrics import forgetting as measured_forgetting
from lori_core.method.metrics import random_jaccard
from lori_core.translate import translate

# --- 1  from LoRA to LoRI


def counts(function: Function, language: str) -> str:
    """(out_features, in_features, rank, sparsity) -> trained values of (LoRA, LoRI-D, LoRI-S)."""

    def lori_s(kept: Function) -> Function:
        return lambda out, width, rank, sparsity: (rank * (out + width), out * rank, kept(out * rank, sparsity))

    right = lori_s(lambda entries, sparsity: round((1 - sparsity) * entries))
    mistakes = {
        "whole_matrix": lambda out, width, rank, s: (out * width, *right(out, width, rank, s)[1:]),
        "projection_counted": lambda out, width, rank, s: (rank * (out + width),) * 2 + right(out, width, rank, s)[2:],
        "sparsity_kept": lori_s(lambda entries, sparsity: round(sparsity * entries)),
        "unrounded": lori_s(lambda entries, sparsity: (1 - sparsity) * entries),
        "cut_off": lori_s(lambda entries, sparsity: int((1 - sparsity) * entries)),
    }
    # 67.9, 82.4 and 48.05 values: no way of rounding but the nearest is right for all
    cases = [(97, 160, 7, 0.9), (103, 160, 8, 0.9), (31, 40, 31, 0.95)]
    return compare("counts", function, cases, right, mistakes, language)


def layer(kind: Function, language: str) -> str:
    """kind(W, A, B, mask, scaling): a module whose forward is the base's output plus the masked update."""

    def right(W: Tensor, A: Tensor, B: Tensor, mask: Tensor, scaling: float, x: Tensor) -> Tensor:
        base = nn.Linear(W.shape[1], W.shape[0], bias=False)
        base.weight.data = W
        return LoRILinear(base, A, B * mask, mask, scaling)(x).detach()

    def answer(W: Tensor, A: Tensor, B: Tensor, mask: Tensor, scaling: float, x: Tensor) -> Any:
        return kind(W, A, B, mask, scaling)(x)

    mistakes = {
        "no_scaling": lambda W, A, B, mask, scaling, x: right(W, A, B, mask, 1.0, x),
        "no_mask": lambda W, A, B, mask, scaling, x: right(W, A, B, torch.ones_like(mask), scaling, x),
        "no_base": lambda W, A, B, mask, scaling, x: scaling * x @ A.T @ (mask * B).T,
        "base_scaled": lambda W, A, B, mask, scaling, x: scaling * right(W, A, B, mask, 1.0, x),
        "outside": lambda W, A, B, mask, scaling, x: right(W, A, B, ~mask, scaling, x),
    }
    W, A, B, x = _tensors((24, 16), (4, 16), (24, 4), (2, 3, 16))
    cases = [(W, A, B, B > 0.3, 2.0, x[0]), (W, A, B, B < 0.1, 0.5, x)]
    return compare("layer", answer if callable(kind) else kind, cases, right, mistakes, language)


def merged_weight(function: Function, language: str) -> str:
    """(W, A, B, mask, scaling) -> the one matrix that does what the layer does."""

    def right(W: Tensor, A: Tensor, B: Tensor, mask: Tensor, scaling: float) -> Tensor:
        return W + scaling * (mask * B) @ A

    mistakes = {
        "no_scaling": lambda W, A, B, mask, scaling: right(W, A, B, mask, 1.0),
        "no_mask": lambda W, A, B, mask, scaling: right(W, A, B, torch.ones_like(mask), scaling),
        "update_alone": lambda W, A, B, mask, scaling: right(W, A, B, mask, scaling) - W,
        "base_scaled": lambda W, A, B, mask, scaling: scaling * right(W, A, B, mask, 1.0),
        "outside": lambda W, A, B, mask, scaling: right(W, A, B, ~mask, scaling),
        "taken_away": lambda W, A, B, mask, scaling: right(W, A, B, mask, -scaling),
    }
    W, A, B = _tensors((24, 16), (4, 16), (24, 4))
    cases = [(W, A, B, B > 0.3, 2.0), (W, A, B, B < 0.1, 0.5)]
    return compare("merged_weight", function, cases, right, mistakes, language)


# --- 2  why a random A


def cosine(function: Function, language: str) -> str:
    """(dW_s, dW_t) -> their cosine as vectors."""

    def right(s: Tensor, t: Tensor) -> float:
        return float((s * t).sum() / (s.norm() * t.norm()))

    mistakes = {
        "not_normalised": lambda s, t: float((s * t).sum()),
        "squared_norms": lambda s, t: float((s * t).sum() / (s.norm() * t.norm()) ** 2),
        "matrix_product": lambda s, t: float(torch.trace(s @ t.T @ s @ t.T) / (s.norm() * t.norm())),
        "absolute": lambda s, t: abs(right(s, t)),
        "mean": lambda s, t: right(s, t) / s.numel(),
    }
    s, t = _tensors((6, 5), (6, 5))
    return compare("cosine", function, [(s, t), (s + t, t), (s, -t - s)], right, mistakes, language)


def spread(function: Function, language: str) -> str:
    """(cosines) -> their root mean square."""

    def right(cosines: Sequence[float]) -> float:
        return math.sqrt(fmean(each**2 for each in cosines))

    mistakes = {
        "mean": lambda cosines: fmean(cosines),
        "absolute": lambda cosines: fmean(map(abs, cosines)),
        "no_root": lambda cosines: right(cosines) ** 2,
        "around_mean": lambda cosines: pstdev(cosines),
        "sample": lambda cosines: stdev(cosines),
        "summed": lambda cosines: right(cosines) * math.sqrt(len(cosines)),
        "largest": lambda cosines: max(map(abs, cosines)),
    }
    cases = [([0.3, -0.1, 0.25],), ([-0.05, 0.02, -0.4, 0.1],)]
    return compare("spread", function, cases, right, mistakes, language)


def inner_product(function: Function, language: str) -> str:
    """(A_s, B_s, A_t, B_t) -> the inner product of the two updates, from rank-sized matrices."""
    mistakes = {
        "only_B": lambda A_s, B_s, A_t, B_t: float((B_s.T @ B_t).sum()),
        "matrix_product": lambda A_s, B_s, A_t, B_t: float((B_s.T @ B_t @ A_s @ A_t.T).sum()),
        "transposed": lambda A_s, B_s, A_t, B_t: float(((B_s.T @ B_t) * (A_t @ A_s.T)).sum()),
        "not_summed": lambda A_s, B_s, A_t, B_t: (B_s.T @ B_t) * (A_s @ A_t.T),
    }

    def right(A_s: Tensor, B_s: Tensor, A_t: Tensor, B_t: Tensor) -> float:
        return float(((B_s @ A_s) * (B_t @ A_t)).sum())

    cases = [tuple(_tensors((4, 9), (7, 4), (4, 9), (7, 4))), tuple(_tensors((2, 6), (5, 2), (2, 6), (5, 2)))]
    return compare("inner_product", function, cases, right, mistakes, language)


# --- 3  calibrate a mask


def keep_largest(function: Function, language: str) -> str:
    """(B, sparsity) -> a mask that is True at the largest entries."""

    def right(B: Tensor, sparsity: float) -> Tensor:
        return magnitude_masks({"": B}, sparsity)[""]

    mistakes = {
        "smallest": lambda B, sparsity: right(1 / B, sparsity),
        "sparsity_kept": lambda B, sparsity: right(B, 1 - sparsity),
        "signed": lambda B, sparsity: right(B - B.min(), sparsity),
        "one_short": lambda B, sparsity: B.abs() > B.abs()[right(B, sparsity)].min(),
        "cut_off": lambda B, sparsity: _largest(B, int((1 - sparsity) * B.numel())),
        "values": lambda B, sparsity: B * right(B, sparsity),
    }
    one, other, third = _tensors((12, 5), (9, 3), (10, 2))
    # 12, 2.7 and 5 entries
    return compare("keep_largest", function, [(one, 0.8), (other, 0.9), (third, 0.75)], right, mistakes, language)


def jaccard(function: Function, language: str) -> str:
    """(mask_s, mask_t) -> entries that both keep / entries that either keeps."""

    def right(s: Tensor, t: Tensor) -> float:
        return int((s & t).sum()) / int((s | t).sum())

    mistakes = {
        "share_of_one": lambda s, t: int((s & t).sum()) / int(s.sum()),
        "dice": lambda s, t: 2 * int((s & t).sum()) / int(s.sum() + t.sum()),
        "agreement": lambda s, t: float((s == t).float().mean()),
        "of_all": lambda s, t: float((s & t).float().mean()),
        "distance": lambda s, t: 1 - right(s, t),
    }
    a, b = _tensors((20, 6), (20, 6))
    cases = [(a > 0.8, b > -0.2), (a > 0, a + b > 0), (a > 0.5, a < -0.5)]
    return compare("jaccard", function, cases, right, mistakes, language)


def scattered(function: Function, language: str) -> str:
    """(mask, order) -> a mask that keeps as many entries, at the places that come first in the order."""

    def first(mask: Tensor, order: Tensor, k: int) -> Tensor:
        return torch.zeros(mask.numel(), dtype=torch.bool).index_fill_(0, order[:k], True).view(mask.shape)

    def right(mask: Tensor, order: Tensor) -> Tensor:
        return first(mask, order, int(mask.sum()))

    mistakes = {
        "last": lambda mask, order: first(mask, order.flip(0), int(mask.sum())),
        "not_kept": lambda mask, order: first(mask, order, int((~mask).sum())),
        "outside": lambda mask, order: ~right(mask, order),
        "shuffled": lambda mask, order: mask.flatten()[order].view(mask.shape),
        "same_places": lambda mask, order: mask,
        "one_short": lambda mask, order: first(mask, order, int(mask.sum()) - 1),
        "in_order": lambda mask, order: first(mask, torch.arange(len(order)), int(mask.sum())),
    }
    a, b, order, other = _tensors((12, 5), (9, 3), (60,), (27,))
    cases = [(a > 0.8, order.argsort()), (b > 0.3, other.argsort())]
    return compare("scattered", function, cases, right, mistakes, language)


# --- 4  train LoRI-D and LoRI-S


def masked_step(function: Function, language: str) -> str:
    """(B, gradient, mask, learning_rate) -> B after one step of plain gradient descent."""
    mistakes = {
        "no_mask": lambda B, gradient, mask, rate: B - rate * gradient,
        "uphill": lambda B, gradient, mask, rate: B + rate * mask * gradient,
        "erased": lambda B, gradient, mask, rate: mask * (B - rate * gradient),
        "outside": lambda B, gradient, mask, rate: B - rate * ~mask * gradient,
        "no_rate": lambda B, gradient, mask, rate: B - mask * gradient,
        "step_alone": lambda B, gradient, mask, rate: -rate * mask * gradient,
    }
    B, gradient = _tensors((8, 3), (8, 3))
    cases = [(B, gradient, gradient.abs() > 0.5, 0.1), (gradient, B, B > 0, 2.0)]
    return compare("masked_step", function, cases, lambda B, g, mask, rate: B - rate * mask * g, mistakes, language)


def adam_bytes(function: Function, language: str) -> str:
    """trained values -> bytes of the state that AdamW keeps for them."""
    mistakes = {
        "one_moment": lambda trained: 4 * trained,
        "in_bits": lambda trained: 64 * trained,
        "with_values": lambda trained: 12 * trained,
        "in_numbers": lambda trained: 2 * trained,
    }
    return compare("adam_bytes", function, [(1000,), (7,)], lambda trained: 8 * trained, mistakes, language)


def mask_bytes(function: Function, language: str) -> str:
    """(entries, sparsity) -> the fewest bytes that say which entries a mask keeps, its entropy."""

    def bits(p: float) -> float:
        return -p * math.log2(p)

    def right(entries: int, sparsity: float) -> float:
        return entries * (bits(sparsity) + bits(1 - sparsity)) / 8

    mistakes = {
        "in_bits": lambda entries, sparsity: 8 * right(entries, sparsity),
        "one_bit": lambda entries, sparsity: entries / 8,
        "kept_side": lambda entries, sparsity: entries * bits(1 - sparsity) / 8,
        "other_side": lambda entries, sparsity: entries * bits(sparsity) / 8,
        "nats": lambda entries, sparsity: right(entries, sparsity) * math.log(2),
        "negative": lambda entries, sparsity: -right(entries, sparsity),
        "places": lambda entries, sparsity: (1 - sparsity) * entries * math.log2(entries) / 8,
    }
    cases = [(1000, 0.9), (4096, 0.75), (64, 0.5)]
    return compare("mask_bytes", function, cases, right, mistakes, language)


# --- 5  interference


def chance_overlap(function: Function, language: str) -> str:
    """sparsity -> Jaccard of two random masks."""
    mistakes = {
        "kept_share": lambda sparsity: 1 - sparsity,
        "both": lambda sparsity: (1 - sparsity) ** 2,
        "sparsity_used": lambda sparsity: sparsity / (2 - sparsity),
        "either": lambda sparsity: 1 - sparsity**2,
        "counted_twice": lambda sparsity: (1 - sparsity) / 2,
    }
    return compare("chance_overlap", function, [(0.8,), (0.9,), (0.3,)], random_jaccard, mistakes, language)


def z_score(function: Function, language: str) -> str:
    """(value, null_mean, null_sd) -> how many standard deviations the value is from chance."""
    mistakes = {
        "not_centred": lambda value, mean, sd: value / sd,
        "variance": lambda value, mean, sd: (value - mean) / sd**2,
        "not_scaled": lambda value, mean, sd: value - mean,
        "absolute": lambda value, mean, sd: abs(value - mean) / sd,
        "turned": lambda value, mean, sd: (mean - value) / sd,
    }
    cases = [(0.31, 0.05, 0.02), (0.01, 0.05, 0.02)]
    return compare("z_score", function, cases, lambda value, mean, sd: (value - mean) / sd, mistakes, language)


def energy(function: Function, language: str) -> str:
    """(dW, moments) -> E‖dW x‖² where E[x xᵀ] = moments."""

    def right(dW: Tensor, moments: Tensor) -> float:
        return float(((dW @ moments) * dW).sum())

    mistakes = {
        "any_input": lambda dW, moments: float(dW.square().sum()),
        "root": lambda dW, moments: right(dW, moments) ** 0.5,
        "moments_squared": lambda dW, moments: float((dW @ moments).square().sum()),
        "not_squared": lambda dW, moments: float((dW @ moments).sum()),
        "by_output": lambda dW, moments: ((dW @ moments) * dW).sum(dim=1),
        "not_summed": lambda dW, moments: (dW @ moments) * dW,
        "matrix": lambda dW, moments: dW @ moments @ dW.T,
        "mean": lambda dW, moments: right(dW, moments) / len(dW),
    }
    dW, x, other, y = _tensors((6, 5), (40, 5), (3, 8), (9, 8))
    return compare("energy", function, [(dW, x.T @ x / 40), (other, y.T @ y / 9)], right, mistakes, language)


# --- 6  merge


def concat(function: Function, language: str) -> str:
    """(A_s, B_s, A_t, B_t, weight) -> (A, B) whose product is the weighted sum of both updates."""

    def product(A_s: Tensor, B_s: Tensor, A_t: Tensor, B_t: Tensor, weight: float) -> Any:
        """What a pair of factors amounts to; what is no such pair is refused by what it is."""
        got = function(A_s, B_s, A_t, B_t, weight)
        if got is None or is_open(got):
            return got
        if isinstance(got, Tensor) and got.shape == (len(B_s), A_s.shape[1]):
            raise WrongAnswer("concat.dense", language)
        if not (isinstance(got, tuple | list) and len(got) == 2 and all(isinstance(each, Tensor) for each in got)):
            pair = translate("lessons.kinds.factors", language)
            raise WrongAnswer("kind", language, got=kind_of(got, language), expected=pair)
        rank, shapes = len(A_s) + len(A_t), tuple(tuple(each.shape) for each in got)
        expected = ((rank, A_s.shape[1]), (B_s.shape[0], rank))
        if shapes == expected[::-1]:
            raise WrongAnswer("concat.swapped", language)
        if shapes == (tuple(A_s.shape), tuple(B_s.shape)):
            raise WrongAnswer("concat.factors_added", language)
        if shapes != expected:
            raise WrongAnswer("concat.shapes", language, got=shapes, expected=expected)
        return got[1] @ got[0]

    def summed(of_s: Function, of_t: Function) -> Function:
        return lambda A_s, B_s, A_t, B_t, weight: of_s(weight) * B_s @ A_s + of_t(weight) * B_t @ A_t

    mistakes = {
        "no_weight": summed(lambda weight: 1, lambda weight: 1),
        "weight_squared": summed(lambda weight: weight**2, lambda weight: weight**2),
        "one_weighted": summed(lambda weight: weight, lambda weight: 1),
        "other_weighted": summed(lambda weight: 1, lambda weight: weight),
        "mean": summed(lambda weight: weight / 2, lambda weight: weight / 2),
    }
    right = summed(lambda weight: weight, lambda weight: weight)
    cases = [(*_tensors((3, 8), (6, 3), (3, 8), (6, 3)), 0.4), (*_tensors((5, 8), (6, 5), (2, 8), (6, 2)), 3.0)]
    return compare("concat", product if callable(function) else function, cases, right, mistakes, language)


def ties(function: Function, language: str) -> str:
    """updates (tasks, entries) -> the mean of those whose sign is that of the sum."""

    def agrees(updates: Tensor) -> Tensor:
        return updates.sign() == updates.sum(dim=0).sign()

    mistakes = {
        "plain_mean": lambda updates: updates.mean(dim=0),
        "counted_votes": lambda updates: _mean_of(updates, updates.sign().sum(dim=0).sign()),
        "all_tasks": lambda updates: (updates * agrees(updates)).mean(dim=0),
        "not_divided": lambda updates: (updates * agrees(updates)).sum(dim=0),
        "no_clamp": lambda updates: (updates * agrees(updates)).sum(dim=0) / agrees(updates).sum(dim=0),
    }
    tied = [2.0, -1.0, -1.0]  # sums to zero: no sign is elected, and nobody agrees
    updates = torch.tensor([[3.0, 1.0, -2.0, 0.5], [-1.0, 1.0, -2.0, 0.4], [-1.0, -4.0, 1.0, 0.6]])
    cases = [(torch.cat([updates, torch.tensor(tied)[:, None]], dim=1),), tuple(_tensors((4, 9)))]
    return compare("ties", function, cases, elect, mistakes, language)


def dare(function: Function, language: str) -> str:
    """(update, dropped, drop) -> the update without what is dropped, the rest rescaled so that its mean stays."""
    mistakes = {
        "not_rescaled": lambda update, dropped, drop: update * ~dropped,
        "only_dropped": lambda update, dropped, drop: update * dropped / (1 - drop),
        "by_dropped_share": lambda update, dropped, drop: update * ~dropped / drop,
        "made_smaller": lambda update, dropped, drop: update * ~dropped * (1 - drop),
        "nothing_dropped": lambda update, dropped, drop: update / (1 - drop),
        "dropped_kept": lambda update, dropped, drop: torch.where(dropped, update, update / (1 - drop)),
    }
    update, chance = _tensors((6, 5), (6, 5))
    cases = [(update, chance > 0.5, 0.3), (chance, update < 0.8, 0.8)]
    return compare(
        "dare", function, cases, lambda update, dropped, drop: update * ~dropped / (1 - drop), mistakes, language
    )


# --- 7  continual learning


def forgetting(function: Function, language: str) -> str:
    """score matrix (row: after task i, column: on task j) -> best earlier minus final score, a number a task."""
    mistakes = {
        "sign": lambda matrix: tuple(-each for each in measured_forgetting(matrix)),
        "first_score": lambda matrix: tuple(matrix[j][j] - matrix[-1][j] for j in range(3)),
        "before_learned": lambda matrix: tuple(max(row[j] for row in matrix[:-1]) - matrix[-1][j] for j in range(3)),
        "with_final": lambda matrix: tuple(max(each, 0.0) for each in measured_forgetting(matrix)),
        "last_left_out": lambda matrix: measured_forgetting(matrix)[:-1],
        "mean": lambda matrix: sum(measured_forgetting(matrix)) / 3,
    }
    worse = [[0.8, 0.1, 0.7], [0.9, 0.6, 0.2], [0.5, 0.75, 0.65]]
    better = [[0.5, 0.2, 0.1], [0.6, 0.4, 0.3], [0.8, 0.3, 0.9]]  # the first task is helped by later ones
    return compare("forgetting", function, [(worse,), (better,)], measured_forgetting, mistakes, language)


def free_entries(function: Function, language: str) -> str:
    """(movement, held, k) -> a mask of the k largest entries that no earlier task holds."""

    def right(movement: Tensor, held: Tensor, k: int) -> Tensor:
        return _largest(movement.masked_fill(held, 0), k)

    mistakes = {
        "held_ignored": lambda movement, held, k: _largest(movement, k),
        "taken_away_after": lambda movement, held, k: _largest(movement, k) & ~held,
        "only_held": lambda movement, held, k: _largest(movement.masked_fill(~held, 0), k),
        "all_free": lambda movement, held, k: ~held,
        "signed": lambda movement, held, k: _largest((movement - movement.min() + 1).masked_fill(held, 0), k),
    }
    movement, other = _tensors((10, 6), (10, 6))
    cases = [(movement, other > 0.2, 9), (other, movement > 0, 20)]
    return compare("free_entries", function, cases, right, mistakes, language)


def blind(function: Function, language: str) -> str:
    """(A, seen) -> A without what its rows read along the orthonormal rows of `seen`."""

    def along(A: Tensor, seen: Tensor) -> Tensor:
        return A @ seen.T @ seen

    mistakes = {
        "only_seen": along,
        "added": lambda A, seen: A + along(A, seen),
        "mirrored": lambda A, seen: A - 2 * along(A, seen),
        "first_only": lambda A, seen: A - along(A, seen[:1]),
        "one_by_one": lambda A, seen: A - A * seen.square().sum(dim=0),
        "rescaled": lambda A, seen: (A - along(A, seen)) * A.norm() / (A - along(A, seen)).norm(),
        "unchanged": lambda A, seen: A,
    }
    A, other, one, two = _tensors((4, 9), (3, 6), (9, 3), (6, 2))
    cases = [(A, torch.linalg.qr(one).Q.T.contiguous()), (other, torch.linalg.qr(two).Q.T.contiguous())]
    return compare("blind", function, cases, lambda A, seen: A - along(A, seen), mistakes, language)


# --- 8  a proof of concept


def retention(function: Function, language: str) -> str:
    """(base, single, merged) -> the share of what the adapter gained that the merge keeps."""

    def right(base: float, single: float, merged: float) -> float:
        return (merged - base) / (single - base)

    mistakes = {
        "base_ignored": lambda base, single, merged: merged / single,
        "lost": lambda base, single, merged: (single - merged) / (single - base),
        "upside_down": lambda base, single, merged: 1 / right(base, single, merged),
        "points": lambda base, single, merged: merged - base,
        "in_percent": lambda base, single, merged: 100 * right(base, single, merged),
        "at_most_one": lambda base, single, merged: min(1.0, right(base, single, merged)),
    }
    return compare("retention", function, [(0.2, 0.8, 0.65), (0.1, 0.5, 0.6)], right, mistakes, language)


def decide(function: Function, language: str) -> str:
    """(sparsity -> score, tolerance) -> the highest sparsity whose score is within the tolerance of the best."""

    def highest(enough: Function) -> Function:
        return lambda scores, tolerance: max(s for s, value in scores.items() if enough(scores, value, tolerance))

    right = highest(lambda scores, value, tolerance: value >= max(scores.values()) - tolerance)
    mistakes = {
        "best_score": lambda scores, tolerance: max(scores, key=lambda sparsity: scores[sparsity]),
        "highest": lambda scores, tolerance: max(scores),
        "against_dense": highest(lambda scores, value, tolerance: value >= scores[0.0] - tolerance),
        "strict": highest(lambda scores, value, tolerance: value > max(scores.values()) - tolerance),
        "score": lambda scores, tolerance: scores[right(scores, tolerance)],
        "lowest": lambda scores, tolerance: min(s for s, v in scores.items() if v >= max(scores.values()) - tolerance),
    }
    # sixteenths, which are exact in binary: 0.8 is just within the tolerance
    cases = [
        ({0.0: 0.8125, 0.5: 0.875, 0.8: 0.8125, 0.9: 0.75, 0.99: 0.375}, 0.0625),
        ({0.9: 0.75, 0.5: 0.9375, 0.0: 0.5, 0.8: 0.8125, 0.7: 0.84375}, 0.125),
    ]
    return compare("decide", function, cases, right, mistakes, language)


def examples_needed(function: Function, language: str) -> str:
    """(share, half_width) -> the fewest examples whose 95 % interval of the share is no wider to either side."""

    def exact(share: float, half_width: float) -> float:
        return 1.96**2 * share * (1 - share) / half_width**2

    def right(share: float, half_width: float) -> int:
        return math.ceil(exact(share, half_width))

    mistakes = {
        "cut_off": lambda share, half_width: int(exact(share, half_width)),
        "rounded": lambda share, half_width: round(exact(share, half_width)),
        "unrounded": exact,
        "standard_error": lambda share, half_width: math.ceil(share * (1 - share) / half_width**2),
        "whole_width": lambda share, half_width: right(share, half_width / 2),
        "share_alone": lambda share, half_width: math.ceil(1.96**2 * share / half_width**2),
        "not_squared": lambda share, half_width: math.ceil(1.96 * share * (1 - share) / half_width),
    }
    # 245.9, 96.04 and 384.2: going down, to the nearest and up differ
    cases = [(0.8, 0.05), (0.5, 0.1), (0.5, 0.05)]
    return compare("examples_needed", function, cases, right, mistakes, language)


# --- 9  on a real language model


def overlap_by_counts(function: Function, language: str) -> str:
    """(kept_s, kept_t, entries), of each module -> Jaccard of masks that lie anywhere within each module."""

    def shared(s: Sequence[int], t: Sequence[int], entries: Sequence[int]) -> list[float]:
        return [k_s * k_t / n for k_s, k_t, n in zip(s, t, entries, strict=True)]

    def of(both: float, s: Sequence[int], t: Sequence[int]) -> float:
        return both / (sum(s) + sum(t) - both)

    def each(s: Sequence[int], t: Sequence[int], entries: Sequence[int]) -> list[float]:
        return [of(both, [k_s], [k_t]) for both, k_s, k_t in zip(shared(s, t, entries), s, t, strict=True)]

    mistakes = {
        "pooled": lambda s, t, entries: of(sum(s) * sum(t) / sum(entries), s, t),
        "mean_of_modules": lambda s, t, entries: fmean(each(s, t, entries)),
        "by_module": lambda s, t, entries: torch.tensor(each(s, t, entries)),
        "both": lambda s, t, entries: sum(shared(s, t, entries)) / sum(entries),
        "counted_twice": lambda s, t, entries: sum(shared(s, t, entries)) / (sum(s) + sum(t)),
        "most": lambda s, t, entries: of(sum(map(min, s, t)), s, t),
        "not_divided": lambda s, t, entries: sum(shared(s, t, entries)),
    }
    cases = [([90, 10, 20], [60, 30, 5], [100, 100, 400]), ([3, 8], [2, 8], [10, 20])]
    return compare(
        "overlap_by_counts",
        function,
        cases,
        lambda s, t, entries: of(sum(shared(s, t, entries)), s, t),
        mistakes,
        language,
    )


def kept_gain(function: Function, language: str) -> str:
    """(bare, alone, merged), losses -> the share of the single adapter's gain that the merge keeps."""

    def right(bare: float, alone: float, merged: float) -> float:
        return (bare - merged) / (bare - alone)

    mistakes = {
        "lost": lambda bare, alone, merged: (merged - alone) / (bare - alone),
        "turned": lambda bare, alone, merged: (bare - alone) / (bare - merged),
        "sign": lambda bare, alone, merged: -right(bare, alone, merged),
        "of_bare": lambda bare, alone, merged: (bare - merged) / bare,
        "ratio": lambda bare, alone, merged: alone / merged,
        "difference": lambda bare, alone, merged: bare - merged,
        "absolute": lambda bare, alone, merged: abs(right(bare, alone, merged)),
        "cut_at_zero": lambda bare, alone, merged: max(0.0, right(bare, alone, merged)),
    }
    cases = [(2.1, 1.5, 1.7), (2.1, 1.5, 2.4), (0.9, 0.4, 0.6)]  # the second merge does worse than the bare base
    return compare("kept_gain", function, cases, right, mistakes, language)


def times_likelier(function: Function, language: str) -> str:
    """(before, after, tokens): losses a token, tokens of a response -> how many times likelier it has become."""
    mistakes = {
        "a_token": lambda before, after, tokens: math.exp(before - after),
        "turned": lambda before, after, tokens: math.exp((after - before) * tokens),
        "nats": lambda before, after, tokens: (before - after) * tokens,
        "bits": lambda before, after, tokens: 2.0 ** ((before - after) * tokens),
        "tokens_times": lambda before, after, tokens: math.exp(before - after) * tokens,
        "ratio": lambda before, after, tokens: before / after,
        "before_alone": lambda before, after, tokens: math.exp(before * tokens),
    }
    cases = [(1.9, 1.7, 8), (0.6, 0.65, 20)]
    return compare(
        "times_likelier", function, cases, lambda before, after, n: math.exp((before - after) * n), mistakes, language
    )


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
