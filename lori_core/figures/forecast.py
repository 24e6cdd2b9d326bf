"""Forecast: how much of each other task an adapter will let through, known from footprints before anything is trained.

Amplitudes against the task's own adapter: 1 is as much as of its own, 0 is nothing.
"""

from collections.abc import Mapping, Sequence
from itertools import permutations
from statistics import StatisticsError, correlation, fmean

import plotly.graph_objects as go

from lori_core.figures.drawing import GREY, METHOD_MARKS, Drawing, categories, drawing
from lori_core.figures.wording import listed, method_label, number, plain, sentences
from lori_core.results import PairMatrix
from lori_core.translate import translate

Point = tuple[str, float, float]  # "task → task", forecast, measured
FEW = 3  # points below which a rank correlation says nothing


def top_of(matrices: Sequence[PairMatrix]) -> float:
    """The largest value, at least 1: where the colours of matrices that are to be compared end."""
    return max([1.0, *(value for matrix in matrices for _, value, _ in _pairs(matrix))])


def forecast_matrix(label: str, matrix: PairMatrix, top: float, language: str = "en") -> Drawing:
    """Adapters down, the tasks whose inputs they are given across; in brackets what a random A of that size gives.

    Args:
        label: whose A they are: a method's name.
        top: top_of() all that it stands beside.
    """
    size = range(len(matrix.names))
    texts = [["" if s == t else _cell(matrix, s, t) for t in size] for s in size]
    figure = go.Figure(
        go.Heatmap(
            z=[[None if s == t else matrix.values[s][t] for t in size] for s in size],
            zmin=0,
            zmax=top,
            colorscale="Oranges",
            text=texts,
            texttemplate="%{text}",
            hoverinfo="text",
            colorbar={"title": {"text": translate("figures.measure.forecast", language)}},
        )
    )
    figure.update_xaxes(title_text=translate("figures.axis.inputs_of", language), showgrid=False)
    figure.update_yaxes(title_text=translate("figures.axis.adapter_of", language), showgrid=False)
    figure.update_xaxes(**categories(matrix.names))
    figure.update_yaxes(**categories(matrix.names, reverse=True))
    rows = [[pair, number(value), number(chance)] for pair, value, chance in _pairs(matrix)]
    summary = what_is_forecast(matrix, language)
    header = ("pair", "forecast", "null_mean")
    return drawing("forecast", language, figure, summary, header, rows, 180 + 46 * len(size), method=label)


def what_is_forecast(matrix: PairMatrix, language: str = "en") -> str:
    """The mean over pairs and the largest, beside what a random A would let through."""
    pairs = _pairs(matrix)
    if not pairs:
        return translate("figures.pairs.empty", language)
    pair, most, _ = max(pairs, key=lambda each: each[1])
    mean = number(fmean(value for _, value, _ in pairs), 2)
    said = [translate("figures.forecast.summary", language, pair=pair, most=number(most, 2), mean=mean)]
    if by_chance := [chance for *_, chance in pairs if chance is not None]:
        said.append(translate("figures.forecast.by_chance", language, chance=number(fmean(by_chance), 2)))
    return sentences(said, language)


def forecast_against_measured(points: Mapping[str, Sequence[Point]], language: str = "en") -> Drawing:
    """One mark a pair of tasks: cross-talk as it was forecast before training, and as measured after it; y = x.

    Args:
        points: method -> its pairs, see forecast_and_measured().
    """
    figure, rows = go.Figure(), []
    end = 1.05 * max([1.0, *(value for found in points.values() for _, *both in found for value in both)])
    figure.add_scatter(
        x=[0, end],
        y=[0, end],
        mode="lines",
        line={"color": GREY, "dash": "dot"},
        name=translate("figures.as_forecast", language),
        hoverinfo="skip",
    )
    for method, found in points.items():
        label, (colour, shape) = method_label(method, language), METHOD_MARKS[method]
        figure.add_scatter(
            x=[forecast for _, forecast, _ in found],
            y=[measured for *_, measured in found],
            mode="markers",
            marker={"color": colour, "symbol": shape, "size": 10, "opacity": 0.8},
            name=plain(label),
            text=[plain(f"{label}, {pair}") for pair, *_ in found],
            hovertemplate="%{text}<br>%{x:.3f}, %{y:.3f}<extra></extra>",
            cliponaxis=False,
        )
        rows += [[label, pair, number(forecast), number(measured)] for pair, forecast, measured in found]
    figure.update_xaxes(title_text=translate("figures.axis.forecast", language), range=[0, end])
    figure.update_yaxes(title_text=translate("figures.axis.measured", language), range=[0, end])
    header = ("method", "pair", "forecast", "value")
    summary = how_well_forecast(points, language)
    return drawing("forecast_against_measured", language, figure, summary, header, rows, 420)


def forecast_and_measured(interference: Sequence[tuple[str, PairMatrix]]) -> dict[str, list[Point]]:
    """method -> its pairs, of those methods that have both."""
    by_measure = {
        measure: {method: matrix for method, matrix in interference if matrix.measure == measure}
        for measure in ("forecast", "function")
    }
    found: dict[str, list[Point]] = {}
    for method, matrix in by_measure["forecast"].items():
        if measured := by_measure["function"].get(method):
            real = {pair: value for pair, value, _ in _pairs(measured)}
            found[method] = [(pair, value, real[pair]) for pair, value, _ in _pairs(matrix) if pair in real]
    return {method: points for method, points in found.items() if points}


def how_well_forecast(points: Mapping[str, Sequence[Point]], language: str = "en") -> str:
    """Rank correlation by method and over all, since methods that differ raise the latter by themselves."""
    groups = {method_label(method, language): list(found) for method, found in points.items()}
    if len(groups) > 1:
        together = [point for found in points.values() for point in found]
        groups[translate("figures.forecast_against_measured.all", language)] = together
    known = {label: rank_correlation(found) for label, found in groups.items()}
    each = [f"{label} {number(value, 2)}" for label, value in known.items() if value is not None]
    count = sum(len(found) for found in points.values())
    if not each:
        return translate("figures.forecast_against_measured.few", language, count=count)
    together = translate(
        "figures.forecast_against_measured.summary", language, each=listed(each, language), count=count
    )
    said = [together]
    if len(groups) > 1:
        said.append(translate("figures.forecast_against_measured.between", language))
    return sentences(said, language)


def rank_correlation(points: Sequence[Point]) -> float | None:
    """Spearman's; None of fewer than FEW points, or where one side does not vary."""
    if len(points) < FEW:
        return None
    try:
        return correlation(*(_ranks([float(point[side]) for point in points]) for side in (1, 2)))
    except StatisticsError:
        return None


def _ranks(values: Sequence[float]) -> list[float]:
    """Equal values share the mean of their places."""
    return [sum(other < value for other in values) + sum(other == value for other in values) / 2 for value in values]


def _pairs(matrix: PairMatrix) -> list[tuple[str, float, float | None]]:
    """("s → t", value, chance) of every pair that has a value."""
    names, chance = matrix.names, matrix.null_mean
    return [
        (f"{names[s]} → {names[t]}", value, chance[s][t] if chance else None)
        for s, t in permutations(range(len(names)), 2)
        if (value := matrix.values[s][t]) is not None
    ]


def _cell(matrix: PairMatrix, s: int, t: int) -> str:
    value = number(matrix.values[s][t], 2)
    chance = matrix.null_mean[s][t] if matrix.null_mean else None
    return value if chance is None else f"{value}<br>({number(chance, 2)})"
