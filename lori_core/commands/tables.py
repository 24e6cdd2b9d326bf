"""Tables for the terminal: a run's result, an adapter, the list of runs."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lori_core.commands.listing import SHORT
from lori_core.errors import LoRIError, RunError
from lori_core.figures.continual import lost_and_learned
from lori_core.figures.wording import number, reasons
from lori_core.files import folder_size
from lori_core.report.findings import isolation_notes
from lori_core.results import (
    Calibration,
    ContinualResult,
    Loss,
    Memory,
    MergeTrial,
    Output,
    PairMatrix,
    Score,
    Share,
    SingleResult,
    StudyResult,
    SweepCell,
    SweepResult,
    from_json,
    from_plain,
)
from lori_core.study.runs import Run
from lori_core.translate import translate

if TYPE_CHECKING:
    from lori_core.method.adapter import Adapter  # imports torch, which the list of runs need not wait for
    from lori_core.storage.diff import Difference, FootprintDifference
    from lori_core.tasks.check import TaskCheck

DRIFT = {"largest": "max_abs", "mean": "mean_abs", "kl": "kl"}  # value of the message -> field of merged_base.Drift


def result_table(run: Run, language: str) -> RenderableType:
    """What came out of a finished run; raises RunError where its result is none."""
    try:
        return _result_table(run, language)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise RunError("damaged_result", path=run.path / "result.json") from None


def _result_table(run: Run, language: str) -> RenderableType:
    text = run.result()
    match run.kind:
        case "study":
            study = from_json(StudyResult, text)
            return _with_notes(study_table(study, language), study.base_scores.values(), language)
        case "train":
            score = from_json(SingleResult, text).score
            return _with_notes(score_table([score], language), [score], language)
        case "evaluate":
            result = json.loads(text)
            found = [*(each["score"] for each in result["by_task"].values()), *result.get("harness", {}).values()]
            scores = [from_json(Score, json.dumps(each)) for each in found]
            return _with_notes(score_table(scores, language), scores, language, result.get("notes", ()))
        case "continual":
            return continual_table(from_json(ContinualResult, text), language)
        case "calibrate":
            return calibration_table(from_json(Calibration, text), language)
        case "merge_trial":
            return merge_trial_table(from_json(MergeTrial, text), language)
        case "export":
            drift = json.loads(text)
            shown = {name: f"{drift[key]:.3g}" for name, key in DRIFT.items()}
            return Text(translate("command.drift", language, positions=drift["positions"], **shown))
    merged = json.loads(text)["merge"]
    row = [merged["method"], " ".join(f"{weight:g}" for weight in merged["weights"]), f"{merged['error']:.2g}"]
    return _table(["method", "weights", "error"], [row], language)


def outputs_of(run: Run) -> dict[str, tuple[Output, ...]]:
    """Task -> the outputs that a finished run kept; of runs that score nothing, none. Raises RunError."""
    try:
        text = run.result()
        match run.kind:
            case "study":
                return from_json(StudyResult, text).samples
            case "train":
                single = from_json(SingleResult, text)
                return {single.task: single.samples}
            case "evaluate":
                by_task = json.loads(text)["by_task"]
                return {
                    task: tuple(from_plain(Output, one) for one in each["outputs"]) for task, each in by_task.items()
                }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise RunError("damaged_result", path=run.path / "result.json") from None
    return {}


def study_table(result: StudyResult, language: str) -> Table:
    """Task by task: the base, each method's own adapter, each method's merged one; means over the seeds."""
    columns: dict[str, dict[str, list[float]]] = {}

    def add(name: str, task: str, score: Score) -> None:
        columns.setdefault(name, {}).setdefault(task, []).append(score.value)

    for task, score in result.base_scores.items():
        add(translate("figures.base", language), task, score)
    for single in (*result.singles, *result.controls):
        add(_label(single.method, single.shared_projection, language), single.task, single.score)
    for merged in result.merges:
        label = _label(merged.method, merged.shared_projection, language)
        for task, score in merged.scores.items():
            add(translate("command.merged", language, method=label, merge=merged.merge), task, score)
    rows = floor_rows(result.base_scores, result.tasks, language)
    rows += [[name, *(f"{fmean(scores[task]):.3f}" for task in result.tasks)] for name, scores in columns.items()]
    return _plain([translate("command.column.scores", language), *result.tasks], rows)


def floor_rows(scores: Mapping[str, Score], tasks: Sequence[str], language: str) -> list[list[str]]:
    """What is reached without reading the question, a row for chance and one for the commonest answer, where known."""
    rows = []
    for name in ("chance", "majority"):
        values = [getattr(scores[task], name) if task in scores else None for task in tasks]
        if any(value is not None for value in values):
            rows.append([translate(f"figures.{name}", language), *(number(value) for value in values)])
    return rows


def score_table(scores: Sequence[Score], language: str) -> RenderableType:
    """A row a score; beneath it its parts, the held-out loss, what no reading of the question reaches, its classes."""
    rows = []
    for score in scores:
        rows.append([score.task, *_interval(score), score.metric])
        rows += [[f"  {name}", *_interval(share), ""] for name, share in score.shares.items()]
        if score.loss:
            rows.append([f"  {translate('command.held_out_loss', language)}", *_interval(score.loss), "likelihood"])
        floors = floor_rows({score.task: score}, [score.task], language)
        rows += [[f"  {name}", value, "", "", ""] for name, value in floors]
        for name, share in score.recall.items():
            rows.append([f"  {translate('command.class', language, name=name)}", *_interval(share), ""])
    table = _table(["task", "score", "interval", "n", "metric"], rows, language)
    return Group(table, *(confusion_table(score, language) for score in scores if score.confusion))


def confusion_table(score: Score, language: str) -> Table:
    """A row for each class of the right answers, a column for what was said."""
    said = dict.fromkeys([*score.confusion, *(name for row in score.confusion.values() for name in row)])
    rows = [[name, *(str(row.get(each, 0)) for each in said)] for name, row in score.confusion.items()]
    names = [each or translate("command.no_class", language) for each in said]
    return _plain([f"{score.task}: {translate('command.confusion', language)}", *names], rows)


def _with_notes(
    table: RenderableType, scores: Iterable[Score], language: str, notes: Iterable[str] = ()
) -> RenderableType:
    """The table, and beneath it what a reader has to know: the notes, and what held programs that were run to judge."""
    sentences = [*(translate(note, language) for note in notes), *isolation_notes(scores, language)]
    return Group(table, *map(Text, sentences))


def _interval(score: Score | Share | Loss) -> list[str]:
    between = "" if score.low is None or score.high is None else f"{score.low:.3f} – {score.high:.3f}"
    return [f"{score.value:.3f}", between, str(score.n)]


def continual_table(result: ContinualResult, language: str) -> RenderableType:
    """Rows: after each task; columns: on each task. Beneath it, what was lost beside what was learned."""
    rows = floor_rows(dict(zip(result.order, result.scores[-1], strict=True)), result.order, language)
    rows += [[task, *(f"{value:.3f}" for value in row)] for task, row in zip(result.order, result.matrix, strict=True)]
    rows.append(
        [translate("command.forgetting", language), *(f"{result.forgetting.get(t, 0):.3f}" for t in result.order)]
    )
    table = _plain([translate("command.column.after", language), *result.order], rows)
    each = lost_and_learned([result], language)
    return Group(table, Text(translate("figures.forgetting.summary", language, each=each)))


def merge_trial_table(result: MergeTrial, language: str) -> Table:
    """Task by task: the base, the task's own adapter, the merged one."""
    ends = (
        ("figures.base", result.base),
        ("figures.column.single", result.before),
        ("figures.column.merged", result.after),
    )
    rows = floor_rows(result.base, result.tasks, language)
    rows += [
        [translate(key, language), *(f"{scores[task].value:.3f}" for task in result.tasks)] for key, scores in ends
    ]
    return _plain([translate("command.column.scores", language), *result.tasks], rows)


