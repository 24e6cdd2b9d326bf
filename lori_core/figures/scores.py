"""Scores of single adapters, of merged ones, over the weight of a merge. Tasks go down the page: long names fit."""

from collections.abc import Sequence
from statistics import fmean

import plotly.graph_objects as go

from lori_core.figures.drawing import GREY, METHOD_MARKS, Drawing, drawing
from lori_core.figures.means import (
    Cells,
    Interval,
    at_one_scores,
    mean_score,
    merged_scores,
    merges_of,
    methods,
    of_method,
    seeds,
    single_scores,
    values_of,
    with_control,
)
from lori_core.figures.rows import error_bars, height, lane_of, score_axes
from lori_core.figures.wording import listed, mean_and_worst, method_label, number, plain, sentences
from lori_core.results import MergedResult, StudyResult
from lori_core.translate import translate


def scores(result: StudyResult, language: str = "en") -> Drawing:
    """Test score by task and method with 95 % intervals; the base as a grey line; single seeds as small marks."""
    cells, names = single_scores(result), methods(result)
    figure = go.Figure([_base_trace(result, language), *_floor_traces(result, language)])
    for index, method in enumerate(names):
        lane = lane_of(index, len(names))
        figure.add_trace(_interval_trace(of_method(cells, method), result.tasks, method, lane, language))
        if len(seeds(result)) > 1:
            figure.add_trace(_seed_trace(result, method, lane, language))
    score_axes(figure, result.tasks, language)
    by_label = {translate("figures.base", language): values_of(result.base_scores)}
    by_label |= {method_label(method, language): values_of(of_method(cells, method)) for method in names}
    each = listed((f"{label} {mean_and_worst(values, language)}" for label, values in by_label.items()), language)
    summary = translate("figures.scores.summary", language, means=each)
    header = ("task", "method", "score", "low", "high", "loss", "n", "seeds")
    rows = _score_rows(result, cells, language)
    tall, limits = height(result.tasks, names), ["limits_seeds"] if len(seeds(result)) > 1 else []
    return drawing("scores", language, figure, summary, header, rows, tall, limits)


def merged(result: StudyResult, merge: str, language: str = "en") -> Drawing:
    """Single adapter (hollow) against merged adapter (filled) by task; crosses: merged with one shared A.

    Upright strokes are the merge at weight 1, where that was measured.
    """
    single, ours, at_one = single_scores(result), merged_scores(result, merge), at_one_scores(result, merge)
    control = with_control(ours, merged_scores(result, merge, shared=True))
    names = [method for method in methods(result) if of_method(ours, method)]
    figure = go.Figure([_base_trace(result, language), *_floor_traces(result, language)])
    for index, method in enumerate(names):
        lane = lane_of(index, len(names))
        figure.add_traces(_dumbbells(result.tasks, method, lane, single, ours, language))
    if control:
        figure.add_trace(_control_trace(result.tasks, names, control, language))
    if at_one:
        figure.add_trace(_at_one_trace(result.tasks, names, at_one, language))
    score_axes(figure, result.tasks, language)
    each = [
        translate(
            "figures.merged.each",
            language,
            method=method_label(method, language),
            single=mean_and_worst(values_of(of_method(single, method)), language),
            merged=mean_and_worst(values_of(of_method(ours, method)), language),
        )
        for method in names
    ]
    summary = sentences(
        (
            translate("figures.merged.summary", language, each=listed(each, language)),
            *_said_at_one(names, at_one, language),
        ),
        language,
    )
    header = ("task", "method", "floor", "base_score", "single", "merged", "low", "high", "loss")
    header += ("at_one", "at_one_low", "at_one_high", "shared")
    rows = [
        [
            task,
            method_label(method, language),
            number(result.base_scores[task].floor),
            number(result.base_scores[task].value),
            number(single[task, method].value),
            *(number(part) for part in ours[task, method]),
            *(number(part) for part in at_one.get((task, method), (None,) * 3)[:3]),
            number(control[task, method].value if (task, method) in control else None),
        ]
        for task in result.tasks
        for method in names
        if (task, method) in ours
    ]
    limits = [key for key, there in (("limits_at_one", at_one), ("limits_control", control)) if there]
    tall = height(result.tasks, names)
    return drawing("merged", language, figure, summary, header, rows, tall, limits, merge=merge)


