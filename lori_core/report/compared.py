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
    """Of the mean gain over the base, on the tasks that were merged; None where there is hardly a gain."""
    before, after, base = (
        fmean(scores[task].value for task in merged) for scores in (single, merged, result.base_scores)
    )
    return (after - base) / (before - base) if before - base > SMALLEST_GAIN else None