def calibration_table(result: Calibration, language: str) -> Table:
    settled = result.looks[-1].jaccard if result.looks else None
    row = [
        result.task,
        f"{result.sparsity:g}",
        str(result.training.steps),
        f"{result.training.losses[-1]:.3f}",
        "-" if settled is None else f"{settled:.3f}",
    ]
    return _table(["task", "sparsity", "steps", "loss", "jaccard"], [row], language)


def adapter_table(adapter: "Adapter", folder: Path, language: str) -> Table:
    entries = sum(factors.mask.numel() for factors in adapter.factors.values())
    kept = sum(factors.values.numel() for factors in adapter.factors.values())
    base = adapter.record.get("base", {})
    row = [
        adapter.name,
        str(base.get("name", "-")),
        str(len(adapter.factors)),
        str(adapter.config.rank),
        f"{1 - kept / entries:.3f}",
        f"{adapter.trained_parameters:,}",
        f"{folder_size(folder):,}",
    ]
    return _table(["name", "base", "modules", "rank", "sparsity", "parameters", "bytes"], [row], language)


def sweep_table(result: SweepResult, language: str) -> Table:
    """A row a point and method."""
    rows = [
        [*cell.point, _label(cell.method, False, language), *_interval_of(cell), str(cell.seeds)]
        for cell in result.cells
    ]
    columns = [translate(f"command.column.{name}", language) for name in ("method", "score", "interval", "seeds")]
    return _plain([*result.axes, *columns], rows)


def _interval_of(cell: SweepCell) -> list[str]:
    return [f"{cell.value:.3f}", f"{cell.low:.3f} – {cell.high:.3f}"]


def entries_table(entries: Mapping[str, Any], language: str) -> Table:
    """What an adapter says about itself, a line an entry."""
    return _table(["entry", "value"], [[key, _text(value)] for key, value in entries.items()], language)