def merge_weights(result: StudyResult, merge: str, language: str = "en") -> Drawing:
    """Validation score against merge weight by adapter method, mean over seeds; rings: what was chosen, one a seed."""
    figure, rows, chosen = go.Figure(), [], []
    control = with_control(merged_scores(result, merge), merged_scores(result, merge, shared=True))
    for shared in (False, True) if control else (False,):
        for method in methods(result):
            merges = merges_of(result, merge, method, shared)
            if not merges:
                continue
            label = _shared_label(method, language) if shared else method_label(method, language)
            curve = _validation_curve(merges)
            figure.add_traces(_weight_traces(merges, curve, method, label, shared))
            rows += [[label, f"{weight:g}", number(value)] for weight, value in curve.items()]
            weights = " / ".join(f"{m.weight:g}" for m in merges)
            chosen.append(translate("figures.merge_weights.each", language, method=label, weights=weights))
    if control:
        key = {"mode": "lines", "line": {"color": GREY, "dash": "dot"}, "name": translate("figures.control", language)}
        figure.add_scatter(x=[None], y=[None], hoverinfo="skip", **key)
    figure.update_xaxes(title_text=translate("figures.axis.merge_weight", language))
    figure.update_yaxes(title_text=translate("figures.axis.validation", language), rangemode="tozero")
    several = "_by_seed" if len(seeds(result)) > 1 else ""
    summary = translate(f"figures.merge_weights.summary{several}", language, chosen=listed(chosen, language))
    return drawing(
        "merge_weights", language, figure, summary, ("method", "weight", "validation"), rows, 400, merge=merge
    )


def _base_trace(result: StudyResult, language: str) -> go.Scatter:
    """One grey upright line a task."""
    x = [part for task in result.tasks for part in (result.base_scores[task].value,) * 2 + (None,)]
    y = [part for row in range(len(result.tasks)) for part in (row - 0.42, row + 0.42, None)]
    name = translate("figures.base", language)
    hover = f"{plain(name)} %{{x:.3f}}<extra></extra>"
    line = {"color": GREY, "width": 3}
    return go.Scatter(x=x, y=y, mode="lines", line=line, name=name, meta="base", hovertemplate=hover)


def _floor_traces(result: StudyResult, language: str) -> list[go.Scatter]:
    """A dotted upright line a task where a score is reached without reading the question; none where none is known."""
    floors = {row: result.base_scores[task].floor for row, task in enumerate(result.tasks)}
    known = {row: floor for row, floor in floors.items() if floor is not None}
    if not known:
        return []
    x = [part for floor in known.values() for part in (floor, floor, None)]
    y = [part for row in known for part in (row - 0.42, row + 0.42, None)]
    name = translate("figures.floor", language)
    line, hover = {"color": GREY, "width": 1.5, "dash": "dot"}, f"{plain(name)} %{{x:.3f}}<extra></extra>"
    return [go.Scatter(x=x, y=y, mode="lines", line=line, name=name, hovertemplate=hover)]


def _interval_trace(
    by_task: dict[str, Interval], tasks: Sequence[str], method: str, lane: float, language: str
) -> go.Scatter:
    found = [(row, task, by_task[task]) for row, task in enumerate(tasks) if task in by_task]
    colour, shape = METHOD_MARKS[method]
    return go.Scatter(
        x=[score.value for _, _, score in found],
        y=[row + lane for row, _, _ in found],
        error_x=error_bars([score for _, _, score in found]),
        mode="markers",
        marker={"color": colour, "symbol": shape, "size": 11},
        cliponaxis=False,
        name=method_label(method, language),
        legendgroup=method,
        text=[f"{plain(task)}: {s.value:.3f} ({s.low:.3f} – {s.high:.3f})" for _, task, s in found],
        hoverinfo="text+name",
    )


def _seed_trace(result: StudyResult, method: str, lane: float, language: str) -> go.Scatter:
    row = {task: index for index, task in enumerate(result.tasks)}
    runs = [single for single in result.singles if single.method == method]
    colour, shape = METHOD_MARKS[method]
    return go.Scatter(
        x=[run.score.value for run in runs],
        y=[row[run.task] + lane for run in runs],
        mode="markers",
        marker={"color": "rgba(0,0,0,0)", "symbol": shape, "size": 6, "line": {"color": colour, "width": 1.2}},
        legendgroup=method,
        showlegend=False,
        text=[translate("figures.seed", language, seed=run.seed) + f": {run.score.value:.3f}" for run in runs],
        hoverinfo="text",
    )


def _dumbbells(
    tasks: Sequence[str], method: str, lane: float, single: Cells, ours: Cells, language: str
) -> list[go.Scatter]:
    found = [
        (row, single[task, method], ours[task, method]) for row, task in enumerate(tasks) if (task, method) in ours
    ]
    colour, shape = METHOD_MARKS[method]
    bars = go.Scatter(
        x=[part for _, before, after in found for part in (before.value, after.value, None)],
        y=[part for row, _, _ in found for part in (row + lane, row + lane, None)],
        mode="lines",
        line={"color": colour, "width": 2},
        legendgroup=method,
        showlegend=False,
        hoverinfo="skip",
    )
    hollow = {"color": "rgba(0,0,0,0)", "symbol": shape, "size": 9, "line": {"color": colour, "width": 2}}
    filled = {"color": colour, "symbol": shape, "size": 11}
    y, label = [row + lane for row, _, _ in found], method_label(method, language)
    before, after = [single.value for _, single, _ in found], [merged.value for _, _, merged in found]
    return [bars] + [
        go.Scatter(
            x=x,
            y=y,
            mode="markers",
            marker=marker,
            name=label,
            legendgroup=method,
            meta=f"{method}/{end}",
            showlegend=end == "merged",
            cliponaxis=False,
            hovertemplate=f"{plain(label)}, {translate(f'figures.column.{end}', language)} %{{x:.3f}}<extra></extra>",
        )
        for end, marker, x in (("single", hollow, before), ("merged", filled, after))
    ]


