"""Findings on a conditioned A against the random A of the same method: merge, price, forecast, sequence.

Each is a sentence computed from the numbers, and none is said where a study did not measure it. Two scores differ
"clearly" where their 95 % intervals do not overlap, as in compared.py.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from lori_core.figures.forecast import forecast_and_measured, how_well_forecast
from lori_core.figures.means import (
    Interval,
    at_one_scores,
    mean_score,
    merge_methods,
    merged_scores,
    methods,
    of_method,
    single_scores,
    values_of,
)
from lori_core.figures.wording import listed, mean_and_worst, method_label, number, percent, sentences
from lori_core.report.compared import Scores, compared, kept_share
from lori_core.results import ContinualResult, PairMatrix, StudyResult
from lori_core.translate import translate

CONDITIONED = "_conditioned"


def footprint_findings(result: StudyResult, language: str = "en") -> list[str]:
    """On what A was conditioned where it was not the other tasks; of each method with a conditioned A; then of the
    forecast, which is of random A too."""
    found = _given(result, language)
    for merge in merge_methods(result):
        found += [_merged_at_one(result, merge, method, language) for method in _with_weight_one(result, merge)]
    for method, partner in against_random(result):
        found.append(_price(result, method, partner, language))
        found += _sequence(result.continual, method, partner, language)
    return found + _forecast(result.interference, language)


def _given(result: StudyResult, language: str) -> list[str]:
    names = [_named(Path(folder)) for folder in result.config.get("footprints", ())]
    return [translate("report.finding.given_footprints", language, names=", ".join(names))] if names else []


def _named(folder: Path) -> str:
    """A version of a store lies in a folder NAME/3."""
    return f"{folder.parent.name}@{folder.name}" if folder.name.isdigit() else folder.name


def against_random(result: StudyResult) -> list[tuple[str, str]]:
    """(method with a conditioned A, the same with a random one) of those that the study has both of."""
    there = methods(result)
    both = [(method, method.removesuffix(CONDITIONED)) for method in there if method.endswith(CONDITIONED)]
    return [(method, partner) for method, partner in both if partner in there]


def _with_weight_one(result: StudyResult, merge: str) -> list[str]:
    known = at_one_scores(result, merge)
    return [method for method in methods(result) if method.endswith(CONDITIONED) and of_method(known, method)]


def _merged_at_one(result: StudyResult, merge: str, method: str, language: str) -> str:
    """At weight 1, and where the random A is there, beside that at its best searched weight."""
    scores = of_method(at_one_scores(result, merge), method)
    said = [_kept(result, merge, method, scores, "at_one", language)]
    partner = method.removesuffix(CONDITIONED)
    if theirs := of_method(merged_scores(result, merge), partner):
        said.append(_kept(result, merge, partner, theirs, "searched", language))
        labels = (method_label(method, language), method_label(partner, language))
        said.append(compared(scores, theirs, *labels, language))
    return sentences(said, language)


def _kept(result: StudyResult, merge: str, method: str, scores: Scores, which: str, language: str) -> str:
    share = kept_share(result, of_method(single_scores(result), method), scores)
    return translate(
        f"report.finding.{which}" if share is not None else f"report.finding.{which}_no_gain",
        language,
        merge=merge,
        method=method_label(method, language),
        kept="" if share is None else percent(share),
        scores=mean_and_worst(values_of(scores), language),
    )


def _price(result: StudyResult, method: str, partner: str, language: str) -> str:
    """What the conditioned A costs a single adapter."""
    ours, theirs = (of_method(single_scores(result), each) for each in (method, partner))
    return _against("price", (method, partner), ours, theirs, language)


def _sequence(sequences: Sequence[ContinualResult], method: str, partner: str, language: str) -> list[str]:
    """At the end, on the tasks before the last."""
    ours, theirs = (_final(sequences, each) for each in (method, partner))
    if not ours or ours.keys() != theirs.keys():
        return []
    return [_against("sequence", (method, partner), ours, theirs, language)]


def _against(which: str, methods: tuple[str, str], ours: Scores, theirs: Scores, language: str) -> str:
    """Both means with their worst tasks, and on which tasks one is clearly higher."""
    labels = (method_label(methods[0], language), method_label(methods[1], language))
    said = translate(
        f"report.finding.{which}",
        language,
        method=labels[0],
        random=labels[1],
        ours=mean_and_worst(values_of(ours), language),
        theirs=mean_and_worst(values_of(theirs), language),
    )
    return sentences([said, compared(ours, theirs, *labels, language)], language)


def _final(sequences: Sequence[ContinualResult], method: str) -> dict[str, Interval]:
    found = [sequence for sequence in sequences if sequence.method == method]
    order = found[0].order if found else ()
    return {task: mean_score(each.scores[-1][place] for each in found) for place, task in enumerate(order[:-1])}


def _forecast(interference: Sequence[tuple[str, PairMatrix]], language: str) -> list[str]:
    """The mean over pairs as it was forecast and as it was measured, and whether the order of pairs was right."""
    points = forecast_and_measured(interference)
    if not points:
        return []
    each = [
        translate(
            "report.finding.forecast_each",
            language,
            method=method_label(method, language),
            forecast=number(fmean(forecast for _, forecast, _ in found), 2),
            measured=number(fmean(measured for *_, measured in found), 2),
        )
        for method, found in points.items()
    ]
    said = translate("report.finding.forecast", language, each=listed(each, language))
    return [sentences([said, how_well_forecast(points, language)], language)]
