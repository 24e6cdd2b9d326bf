"""Findings of a study, as sentences computed from its numbers: also where LoRI loses, and where nothing is shown.

Two scores differ "clearly" where their 95 % intervals do not overlap: a cautious rule that can miss small differences.
"""

from collections.abc import Iterable
from math import isfinite

from lori_core.figures.continual import lost_and_learned
from lori_core.figures.means import (
    Cells,
    mean_score,
    mean_value,
    merge_methods,
    merged_scores,
    methods,
    of_method,
    seeds,
    single_scores,
    values_of,
    with_control,
)
from lori_core.figures.wording import listed, mean_and_worst, method_label, number, percent, reasons, sentences
from lori_core.report.compared import Scores, above_floor, compared, floors, kept_share
from lori_core.report.footprint_findings import footprint_findings
from lori_core.results import ContinualResult, Score, StudyResult
from lori_core.translate import translate

BASELINE = "lora"


def findings(result: StudyResult, language: str = "en") -> list[str]:
    """What is reached without learning, then the key findings, most important first."""
    found = _floor_findings(result, language) + _single_findings(result, language)
    for merge in merge_methods(result):
        found += _merge_findings(result, merge, language)
    return found + _continual_findings(result.continual, language) + footprint_findings(result, language)


def warnings(result: StudyResult, language: str = "en") -> list[str]:
    """What a reader has to know before believing the findings."""
    found = []
    if len(seeds(result)) == 1:
        found.append(translate("report.warning.one_seed", language))
    for single in result.singles:
        if not all(isfinite(loss) for loss in single.training.losses):
            label = method_label(single.method, language)
            found.append(
                translate("report.warning.diverged", language, task=single.task, method=label, seed=single.seed)
            )
    for task in result.tasks:
        long = [each.training.dropped for each in result.singles if each.task == task]
        rows = result.left_out.get(task, {}) | ({"too_long": max(long)} if any(long) else {})
        if rows:
            told = reasons(rows, language)
            found.append(translate("report.warning.left_out", language, task=task, each=told))
    unlearned = [task for task in result.tasks if not _learned(result, task)]
    if unlearned:
        found.append(translate("report.warning.not_learned", language, tasks=listed(unlearned, language)))
    guessed = [task for task in floors(result) if not _above(result, task)]
    if guessed:
        found.append(translate("report.warning.at_floor", language, tasks=listed(guessed, language)))
    if any(not matrix.z for _, matrix in result.interference):
        found.append(translate("report.warning.no_null", language))
    return found


def _learned(result: StudyResult, task: str) -> bool:
    """Whether any method is clearly better than the base."""
    top = result.base_scores[task].high
    return any(score.low > top for (of, _), score in single_scores(result).items() if of == task)


def _above(result: StudyResult, task: str) -> bool:
    """Whether any method is clearly above what is reached without reading the question."""
    return any(above_floor(result, {of: score}) for (of, _), score in single_scores(result).items() if of == task)


def isolation_notes(scores: Iterable[Score], language: str) -> list[str]:
    """What held the programs that a model wrote, a sentence for each way; none where no program ran."""
    held = sorted({score.isolation for score in scores} - {""})
    return [translate(f"report.isolation.{each}", language) for each in held]


def _floor_findings(result: StudyResult, language: str) -> list[str]:
    each = [
        translate("report.finding.floor_each", language, task=task, floor=number(floor, 2))
        for task, floor in floors(result).items()
    ]
    return [translate("report.finding.floor", language, each=listed(each, language))] if each else []