def difference_table(found: "Difference", language: str) -> Table:
    """Only what changed; the cosine of the updates and the overlap of the masks where they can be had."""
    rows = [[key, _text(left), _text(right)] for key, (left, right) in found.changed.items()]
    if found.projections:
        rows.append([translate("command.other_projections", language), "", str(len(found.projections))])
    for key, value in (("mask_jaccard", found.mask_jaccard), ("cosine", found.cosine)):
        if value is not None:
            rows.append([translate(f"command.{key}", language), "", f"{value:.4f}"])
    return _table(["entry", "left", "right"], rows, language)


def check_table(check: "TaskCheck", language: str) -> Table:
    """Splits, what was left out of them, and what the training split is like."""
    rows = [
        [translate(f"command.check.{split}", language), f"{count:,}", reasons(check.left_out.get(split, {}), language)]
        for split, count in check.counts.items()
    ]
    if check.quality:
        shortest, middle, longest = check.quality.length
        rows.append([translate("command.check.length", language), f"{shortest:,} / {middle:,.0f} / {longest:,}", ""])
        total = sum(check.quality.answers.values())
        for answer, times in check.quality.answers.items():
            rows.append([f"  {answer[:40]}", f"{times:,}", f"{100 * times / total:.0f} %"])
    header = [translate(f"command.check.{name}", language) for name in ("what", "rows", "left_out")]
    return _plain(header, rows)


def footprints_table(versions: Iterable[tuple[str, Path]], language: str) -> Table:
    """(reference, folder) of each, oldest first; of a damaged one its size."""
    from lori_core.storage.footprint_files import read_footprint_header
    from lori_core.storage.records import readable

    rows = []
    for reference, folder in versions:
        try:
            header, identity = read_footprint_header(folder)
            record, tokens = readable(header.record), f"{header.tokens:,}"
        except LoRIError:  # listed all the same: `lori store verify` tells what is wrong
            record, tokens, identity = {}, "-", "?"
        base = record.get("base", {}).get("name") or "-"
        row = [reference, str(record.get("saved", "-")), base, tokens, identity[:SHORT], f"{folder_size(folder):,}"]
        rows.append(row)
    return _table(["version", "saved", "base", "tokens", "id", "bytes"], rows, language)


def footprint_difference_table(found: "FootprintDifference", language: str) -> Table:
    """What changed, then the distance of the moments of each input."""
    rows = [[key, _text(left), _text(right)] for key, (left, right) in found.changed.items()]
    for source, apart in found.distances.items():
        name = translate("command.distance", language, module=source)
        rows.append([name, "", "-" if apart is None else f"{apart:.4f}"])
    return _table(["entry", "left", "right"], rows, language)


def forecast_table(found: PairMatrix, language: str) -> Table:
    """Rows: whose A or adapter; columns: whose inputs; by chance in brackets."""
    rows = []
    for s, name in enumerate(found.names):
        pairs = zip(found.values[s], found.null_mean[s], strict=True)
        rows.append([name, *(_beside_chance(value, chance) for value, chance in pairs)])
    return _plain([translate("command.column.forecast", language), *found.names], rows)


def _beside_chance(value: float | None, chance: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if chance is None else f"{value:.2f} ({chance:.2f})"


def _text(value: Any) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def runs_table(runs: Iterable[Run], language: str) -> Table:
    rows = [[str(run.path), run.kind, run.state(), _started(run)] for run in runs]
    return _table(["run", "kind", "state", "started"], rows, language)


def _started(run: Run) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(run.events()[0]["time"]))
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError):  # no event, or a damaged one
        return "-"


def _label(method: str, shared: bool, language: str) -> str:
    label = translate(f"figures.method.{method}", language)
    return translate("figures.with_shared", language, method=label) if shared else label


def memory_table(stages: Mapping[str, Memory], reserve: int, language: str) -> Table:
    """What each stage of a training needs, in GiB, by what it is for."""
    parts = ("base", "adapter", "gradients", "optimizer", "activations", "working")
    rows = [
        [translate(f"command.memory.{part}", language), *(_gib(getattr(each, part)) for each in stages.values())]
        for part in parts
    ]
    rows.append([translate("command.memory.reserve", language), *(_gib(reserve) for _ in stages)])
    rows.append([translate("command.memory.total", language), *(_gib(m.total + reserve) for m in stages.values())])
    counts = [f"{each.trained:,} / {each.parameters:,}" for each in stages.values()]
    rows.append([translate("command.memory.parameters", language), *counts])
    titles = [translate(f"command.memory.{stage}", language) for stage in stages]
    return _plain([translate("command.memory.unit", language), *titles], rows)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], language: str) -> Table:
    return _plain([translate(f"command.column.{column}", language) for column in columns], rows)


def _plain(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Cells are Text: names may hold brackets, which rich would take for markup."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    for place, name in enumerate(header):
        table.add_column(Text(name), overflow="fold", justify="left" if place == 0 else "right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
