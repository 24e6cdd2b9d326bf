"""Training: losses and costs."""

from collections.abc import Mapping, Sequence
from math import isfinite
from statistics import fmean

import plotly.graph_objects as go

from lori_core.figures.drawing import METHOD_MARKS, Drawing, drawing, line_mark
from lori_core.figures.means import methods
from lori_core.figures.wording import NO_NUMBER, listed, method_label, number, percent, plain, size
from lori_core.results import SingleResult, StudyResult
from lori_core.translate import translate

Curve = Sequence[tuple[int, float | None]]  # (step, loss)


def losses(result: StudyResult, task: str, language: str = "en") -> Drawing:
    """Training loss by step of one task; a line for each method and seed; a gap where the loss is not a number."""
    runs = [single for single in result.singles if single.task == task]
    figure, shown = go.Figure(), set()
    for run in runs:
        values = run.training.losses
        figure.add_scatter(
            x=list(range(1, len(values) + 1)),
            y=[value if isfinite(value) else None for value in values],
            mode="lines",
            line={"color": METHOD_MARKS[run.method][0], "width": 1.6},
            connectgaps=False,
            name=method_label(run.method, language),
            legendgroup=run.method,
            meta=f"{run.method}/{run.seed}",
            showlegend=run.method not in shown,
        )
        shown.add(run.method)
    figure.update_xaxes(title_text=translate("figures.axis.step", language))
    figure.update_yaxes(title_text=translate("figures.axis.loss", language), rangemode="tozero")
    rows = [_loss_row(run, language) for run in runs]
    last = {row[0]: " / ".join(_said(other[3], language) for other in rows if other[0] == row[0]) for row in rows}
    each = listed((f"{label} {values}" for label, values in last.items()), language)
    summary = translate("figures.losses.summary", language, each=each)
    if any(not isfinite(value) for run in runs for value in run.training.losses):
        summary += translate("figures.losses.diverged", language)
    header = ("method", "seed", "first_loss", "last_loss", "not_numbers", "steps")
    seeds = {run.seed for run in runs}
    limits = ["limits_seeds"] if len(seeds) > 1 else []
    return drawing("losses", language, figure, summary, header, rows, 340, limits, task=task)


def live_losses(
    curves: Mapping[str, Curve],
    language: str = "en",
    *,
    series: Mapping[str, str] | None = None,
    log: bool = False,
    smoothing: float = 0.0,
) -> Drawing:
    """Training loss by step while a run goes on: stage -> (step, loss); a gap where the loss is None, not a number.

    Args:
        series: stage -> its name in saved data, the same in all languages.
        log: a logarithmic axis of losses.
        smoothing: 0 to below 1, see smoothed(); above 0 the curves themselves stay, faint, below the smoothed ones.
    """
    figure, rows = go.Figure(), []
    for place, (stage, curve) in enumerate(curves.items()):
        steps, values = [step for step, _ in curve], [loss for _, loss in curve]
        line = {**line_mark(place), "width": 1.6}
        shared = {"x": steps, "mode": "lines", "line": line, "connectgaps": False, "legendgroup": stage}
        saved = (series or {}).get(stage, stage)
        if smoothing:
            figure.add_scatter(**shared, y=values, meta=saved, opacity=0.25, showlegend=False, hoverinfo="none")
            values_shown, saved = smoothed(values, smoothing), f"{saved} (smoothed)"
        else:
            values_shown = values
        figure.add_scatter(**shared, y=values_shown, meta=saved, name=plain(stage))
        finite = [value for value in values if value is not None]
        first, last = (number(finite[0]), number(finite[-1])) if finite else (NO_NUMBER, NO_NUMBER)
        rows.append([stage, first, last, str(len(values) - len(finite)), str(steps[-1])])
    figure.update_xaxes(title_text=translate("figures.axis.step", language))
    figure.update_yaxes(title_text=translate("figures.axis.loss", language), rangemode="tozero")
    if log:
        figure.update_yaxes(type="log", rangemode="normal")
    figure.update_layout(showlegend=True)
    each = listed((f"{row[0]} {_said(row[2], language)}" for row in rows), language)
    summary = translate("figures.losses.summary", language, each=each) if rows else ""
    if any(row[3] != "0" for row in rows):
        summary += translate("figures.losses.diverged", language)
    header = ("stage", "first_loss", "last_loss", "not_numbers", "steps")
    return drawing("live_losses", language, figure, summary, header, rows, 340)


def smoothed(values: Sequence[float | None], weight: float) -> list[float | None]:
    """Exponential moving average, s = weight s + (1 - weight) v, over the weight that it has seen; gaps stay gaps."""
    mean, seen, found = 0.0, 0.0, []
    for value in values:
        if value is not None:
            mean, seen = weight * mean + (1 - weight) * value, weight * seen + 1 - weight
        found.append(None if value is None else mean / seen)
    return found


def _said(loss: str, language: str) -> str:
    """A loss of the table in a sentence, also where no step had a number."""
    return translate("figures.no_number", language) if loss == NO_NUMBER else loss


def _loss_row(run: SingleResult, language: str) -> list[str]:
    values = run.training.losses
    finite = [value for value in values if isfinite(value)]
    first, last = (number(finite[0]), number(finite[-1])) if finite else (NO_NUMBER, NO_NUMBER)
    gaps = str(len(values) - len(finite))
    return [method_label(run.method, language), str(run.seed), first, last, gaps, str(run.training.steps)]


def cost(result: StudyResult, language: str = "en") -> Drawing:
    """Trained parameters of one adapter by method as bars, means over tasks and seeds; table: bytes, seconds."""
    names = methods(result)
    parameters = {m: fmean(run.trained_parameters for run in result.singles if run.method == m) for m in names}
    most = max(parameters.values())
    labels = [method_label(method, language) for method in names]
    figure = go.Figure(
        go.Bar(
            x=list(parameters.values()),
            y=labels,
            orientation="h",
            marker={"color": [METHOD_MARKS[method][0] for method in names]},
            text=[f"{count:,.0f}" for count in parameters.values()],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="text",
        )
    )
    figure.update_xaxes(title_text=translate("figures.axis.parameters", language), range=[0, most * 1.3], nticks=5)
    figure.update_yaxes(autorange="reversed", title_text=translate("figures.axis.method", language))
    each = (f"{label} {percent(count / most)}" for label, count in zip(labels, parameters.values(), strict=True))
    summary = translate("figures.cost.summary", language, each=listed(each, language))
    rows = [[label, *_cost_cells(result, method, most)] for label, method in zip(labels, names, strict=True)]
    header = ("method", "trained_parameters", "share", "file", "optimizer", "seconds")
    return drawing("cost", language, figure, summary, header, rows, 110 + 44 * len(names))


def _cost_cells(result: StudyResult, method: str, most: float) -> list[str]:
    runs = [run for run in result.singles if run.method == method]
    parameters = fmean(run.trained_parameters for run in runs)
    stored = [run.file_bytes for run in runs if run.file_bytes is not None]
    return [
        f"{parameters:,.0f}",
        percent(parameters / most),
        size(fmean(stored) if stored else None),
        size(fmean(run.training.optimizer_bytes for run in runs)),
        f"{fmean(run.seconds for run in runs):,.0f}",
    ]
