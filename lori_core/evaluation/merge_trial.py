"""Merges on trial: each task scored by the base, its own adapter and all in one; the best weights; what is kept."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from torch import nn

from lori_core.bases.attach import applied
from lori_core.config import MERGE_BUDGET, Granularity, Split
from lori_core.errors import IncompatibleAdapters
from lori_core.evaluation.weight_search import GroupWeights, climb
from lori_core.method.adapter import Adapter
from lori_core.method.masks import GROUP_KEY
from lori_core.method.merge import merge
from lori_core.results import MergeTrial, Score
from lori_core.tasks.task import Task

Scorer = Callable[[Task, Split], Score]  # of the model as it is at that moment


def best_weight(weights: Sequence[float], mean_score: Callable[[float], float]) -> tuple[float, dict[float, float]]:
    """The weight whose mean score is best, the first of several such, and the mean score of each that was tried."""
    means = {weight: mean_score(weight) for weight in weights}
    return max(weights, key=means.__getitem__), means


def accuracy(score: Score) -> float | None:
    return score.value


def less_loss(score: Score) -> float | None:
    """The held-out loss, negative, so that more is better as of every other measure."""
    return -score.loss.value if score.loss else None


def retention(
    base: Mapping[str, Score],
    single: Mapping[str, Score],
    merged: Mapping[str, Score],
    measure: Callable[[Score], float | None] = accuracy,
) -> dict[str, float]:
    """(merged - base) / (single - base) of each task on which the single adapter gained anything."""
    kept = {}
    for task in single:
        before, alone, after = (measure(scores[task]) for scores in (base, single, merged))
        if before is not None and alone is not None and after is not None and alone > before:
            kept[task] = (after - before) / (alone - before)
    return kept


def merge_trial(
    model: nn.Module,
    tasks: Sequence[Task],
    adapters: Sequence[Adapter],
    score: Scorer,
    *,
    method: str,
    weights: Sequence[float],
    options: Mapping[str, Any] | None = None,
    scales: Sequence[float] = (1.0,),
    groups: Granularity | None = None,
    budget: int = MERGE_BUDGET,
    name: str = "merged",
) -> tuple[Adapter, MergeTrial]:
    """The merged adapter, and what it was measured by.

    Args:
        tasks: one for each adapter, all different.
        method, weights, options: as merge() has them.
        scales: of all weights; where there are several, the best mean score on validation decides.
        groups: then each adapter's scale is searched by itself in each such group of modules, among scales and 0, by
            the same score, with so many more merges as budget says.
    Raises:
        IncompatibleAdapters: tasks and adapters do not pair up, or as merge() has it.
    """
    if len(tasks) != len(adapters):
        raise IncompatibleAdapters("tasks_count", tasks=len(tasks), adapters=len(adapters))

    group_of = {module: GROUP_KEY[groups or "model"](module) for each in adapters[:1] for module in each.factors}

    def merged(scaled: GroupWeights) -> Adapter:
        by_group = {
            group: [scale * weight for scale, weight in zip(own, weights, strict=True)] for group, own in scaled.items()
        }
        by_module = {module: by_group[group] for module, group in group_of.items()}
        chosen = by_module if groups else next(iter(by_group.values()), ())
        return merge(adapters, method, chosen, name, **(options or {}))

    def alike(scale: float) -> GroupWeights:
        return dict.fromkeys(group_of.values(), (scale,) * len(weights))

    def scores(adapter: Adapter, split: Split) -> dict[str, Score]:
        with applied(model, adapter):
            return {task.name: score(task, split) for task in tasks}

    def mean(scaled: GroupWeights) -> float:
        return fmean(score.value for score in scores(merged(scaled), "validation").values())

    merged(alike(scales[0]))  # what does not fit is refused before anything is scored
    base = {task.name: score(task, "test") for task in tasks}
    before = {}
    for task, adapter in zip(tasks, adapters, strict=True):
        with applied(model, adapter):
            before[task.name] = score(task, "test")
    best, means, climbed = scales[0], {}, None
    if len(scales) > 1 or groups:
        best, means = best_weight(scales, lambda scale: mean(alike(scale)))
    if groups:
        grid = sorted({0.0, *scales})
        climbed = climb(mean, list(dict.fromkeys(group_of.values())), len(adapters), grid, best, means[best], budget)
    adapter = merged(climbed.weights if climbed else alike(best))
    result = MergeTrial(
        tasks=tuple(task.name for task in tasks),
        adapters=tuple(adapter.name for adapter in adapters),
        merge=method,
        weights=tuple(adapter.record["merge"]["weights"]),
        validation={f"{scale:g}": mean for scale, mean in means.items()},
        base=base,
        before=before,
        after=scores(adapter, "test"),
        groups=climbed.weights if climbed else {},
        climbed=climbed.mean if climbed else None,
        tried=climbed.tried if climbed else 0,
    )
    return adapter, result
