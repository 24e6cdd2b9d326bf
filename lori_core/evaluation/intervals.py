"""Intervals: shares with their 95 % intervals, and pass@k. Plain numbers in, a Score out."""

import math
from collections.abc import Mapping, Sequence

from lori_core.results import Loss, Score, Share
from lori_core.wilson import Z95, wilson


def share_of(outcomes: Sequence[float]) -> Share:
    """The mean of outcomes of 0 or 1, with Wilson's 95 % interval."""
    return Share(sum(outcomes) / len(outcomes), *wilson(sum(outcomes), len(outcomes)), len(outcomes))


def pass_at(k: int, n: int, right: int) -> float:
    """Chance that one of k samples is right, unbiased, where `right` of n are: 1 - C(n - right, k) / C(n, k).

    Chen et al. 2021, arXiv 2107.03374, section 2.1.
    """
    return 1 - math.comb(n - right, k) / math.comb(n, k)


def loss_of(nats: Sequence[float], lengths: Sequence[int]) -> Loss:
    """Nats a token over n examples, a ratio r of two sums; its interval is that of the linearised ratio:

        r = Σ nats / Σ lengths        variance = n / (n - 1) · Σ (nats_i - r · lengths_i)² / (Σ lengths)²

    Args:
        nats, lengths: of each example the loss of its response, and its tokens.
    """
    n, tokens = len(nats), sum(lengths)
    value = sum(nats) / tokens
    low = high = None
    if n > 1:
        squares = sum((own - value * length) ** 2 for own, length in zip(nats, lengths, strict=True))
        half = Z95 * math.sqrt(n / (n - 1) * squares) / tokens
        low, high = value - half, value + half
    return Loss(value, low, high, n, tokens, tuple(nats), tuple(lengths))


def score_of(
    task: str,
    split: str,
    metric: str,
    outcomes: Sequence[float],
    kinds: Sequence[str],
    seconds: float,
    prompts: str = "",
    shares: Mapping[str, Share] | None = None,
) -> Score:
    """A Score from outcomes (1.0 right, 0.0 wrong) and the kind of each example.

    The value is the mean of the K kinds' shares p_k. Its interval joins their Wilson intervals (l_k, u_k), the kinds
    being independent samples, by the method of variance estimates recovery (Zou and Donner 2008, Statistics in
    Medicine 27):

        low = value - sqrt(sum (p_k - l_k)²) / K        high = value + sqrt(sum (u_k - p_k)²) / K

    With one kind it is the Wilson interval itself.

    Args:
        shares: what else was measured, such as pass@k; the kinds' own are added where there are several.
    """
    by_kind: dict[str, list[float]] = {}
    for outcome, kind in zip(outcomes, kinds, strict=True):
        by_kind.setdefault(kind, []).append(outcome)
    each = {kind: share_of(those) for kind, those in by_kind.items()}
    value = sum(share.value for share in each.values()) / len(each)
    low = value - math.hypot(*(share.value - share.low for share in each.values())) / len(each)
    high = value + math.hypot(*(share.high - share.value for share in each.values())) / len(each)
    several = each if len(each) > 1 else {}
    return Score(
        task=task,
        split=split,
        metric=metric,
        value=value,
        low=max(0.0, low),
        high=min(1.0, high),
        n=len(outcomes),
        seconds=seconds,
        parts={kind: share.value for kind, share in several.items()},
        outcomes=tuple(outcomes),
        prompts=prompts,
        shares=several | dict(shares or {}),
    )
