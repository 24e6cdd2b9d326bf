"""Judging a control: whether the thing that a lesson claims to matter does better than the same without it.

One rule for all of them, from intervals alone. With the mean difference of K pairs, whose intervals are joined by the
method of variance estimates recovery (Zou and Donner 2008, Statistics in Medicine 27; for one pair of shares it is
Newcombe's interval, 1998, Statistics in Medicine 17),

    low = d - sqrt(Σ (a_k - low_a)² + (high_b - b_k)²) / K
    high = d + sqrt(Σ (high_a - a_k)² + (b_k - low_b)²) / K

    shown       low > 0      the claim does better than the control
    opposite    high < 0     the control does better: the claim is wrong here
    not shown   otherwise    neither; a small difference may be there all the same

The pairs are taken as independent. Scores of the same examples are not, which only makes the interval wider than need
be: what is shown is shown.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from lori_core.evaluation.intervals import Z95
from lori_core.figures.wording import number
from lori_core.translate import translate

Verdict = Literal["shown", "not_shown", "opposite"]


class Interval(Protocol):
    """A value with its 95 % interval: a Score, a Share, an Estimate."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def normal(value: float, sd: float) -> Estimate:
    """The estimate whose error is normal with that standard deviation."""
    return Estimate(value, value - Z95 * sd, value + Z95 * sd)


@dataclass(frozen=True)
class Judged:
    """The mean of (claim - control), its 95 % interval, and what follows from it."""

    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        return "shown" if self.low > 0 else "opposite" if self.high < 0 else "not_shown"

    def said(self, claim: str, control: str, language: str) -> str:
        """The verdict with the numbers that it follows from.

        Args:
            claim, control: names of the two.
        """
        numbers, names = (self.difference, self.low, self.high), (claim, control)
        if self.verdict == "opposite":
            numbers, names = (-self.difference, -self.high, -self.low), names[::-1]
        values = dict(zip(("difference", "low", "high"), (number(each) for each in numbers), strict=True))
        return translate(f"lessons.control.{self.verdict}", language, first=names[0], second=names[1], **values)


def judge(claim: Mapping[str, Interval], control: Mapping[str, Interval]) -> Judged:
    """Whether the claim does better than the control on average over the tasks, where more is better.

    Args:
        claim, control: task, or what else was measured -> its measure; the control has all that the claim has.
    """
    pairs, count = [(claim[task], control[task]) for task in claim], len(claim)
    difference = sum(a.value - b.value for a, b in pairs) / count
    below = math.hypot(*(each for a, b in pairs for each in (a.value - a.low, b.high - b.value))) / count
    above = math.hypot(*(each for a, b in pairs for each in (a.high - a.value, b.value - b.low))) / count
    return Judged(difference, difference - below, difference + above)
