"""Results of a run, first of all that its page shows: scores by task and method with intervals, and against another's.

What a run of each kind measured is brought into one form, so that any two can be compared.
"""

from dataclasses import dataclass
from functools import lru_cache
from html import escape
from math import isfinite
from pathlib import Path

from app.lab import Context
from app.tables import pairs
from lori_core.errors import RunError
from lori_core.figures.means import Interval, mean_score, mean_value
from lori_core.figures.overview import WAYS, overview
from lori_core.figures.wording import NO_NUMBER, method_label, number, with_interval
from lori_core.report.verdict import verdict
from lori_core.results import ContinualResult, MergeTrial, SingleResult, StudyResult
from lori_core.study.runs import Run

COLUMNS = ("base", *WAYS)
JUDGED = ("alone", "sequence", "merged")  # what a run is judged by: the first of these that was scored


@dataclass(frozen=True)
class Line:
    """One task by one method. scores: which of COLUMNS -> score."""

    task: str
    method: str
    scores: dict[str, Interval]


@dataclass(frozen=True)
class Best:
    """Of the methods the one with the highest mean score over tasks."""

    method: str
    score: float


def lines(run: Run) -> tuple[Line, ...]:
    """Empty where the run has no scores, or has not finished."""
    try:
        known = (run.path / "result.json").stat()
    except OSError:
        return ()
    return _lines(run.path, known.st_mtime_ns)


def best(run: Run) -> Best | None:
    """By the first of JUDGED, of a merge by what was merged; a method with a score that is no number is left out."""
    judged = ("merged",) if run.kind == "merge_trial" else JUDGED
    by_method: dict[str, list[Interval]] = {}
    for line in lines(run):
        column = next((each for each in judged if each in line.scores), None)
        if column:
            by_method.setdefault(line.method, []).append(line.scores[column])
    means = {method: mean for method, scores in by_method.items() if isfinite(mean := mean_value(scores))}
    method = max(means, key=means.__getitem__, default=None)
    return None if method is None else Best(method, means[method])


def results(page: Context, run: Run) -> str:
    """HTML; empty where there are no scores."""
    found = lines(run)
    if not found:
        return ""
    shown = [column for column in COLUMNS if any(column in line.scores for line in found)]
    head = [page.say("results.task"), page.say("results.method"), *(page.say(f"results.{each}") for each in shown)]
    rows = [
        [line.task, _method(page, line), *(interval(line.scores.get(column)) for column in shown)] for line in found
    ]
    said = ""
    if run.kind == "study":
        _, word, reason = verdict(run.result_as(StudyResult), page.language)
        said = f'<p class="lead"><strong>{escape(word)}</strong> {escape(reason)}</p>'
    note = f'<p class="hint">{escape(page.say("results.note"))}</p>'
    return f'<section class="results">{said}{pairs(head, rows)}{note}</section>'


def differences_of_scores(page: Context, run: Run, base: Run) -> str:
    """Of what both runs scored: run minus base, with the interval of the difference. HTML; empty: nothing in common."""
    theirs = {(line.task, line.method): line.scores for line in lines(base)}
    rows = []
    for line in lines(run):
        other = theirs.get((line.task, line.method), {})
        for column in (way for way in WAYS if way in line.scores and way in other):
            one, two = other[column], line.scores[column]
            difference = two.minus(one)
            clear = page.say("results.clear") if difference.low > 0 or difference.high < 0 else ""
            cells = (interval(one), interval(two), interval(difference, signed=True), clear)
            rows.append([line.task, _method(page, line), page.say(f"results.{column}"), *cells])
    if not rows:
        return f"<p>{escape(page.say('results.nothing_shared'))}</p>"
    names = ("task", "method", "what", "first", "second", "difference", "clearly")
    head = [page.say(f"results.{name}") for name in names]
    return f'{pairs(head, rows)}<p class="hint">{escape(page.say("results.difference_note"))}</p>'


def interval(score: Interval | None, signed: bool = False) -> str:
    """ "0.91 (0.86–0.94)"; of a difference, "+0.03 (−0.02 … 0.08)"."""
    if score is None:
        return NO_NUMBER
    if not signed:
        return with_interval(*score[:3])
    value, low, high = (number(part, 2) for part in score[:3])
    return f"{'' if value.startswith('−') else '+'}{value} ({low} … {high})"


def _method(page: Context, line: Line) -> str:
    return method_label(line.method, page.language) if line.method else page.say("results.several")


@lru_cache(maxsize=256)
def _lines(path: Path, _: int) -> tuple[Line, ...]:
    """The second argument changes with the file."""
    try:
        run = Run.open(path)
        return tuple(READ[run.kind](run)) if run.kind in READ else ()
    except RunError:  # it is damaged, as what shows it says
        return ()


def _of_study(run: Run) -> list[Line]:
    return [
        Line(row.task, row.method, {"base": row.base} | {way: each.score for way, each in row.reached.items()})
        for row in overview(run.result_as(StudyResult))
    ]


def _of_training(run: Run) -> list[Line]:
    result = run.result_as(SingleResult)
    return [Line(result.task, result.method, {"alone": mean_score([result.score])})]


def _of_sequence(run: Run) -> list[Line]:
    result = run.result_as(ContinualResult)
    last = zip(result.order, result.scores[-1], strict=True)
    return [Line(task, result.method, {"sequence": mean_score([score])}) for task, score in last]


def _of_merge(run: Run) -> list[Line]:
    result = run.result_as(MergeTrial)
    return [
        Line(task, "", {"base": mean_score([result.base[task]]), "alone": mean_score([result.before[task]])}
             | {"merged": mean_score([result.after[task]])})
        for task in result.tasks
    ]  # fmt: skip


READ = {"study": _of_study, "train": _of_training, "continual": _of_sequence, "merge_trial": _of_merge}
