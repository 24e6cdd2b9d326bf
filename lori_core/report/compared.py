"""Compared scores: what findings may say of two methods, and what a merge kept.

Two scores differ "clearly" where their 95 % intervals do not overlap: a cautious rule that can miss small differences.
"""

from collections.abc import Mapping
from statistics import fmean

from lori_core.figures.means import Interval
from lori_core.figures.wording import listed, sentences
from lori_core.results import StudyResult
from lori_core.translate import translate

Scores = Mapping[str, Interval]  # task -> score

SMALLEST_GAIN = 0.02  # below this mean gain over the base, a share of it is noise and is not named


def compared(ours: Scores, theirs: Scores, our_name: str, their_name: str, language: str) -> str:
    """On which tasks one is clearly higher, and that no difference is shown where the intervals overlap."""
    tasks = [task for task in ours if task in theirs]
    higher = [task for task in tasks if ours[task].low > theirs[task].high]
    lower = [task for task in tasks if theirs[task].low > ours[task].high]
    if not higher and not lower:
        return translate("report.compared.same", language)
    parts = [
        translate("report.compared.higher", language, method=name, tasks=listed(where, language))
        for name, where in ((our_name, higher), (their_name, lower))
        if where
    ]
    if len(higher) + len(lower) < len(tasks):
        parts.append(translate("report.compared.rest", language))
    return sentences(parts, language)


def kept_share(result: StudyResult, single: Scores, merged: Scores) -> float | None:
    """Of the mean gain over the base, on the tasks that were merged; None where there is hardly a gain or the
    scores are hardly above what is reached without reading the question."""
    before, after, base = (
        fmean(scores[task].value for task in merged) for scores in (single, merged, result.base_scores)
    )
    gained = before - base > SMALLEST_GAIN and above_floor(result, {task: single[task] for task in merged})
    return (after - base) / (before - base) if gained else None


def floors(result: StudyResult) -> dict[str, float]:
    """Task -> the score that is reached without reading the question, where one is known."""
    each = {task: score.floor for task, score in result.base_scores.items()}
    return {task: floor for task, floor in each.items() if floor is not None}


def above_floor(result: StudyResult, scores: Scores) -> bool:
    """Whether every score is clearly above its task's floor, so that a share of it means something."""
    lowest = floors(result)
    return all(score.low > lowest.get(task, 0.0) for task, score in scores.items() if task in lowest)