def _control_trace(tasks: Sequence[str], names: Sequence[str], control: Cells, language: str) -> go.Scatter:
    labels = {method: _shared_label(method, language) for method in names}
    return _grey_trace(tasks, labels, control, "x-thin", translate("figures.control", language), "lori_d_shared/merged")


def _at_one_trace(tasks: Sequence[str], names: Sequence[str], at_one: Cells, language: str) -> go.Scatter:
    name = translate("figures.at_one", language)
    labels = {method: f"{method_label(method, language)}, {name}" for method in names}
    return _grey_trace(tasks, labels, at_one, "line-ns", name, "at_one")


def _grey_trace(
    tasks: Sequence[str], labels: dict[str, str], cells: Cells, symbol: str, name: str, meta: str
) -> go.Scatter:
    """Grey marks in the methods' lanes: one entry of the legend, which is crowded on a phone.

    Args:
        labels: method -> what a mark in its lane is called.
    """
    found = [
        (row + lane_of(index, len(labels)), label, cells[task, method].value)
        for row, task in enumerate(tasks)
        for index, (method, label) in enumerate(labels.items())
        if (task, method) in cells
    ]
    return go.Scatter(
        x=[value for _, _, value in found],
        y=[place for place, _, _ in found],
        mode="markers",
        marker={"symbol": symbol, "size": 8, "line": {"color": GREY, "width": 2}},
        name=name,
        meta=meta,
        cliponaxis=False,
        text=[f"{plain(label)} {value:.3f}" for _, label, value in found],
        hoverinfo="text",
    )


def _said_at_one(names: Sequence[str], at_one: Cells, language: str) -> list[str]:
    each = [
        f"{method_label(method, language)} {mean_and_worst(values_of(scores), language)}"
        for method in names
        if (scores := of_method(at_one, method))
    ]
    return [translate("figures.merged.at_one", language, each=listed(each, language))] if each else []


def _shared_label(method: str, language: str) -> str:
    return translate("figures.with_shared", language, method=method_label(method, language))


def _score_rows(result: StudyResult, cells: Cells, language: str) -> list[list[str]]:
    rows = []
    for task in result.tasks:
        base = result.base_scores[task]
        for name, floor in (("chance", base.chance), ("majority", base.majority)):
            if floor is not None:
                rows.append([task, translate(f"figures.{name}", language), number(floor), *"–––", str(base.n), "–"])
        rows.append([task, translate("figures.base", language), *map(number, mean_score([base])), str(base.n), "–"])
        for method in methods(result):
            runs = [single for single in result.singles if (single.task, single.method) == (task, method)]
            if runs:
                interval = (number(part) for part in cells[task, method])
                rows.append([task, method_label(method, language), *interval, str(runs[0].score.n), str(len(runs))])
    return rows


def _validation_curve(merges: Sequence[MergedResult]) -> dict[float, float]:
    """weight -> mean validation score over the seeds that tried it, lightest first."""
    weights = sorted({float(weight) for merge in merges for weight in merge.validation})
    tried = [{float(weight): value for weight, value in merge.validation.items()} for merge in merges]
    return {weight: fmean(curve[weight] for curve in tried if weight in curve) for weight in weights}


def _weight_traces(
    merges: Sequence[MergedResult], curve: dict[float, float], method: str, label: str, shared: bool
) -> list[go.Scatter]:
    colour, shape = METHOD_MARKS[method]
    chosen = [
        (merge.weight, value) for merge in merges for w, value in merge.validation.items() if float(w) == merge.weight
    ]
    ring = {"color": "rgba(0,0,0,0)", "size": 17, "line": {"color": colour, "width": 2}}
    return [
        go.Scatter(
            x=list(curve),
            y=list(curve.values()),
            mode="lines+markers",
            line={"color": colour, "dash": "dot" if shared else "solid"},
            marker={"symbol": f"{shape}-open" if shared else shape, "size": 8},
            name=label,
            legendgroup=label,
            meta=f"{method}_shared" if shared else method,
            showlegend=not shared,
        ),
        go.Scatter(
            x=[weight for weight, _ in chosen],
            y=[value for _, value in chosen],
            mode="markers",
            marker=ring,
            legendgroup=label,
            showlegend=False,
            hoverinfo="skip",
        ),
    ]
