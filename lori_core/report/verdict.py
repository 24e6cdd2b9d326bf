"""First page of the report, for who decides: verdict and rule, one table, what it means, risks, the next step."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lori_core.figures.means import seeds
from lori_core.figures.overview import WAYS, Row, overview
from lori_core.figures.wording import (
    NO_NUMBER,
    listed,
    mean_and_worst,
    method_label,
    number,
    percent,
    sentences,
    size,
    with_interval,
)
from lori_core.report.decision import ENOUGH, ROOM, Decision, Reason, State, decisions, room_of
from lori_core.report.findings import warnings
from lori_core.results import StudyResult
from lori_core.translate import translate


@dataclass(frozen=True)
class TableRow:
    """Cells as they stand in the table; seconds of training, which the page turns into money at the reader's rate."""

    cells: list[str]
    seconds: float


@dataclass(frozen=True)
class FirstPage:
    """Texts, plain and not escaped.

    Attributes:
        word: "Go". reason: why, in one or two sentences. rule: how it was decided.
        header, rows: the table, task x method. seconds: of the whole study.
        meaning: of each way of using the adapters its word and what follows.
        made: what and when: pairs of name and value.
    """

    state: State
    word: str
    reason: str
    rule: str
    header: list[str]
    rows: list[TableRow]
    seconds: float
    meaning: list[tuple[str, str]]
    risks: list[str]
    next_steps: list[str]
    made: list[tuple[str, str]]


def first_page(result: StudyResult, language: str = "en") -> FirstPage:
    rows = overview(result)
    decided = decisions(rows)
    alone = decided["alone"]
    header, cells = _table(rows, language)
    return FirstPage(
        state=alone.state,
        word=_word(alone.state, language),
        reason=_reason(alone, language),
        rule=_rule(list(decided), any(row.reached[way].classes for row in rows for way in row.reached), language),
        header=header,
        rows=[TableRow(each, row.seconds) for each, row in zip(cells, rows, strict=True)],
        seconds=sum(result.seconds.values()),
        meaning=[_meaning(decision, len(result.tasks) > 1, language) for decision in decided.values()],
        risks=risks(result, language),
        next_steps=_next_steps(result, decided, language),
        made=_made(result, language),
    )


def risks(result: StudyResult, language: str = "en") -> list[str]:
    """What could make the verdict wrong."""
    embedded = [translate("report.risk.embedded", language)] if result.base == "embedded" else []
    return [*embedded, *warnings(result, language), *(translate(note, language) for note in result.notes)]


def verdict(result: StudyResult, language: str = "en") -> tuple[State, str, str]:
    """The state, its word, and why in a sentence or two."""
    alone = decisions(overview(result))["alone"]
    return alone.state, _word(alone.state, language), _reason(alone, language)


def _word(state: State, language: str) -> str:
    return translate(f"report.verdict.{state}", language)


def _reason(decision: Decision, language: str) -> str:
    label = method_label(decision.method, language)
    if decision.state == "go":
        tasks = listed((row.task for row in decision.rows), language)
        return translate("report.verdict.go_because", language, method=label, tasks=tasks)
    because = translate(f"report.verdict.{decision.state}_because", language, method=label)
    return sentences([because, *_said(decision.reasons, decision.way, language)], language)


def _said(reasons: Sequence[Reason], way: str, language: str) -> list[str]:
    """Those that decide: what fails by its numbers where anything does, else what lacks examples."""
    decisive = [reason for reason in reasons if reason.state == "no_go"] or list(reasons)
    return [_against(reason, way, language) for reason in decisive]


def _against(reason: Reason, way: str, language: str) -> str:
    row, reached = reason.row, reason.row.reached[way]
    of_class = reached.classes.get(reason.name)
    return translate(
        f"report.against.{reason.what}",
        language,
        task=row.task,
        n=row.n,
        points=f"{100 * room_of(row, way):.0f}",
        score=number(reached.score.value, 2),
        base=number(row.base.value, 2),
        floor=number(row.floor, 2),
        alone=number(row.reached["alone"].score.value, 2),
        name=reason.name,
        n_class=of_class.n if of_class else 0,
        recall=percent(of_class.value) if of_class else "",
        chance=percent(1 / len(reached.classes)) if of_class else "",
    )


