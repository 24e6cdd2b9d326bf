"""Decision: go, no-go or not yet, by one rule for each way of using a study's adapters.

A method passes a way where on each task

1. the 95 % interval of its score reaches at most ROOM to either side, else there are too few examples to decide,
2. the score is clearly above the base model and above what is reached without reading the question,
3. each of K classes is clearly recognised more often than by chance, 1 / K,
4. merged or in sequence, the score is not clearly below that of the task's own adapter.

"Clearly" is beyond the interval. Go: a method passes. No-go: each fails a task by its numbers. Not yet: none passes,
and of one of them it is examples that are missing. Numbers in, plain values out; verdict.py has the words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from lori_core.figures.overview import WAYS, Row

ROOM = 0.10  # a score, 0 to 1
ENOUGH = 100  # test examples at which no share has an interval that reaches further (a test tries all of them)

State = Literal["go", "not_yet", "no_go"]
STATES: tuple[State, ...] = ("go", "not_yet", "no_go")  # the best first


@dataclass(frozen=True)
class Reason:
    """Why a task does not pass. what: few | base | floor | class_few | class_lost | lower; name: of the class."""

    what: str
    row: Row
    name: str = ""

    @property
    def state(self) -> State:
        return "not_yet" if self.what in ("few", "class_few") else "no_go"


@dataclass(frozen=True)
class Decision:
    """Of one way of using the adapters.

    Attributes:
        method: of the methods that pass and are on no task clearly below the best of them, the one that trains the
            fewest values; where none passes, of those that come furthest the one with the highest mean.
        rows: its tasks. reasons: why they do not pass; empty: they do.
    """

    way: str
    state: State
    method: str
    rows: tuple[Row, ...]
    reasons: tuple[Reason, ...]


def decisions(rows: Sequence[Row]) -> dict[str, Decision]:
    """way -> its decision, of those ways that the study measured; "alone" is always there, and stands for the study."""
    return {way: _decide(way, those) for way in WAYS if (those := [row for row in rows if way in row.reached])}


def reason_against(row: Row, way: str) -> Reason | None:
    """What keeps a task from passing; None where nothing does."""
    reached = row.reached[way]
    score, classes = reached.score, reached.classes
    if room_of(row, way) > ROOM:
        return Reason("few", row)
    if score.low <= row.base.high:
        return Reason("base", row)
    if row.floor is not None and score.low <= row.floor:
        return Reason("floor", row)
    weakest = min(classes, key=lambda name: classes[name].value, default="")
    if weakest and classes[weakest].low <= 1 / len(classes):
        return Reason("class_lost" if classes[weakest].high <= 1 / len(classes) else "class_few", row, weakest)
    if score.high < row.reached["alone"].score.low:
        return Reason("lower", row)
    return None


def room_of(row: Row, way: str) -> float:
    """How far the interval reaches from the score, to the side where it reaches further."""
    score = row.reached[way].score
    return max(score.value - score.low, score.high - score.value)


def _decide(way: str, rows: Sequence[Row]) -> Decision:
    of_method: dict[str, list[Row]] = {}
    for row in rows:
        of_method.setdefault(row.method, []).append(row)
    against = {
        method: tuple(reason for row in those if (reason := reason_against(row, way)))
        for method, those in of_method.items()
    }
    states: dict[str, State] = {method: _state(reasons) for method, reasons in against.items()}
    state: State = next(each for each in STATES if each in states.values())
    left = {method: of_method[method] for method in states if states[method] == state}
    method = _smallest_of_the_best(left, way) if state == "go" else _best(left, way)
    return Decision(way, state, method, tuple(of_method[method]), against[method])


def _state(reasons: Sequence[Reason]) -> State:
    if not reasons:
        return "go"
    return "no_go" if any(reason.state == "no_go" for reason in reasons) else "not_yet"


def _best(of_method: dict[str, list[Row]], way: str) -> str:
    return max(of_method, key=lambda method: fmean(row.reached[way].score.value for row in of_method[method]))


def _smallest_of_the_best(of_method: dict[str, list[Row]], way: str) -> str:
    top = {row.task: row.reached[way].score for row in of_method[_best(of_method, way)]}
    equal = [
        method
        for method, rows in of_method.items()
        if not any(row.reached[way].score.high < top[row.task].low for row in rows if row.task in top)
    ]
    return min(equal, key=lambda method: fmean(row.trained for row in of_method[method]))