def _single_findings(result: StudyResult, language: str) -> list[str]:
    """Each method against LoRA: score and trained parameters; against the base where there is no such pair."""
    cells, names = single_scores(result), methods(result)
    if BASELINE not in names or len(names) == 1:
        return [_against_base(result, method, of_method(cells, method), language) for method in names]
    theirs = of_method(cells, BASELINE)
    found = []
    for method in names:
        ours = of_method(cells, method)
        tasks = [task for task in ours if task in theirs]
        if method == BASELINE or not tasks:
            continue
        both = [{task: scores[task] for task in tasks} for scores in (ours, theirs)]
        our_mean, their_mean = (mean_value(scores.values()) for scores in both)
        label, baseline = method_label(method, language), method_label(BASELINE, language)
        shares = their_mean > 0 and above_floor(result, both[0]) and above_floor(result, both[1])
        sentence = translate(
            "report.finding.single" if shares else "report.finding.single_zero",
            language,
            method=label,
            baseline=baseline,
            share=percent(our_mean / their_mean) if shares else "",
            ours=mean_and_worst(values_of(both[0]), language),
            theirs=mean_and_worst(values_of(both[1]), language),
            parameters=percent(_parameters(result, method) / _parameters(result, BASELINE)),
        )
        found.append(sentences([sentence, compared(ours, theirs, label, baseline, language)], language))
    return found


def _against_base(result: StudyResult, method: str, ours: Scores, language: str) -> str:
    base = {task: mean_score([result.base_scores[task]]) for task in ours}
    label = method_label(method, language)
    said = translate(
        "report.finding.against_base",
        language,
        method=label,
        ours=mean_and_worst(values_of(ours), language),
        base=mean_and_worst(values_of(base), language),
    )
    return sentences([said, compared(ours, base, label, translate("report.base", language), language)], language)


def _merge_findings(result: StudyResult, merge: str, language: str) -> list[str]:
    """What each method keeps when merged, how it compares with LoRA merged, and what the shared-A control does."""
    single, ours = single_scores(result), merged_scores(result, merge)
    control = with_control(ours, merged_scores(result, merge, shared=True))
    theirs = of_method(ours, BASELINE)
    found = []
    for method in methods(result):
        scores = of_method(ours, method)
        if not scores:
            continue
        label = method_label(method, language)
        sentence = _kept(result, merge, of_method(single, method), scores, label, language)
        if method != BASELINE and theirs:
            comparison = compared(scores, theirs, label, method_label(BASELINE, language), language)
            against = translate("report.finding.against_merged", language) + comparison
            sentence = sentences([sentence, against], language)
        found.append(sentence)
    return [*found, _control(ours, control, language)] if control else found


def _kept(result: StudyResult, merge: str, single: Scores, merged: Scores, label: str, language: str) -> str:
    """The share of the mean gain over the base that is left after merging; only the scores where there is no gain."""
    parts = [{task: scores[task].value for task in merged} for scores in (single, merged, result.base_scores)]
    share = kept_share(result, single, merged)
    return translate(
        "report.finding.merged_no_gain" if share is None else "report.finding.merged",
        language,
        merge=merge,
        method=label,
        kept="" if share is None else percent(share),
        single=mean_and_worst(parts[0], language),
        merged=mean_and_worst(parts[1], language),
        base=mean_and_worst(parts[2], language),
    )


def _control(own: Cells, shared: Cells, language: str) -> str:
    """Merged scores with one A for all tasks against an A for each, and in how many cases they clearly differ.

    Args:
        shared: cells that are in own too.
    """
    each = [
        translate(
            "report.finding.control_each",
            language,
            method=method_label(method, language),
            shared=mean_and_worst(values_of(of_method(shared, method)), language),
            own=mean_and_worst({task: own[task, method].value for task in of_method(shared, method)}, language),
        )
        for method in dict.fromkeys(method for _, method in shared)
    ]
    lower = sum(score.high < own[cell].low for cell, score in shared.items())
    higher = sum(score.low > own[cell].high for cell, score in shared.items())
    shown = "report.finding.control_counts" if lower or higher else "report.finding.control_same"
    counts = translate(shown, language, lower=lower, higher=higher, cases=len(shared))
    return sentences([translate("report.finding.control", language, each=listed(each, language)), counts], language)


def _continual_findings(sequences: tuple[ContinualResult, ...], language: str) -> list[str]:
    """What the tasks before the last lost, and in the same breath what the later ones reached, by condition."""
    several = [sequence for sequence in sequences if len(sequence.order) > 1]
    if not several:
        return []
    order, each = " → ".join(several[0].order), lost_and_learned(several, language)
    return [translate("report.finding.continual", language, order=order, each=each)]


def _parameters(result: StudyResult, method: str) -> float:
    counts = [single.trained_parameters for single in result.singles if single.method == method]
    return sum(counts) / len(counts)