def _rule(ways: Sequence[str], classes: bool, language: str) -> str:
    parts = ["rule", *(["rule_classes"] if classes else []), *(f"rule_{way}" for way in ways if way != "alone")]
    points = f"{100 * ROOM:.0f}"
    return sentences(
        (translate(f"report.verdict.{part}", language, points=points) for part in (*parts, "rule_end")), language
    )


# --- the table


def _table(rows: Sequence[Row], language: str) -> tuple[list[str], list[list[str]]]:
    """Header and cells; a column without any number in it is left out."""
    columns = ("task", "method", "n", "base", "floor", *WAYS, "file", "training")
    cells = [
        [
            row.task,
            method_label(row.method, language),
            str(row.n),
            number(row.base.value, 2),
            number(row.floor, 2),
            *(_interval(row, way) for way in WAYS),
            size(row.file_bytes),
            duration(row.seconds, language),
        ]
        for row in rows
    ]
    filled = [place for place in range(len(columns)) if any(row[place] != NO_NUMBER for row in cells)]
    header = [translate(f"report.column.{columns[place]}", language) for place in filled]
    return header, [[row[place] for place in filled] for row in cells]


def _interval(row: Row, way: str) -> str:
    if way not in row.reached:
        return NO_NUMBER
    return with_interval(*row.reached[way].score[:3])


def duration(seconds: float, language: str) -> str:
    unit, length = next((u, s) for u, s in (("hours", 3600), ("minutes", 60), ("seconds", 1)) if seconds >= s or s == 1)
    return translate(f"report.duration.{unit}", language, count=f"{seconds / length:.{0 if length == 1 else 1}f}")


# --- what follows


def _meaning(decision: Decision, several: bool, language: str) -> tuple[str, str]:
    way = translate(f"report.way.{decision.way}" if several else "report.way.single", language)
    head = translate("report.way.head", language, way=way, word=_word(decision.state, language))
    if decision.state != "go":
        label = method_label(decision.method, language)
        closest = translate("report.meaning.closest", language, method=label)
        return head, sentences([closest, *_said(decision.reasons, decision.way, language)], language)
    rows = decision.rows
    said = translate(
        f"report.meaning.{decision.way if decision.method != 'full' else 'full'}",
        language,
        method=method_label(decision.method, language),
        scores=mean_and_worst({row.task: row.reached[decision.way].score.value for row in rows}, language),
        file=size(max((row.file_bytes for row in rows if row.file_bytes is not None), default=None)),
        time=duration(max(row.seconds for row in rows), language),
    )
    return head, said


def _next_steps(result: StudyResult, decided: dict[str, Decision], language: str) -> list[str]:
    alone = decided["alone"]
    keys = [] if alone.state == "not_yet" else [f"report.next.{alone.state}"]
    if any(reason.state == "not_yet" for each in decided.values() for reason in each.reasons):
        keys.append("report.next.examples")
    if alone.state == "go" and len(decided) > 1:
        together = any(decided[way].state == "go" for way in decided if way != "alone")
        keys.append("report.next.together" if together else "report.next.separate")
    if len(seeds(result)) == 1:
        keys.append("report.next.seeds")
    return [translate(key, language, enough=ENOUGH) for key in keys]


def _made(result: StudyResult, language: str) -> list[tuple[str, str]]:
    """Date, base, machine and versions; what an older result does not say is left out."""
    machine = result.machine
    when = f"{datetime.fromisoformat(result.finished).astimezone():%Y-%m-%d %H:%M %Z}" if result.finished else ""
    known = {
        "finished": when,
        "base": result.base,
        "machine": listed((machine[key] for key in ("device", "processor", "system") if key in machine), language),
        "cores": machine.get("cores", ""),
        "precision": machine.get("precision", ""),
        "versions": listed((f"{name} {version}" for name, version in result.versions.items()), language),
    }
    return [(translate(f"report.made.{key}", language), value) for key, value in known.items() if value]
