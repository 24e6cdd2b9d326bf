"""Means over seeds of what a study measured: the numbers that figures and findings share."""

from collections.abc import Iterable, Mapping
from math import hypot
from statistics import fmean
from typing import NamedTuple

from lori_core.results import MergedResult, Score, StudyResult


class Interval(NamedTuple):
    """A score, 0 to 1, with its 95 % interval over the test examples; over several seeds, the mean of each.

    loss: the held-out loss beside it, nats a response token; None: not known.
    """

    value: float
    low: float
    high: float
    loss: float | None = None

    def minus(self, other: "Interval") -> "Interval":
        """The difference of two scores of which neither knows the other's examples, with its 95 % interval.

        By the method of variance estimates recovery from both intervals (Zou and Donner 2008, Statistics in Medicine
        27); of paired scores it is wider than need be.
        """
        value = self.value - other.value
        below, above = (
            hypot(self.value - self.low, other.high - other.value),
            hypot(self.high - self.value, other.value - other.low),
        )
        return Interval(value, value - below, value + above)

    def overlaps(self, other: "Interval") -> bool:
        return self.low <= other.high and other.low <= self.high


Cells = dict[tuple[str, str], Interval]  # (task, method) -> score


def mean_score(scores: Iterable[Score]) -> Interval:
    scores = list(scores)
    losses = [score.loss.value for score in scores if score.loss]
    loss = fmean(losses) if losses and len(losses) == len(scores) else None
    return Interval(fmean(s.value for s in scores), fmean(s.low for s in scores), fmean(s.high for s in scores), loss)


def mean_value(cells: Iterable[Interval]) -> float:
    return fmean(cell.value for cell in cells)


def methods(result: StudyResult) -> list[str]:
    return list(dict.fromkeys(single.method for single in result.singles))


def seeds(result: StudyResult) -> list[int]:
    return list(dict.fromkeys(single.seed for single in result.singles))


def merge_methods(result: StudyResult) -> list[str]:
    """Those by which adapters that have an A each were merged."""
    return list(dict.fromkeys(merged.merge for merged in result.merges if not merged.shared_projection))


def merges_of(result: StudyResult, merge: str, method: str, shared: bool = False) -> list[MergedResult]:
    """The merges of one kind, one a seed."""
    return [m for m in result.merges if (m.merge, m.method, m.shared_projection) == (merge, method, shared)]


def single_scores(result: StudyResult) -> Cells:
    found: dict[tuple[str, str], list[Score]] = {}
    for single in result.singles:
        found.setdefault((single.task, single.method), []).append(single.score)
    return {cell: mean_score(scores) for cell, scores in found.items()}


def merged_scores(result: StudyResult, merge: str, shared: bool = False) -> Cells:
    """(task, method) -> score of the merged adapter; shared: of the control whose adapters share one A."""
    found: dict[tuple[str, str], list[Score]] = {}
    for merged in result.merges:
        if merged.merge == merge and merged.shared_projection == shared:
            for task, score in merged.scores.items():
                found.setdefault((task, merged.method), []).append(score)
    return {cell: mean_score(scores) for cell, scores in found.items()}


def at_one_scores(result: StudyResult, merge: str) -> Cells:
    """The same where every adapter had weight 1, of the methods of which that was measured; without the control."""
    found: dict[tuple[str, str], list[Score]] = {}
    for merged in result.merges:
        if merged.merge == merge and not merged.shared_projection:
            for task, score in merged.scores_at_one.items():
                found.setdefault((task, merged.method), []).append(score)
    return {cell: mean_score(scores) for cell, scores in found.items()}


def best_merge(result: StudyResult, method: str) -> str | None:
    """The merge method that was best for that method's adapters on validation, mean over seeds; None: none merged."""
    best = {
        merge: fmean(max(merged.validation.values(), default=0.0) for merged in merges)
        for merge in merge_methods(result)
        if (merges := merges_of(result, merge, method))
    }
    return max(best, key=best.__getitem__, default=None)


def with_control(ours: Cells, control: Cells) -> Cells:
    """The control's scores that stand beside one of ours: the others say nothing."""
    return {cell: score for cell, score in control.items() if cell in ours}


def values_of(scores: Mapping[str, Interval | Score]) -> dict[str, float]:
    """task -> score, without the interval."""
    return {task: score.value for task, score in scores.items()}


def of_method(cells: Cells, method: str) -> dict[str, Interval]:
    """task -> score of that method."""
    return {task: score for (task, of), score in cells.items() if of == method}
