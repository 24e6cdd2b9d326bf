"""Overview of a study: by task and method what the base has and what each way of using the adapters reaches."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from lori_core.figures.means import Interval, best_merge, mean_score, merges_of, methods
from lori_core.results import Score, Share, SingleResult, StudyResult

WAYS = ("alone", "merged", "sequence")  # an adapter a task; all in one; one that learned one task after another


@dataclass(frozen=True)
class Reached:
    """A score, and of each class the share of its examples that was recognised; means over seeds."""

    score: Interval
    classes: dict[str, Share]


@dataclass(frozen=True)
class Row:
    """One task learned by one method.

    Attributes:
        n: test examples. floor: reached without reading the question; None: not known.
        reached: way -> what it reaches, of those ways that the study measured.
        trained, file_bytes, seconds: values, bytes and training time of the task's own adapter, means over seeds;
            file_bytes is None where nothing is stored.
    """

    task: str
    method: str
    n: int
    base: Interval
    floor: float | None
    reached: dict[str, Reached]
    trained: float
    file_bytes: float | None
    seconds: float


def overview(result: StudyResult) -> list[Row]:
    """A row a task and method, tasks outermost."""
    return [
        _row(result, task, method, runs)
        for task in result.tasks
        for method in methods(result)
        if (runs := [single for single in result.singles if (single.task, single.method) == (task, method)])
    ]


def _row(result: StudyResult, task: str, method: str, runs: Sequence[SingleResult]) -> Row:
    base = result.base_scores[task]
    by_way = {
        "alone": [run.score for run in runs],
        "merged": _merged(result, task, method),
        "sequence": _after_sequence(result, task, method),
    }
    stored = [run.file_bytes for run in runs if run.file_bytes is not None]
    return Row(
        task=task,
        method=method,
        n=runs[0].score.n,
        base=mean_score([base]),
        floor=base.floor,
        reached={way: Reached(mean_score(scores), _classes(scores)) for way, scores in by_way.items() if scores},
        trained=fmean(run.trained_parameters for run in runs),
        file_bytes=fmean(stored) if stored else None,
        seconds=fmean(run.seconds for run in runs),
    )


def _merged(result: StudyResult, task: str, method: str) -> list[Score]:
    """By the merge method that was best on validation."""
    merge = best_merge(result, method)
    merges = merges_of(result, merge, method) if merge else []
    return [merged.scores[task] for merged in merges if task in merged.scores]


def _after_sequence(result: StudyResult, task: str, method: str) -> list[Score]:
    sequences = [each for each in result.continual if each.method == method and len(each.order) > 1]
    return [each.scores[-1][each.order.index(task)] for each in sequences if task in each.order]


def _classes(scores: Sequence[Score]) -> dict[str, Share]:
    """All of one test, so each class has as many examples in every seed."""
    found = {}
    for name in scores[0].recall:
        shares = [score.recall[name] for score in scores if name in score.recall]
        value, low, high = (fmean(getattr(share, part) for share in shares) for part in ("value", "low", "high"))
        found[name] = Share(value, low, high, shares[0].n)
    return found
