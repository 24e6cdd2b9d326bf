"""Interference of each pair of adapters beside what chance gives and what a shared A would give.

The report and the app draw other figures of a PairMatrix and say the same of it: what_pairs_say.
"""

from collections.abc import Callable, Sequence
from itertools import combinations, permutations

import plotly.graph_objects as go

from lori_core.figures.drawing import GREY, Drawing, categories, drawing, task_mark, write_cells
from lori_core.figures.forecast import what_is_forecast
from lori_core.figures.wording import method_label, number, percent, short, told_short
from lori_core.results import PairMatrix
from lori_core.translate import translate

CLEAR = 3.0  # null deviations from which on a pair is said to differ from chance
BAND = 2.0  # null deviations that are drawn to either side

Pair = tuple[int, int]
Table = tuple[tuple[float | None, ...], ...]


def pairs(method: str | None, matrix: PairMatrix, language: str = "en") -> Drawing:
    """A measure for each pair of tasks; colours are how far it lies from what independent adapters of that pair show.

    Args:
        method: of all the adapters, in a study; None: they are named one by one.
    """
    size, away, directed = len(matrix.names), _measured(matrix), _directed(matrix)
    beyond = [[_beyond_chance(matrix, (i, j)) if i != j else None for j in range(size)] for i in range(size)]
    # At least four null deviations to either side, so that noise is not painted as a finding.
    reach = max([abs(_beyond_chance(matrix, pair) or 0.0) for pair in away] + [4 * _mean(matrix.null_sd, away), 1e-9])
    texts = [[number(_at(matrix.values, (i, j))) if i != j else "" for j in range(size)] for i in range(size)]
    measure = translate(f"figures.measure.{matrix.measure}", language)
    shown = translate("figures.axis.beyond_chance", language) if matrix.null_mean else measure
    figure = go.Figure(
        go.Heatmap(
            z=beyond,
            zmin=-reach,
            zmax=reach,
            colorscale="PuOr",
            text=texts,
            hoverinfo="text",
            colorbar={"title": {"text": shown}, "exponentformat": "none"},  # else 0.0008 is 800 µ
        )
    )
    write_cells(figure, texts)
    across, down = ("inputs_of", "adapter_of") if directed else ("task", "task")
    figure.update_xaxes(title_text=translate(f"figures.axis.{across}", language), showgrid=False)
    figure.update_yaxes(title_text=translate(f"figures.axis.{down}", language), showgrid=False)
    figure.update_xaxes(**categories(matrix.names))
    figure.update_yaxes(**categories(matrix.names, reverse=True))
    label = "" if method is None else method_label(method, language)
    summary = what_pairs_say(matrix, language) if method else _range(matrix, away, language)
    kind = "pairs" if method else "pairs_of_adapters"
    header, rows = _numbers(matrix, None, away)
    colours = ["beside_chance" if matrix.null_mean else "measured_only"]
    titled = {"method": label, "measure": measure}
    return drawing(kind, language, figure, summary, header, rows, 180 + 46 * size, colours, **titled)


def pair_band(matrix: PairMatrix, control: PairMatrix | None = None, language: str = "en") -> Drawing:
    """A row a pair: the measured value, the band that independent adapters would lie in, and the control.

    Args:
        control: the same measure of the same tasks' adapters that share one A, in the same order.
    """
    away = _measured(matrix)
    places = list(range(len(away)))
    figure = go.Figure()

    def mark(table: Table, name: str, marker: dict, **more: dict) -> None:
        x = [_at(table, pair) for pair in away]
        figure.add_scatter(
            x=x,
            y=places,
            mode="markers",
            marker=marker,
            name=translate(name, language),
            meta=name.rpartition(".")[2],
            **more,
        )

    half = [BAND * (_at(matrix.null_sd, pair) or 0.0) for pair in away]
    band = {"type": "data", "array": half, "color": "rgba(128,128,128,0.45)", "thickness": 10, "width": 0}
    if matrix.null_mean:
        mark(
            matrix.null_mean,
            "figures.by_chance",
            {"color": GREY, "symbol": "line-ns-open", "size": 12},
            error_x=band,
        )
    for line, table in _lines(matrix).items():
        mark(table, f"figures.{line}", {"color": GREY, "symbol": "diamond-open", "size": 9, "line": {"width": 1.5}})
    if control is not None:
        cross = {"color": "#D55E00", "symbol": "x-thin-open", "size": 10, "line": {"width": 2}}
        mark(control.values, "figures.control", cross)
    colour, shape = task_mark(0)
    mark(matrix.values, "figures.column.value", {"color": colour, "symbol": shape, "size": 11})
    figure.update_xaxes(title_text=translate(f"figures.measure.{matrix.measure}", language))
    figure.update_yaxes(**categories([_label(matrix, pair) for pair in away], reverse=True), showgrid=False)
    figure.update_yaxes(ticktext=_short_labels(matrix, away))
    summary = what_pairs_say(matrix, language) + _of_control(control, away, language)
    header, rows = _numbers(matrix, control, away)
    return drawing(f"band_{matrix.measure}", language, figure, summary, header, rows, 150 + 34 * len(away))


def what_pairs_say(matrix: PairMatrix, language: str = "en") -> str:
    """On the pair that is farthest from chance: whether it is clearly off it, and what else its value follows from."""
    if matrix.measure == "forecast":  # chance has a mean there, and no spread to be far from
        return what_is_forecast(matrix, language)
    away = _measured(matrix)
    if not away:
        return translate("figures.pairs.empty", language)
    farthest = max(away, key=lambda pair: (abs(_at(matrix.z, pair) or 0.0), abs(_at(matrix.values, pair) or 0.0)))
    value, null, z = (_at(table, farthest) for table in (matrix.values, matrix.null_mean, matrix.z))
    if null is None:
        kind = "pairs.summary_no_null"
    elif z is None:
        kind = "pairs.summary_no_room"
    else:
        kind = f"band_{matrix.measure}.{'seen' if abs(z) >= CLEAR else 'chance'}"
    said = translate(
        f"figures.{kind}",
        language,
        first=matrix.names[farthest[0]],
        second=matrix.names[farthest[1]],
        value=number(value),
        null=number(null),
        sd=number(_at(matrix.null_sd, farthest), 4),
        z=number(z, 1),
        ratio=number(value / null if value is not None and null else None, 1),
    )
    return said + "".join(explain(matrix, farthest, language) for explain in (_of_preference, _of_relation))


def _of_preference(matrix: PairMatrix, pair: Pair, language: str) -> str:
    """Of two masks: how much of what they share follows from counts, from preferred outputs, and how much is left.

    With a + b entries kept in all, both = J (a + b) / (1 + J).
    """
    value, null, even = (_at(table, pair) for table in (matrix.values, matrix.null_mean, matrix.even_mean))
    if not value or null is None or even is None:
        return ""
    shared, by_chance, by_counts = (j / (1 + j) for j in (value, null, even))
    parts = {"counts": by_counts, "outputs": by_chance - by_counts, "entries": shared - by_chance}
    shares = {part: percent(count / shared) for part, count in parts.items()}
    return _space(language) + translate("figures.band_jaccard.parts", language, **shares)


def _of_relation(matrix: PairMatrix, pair: Pair, language: str) -> str:
    related = _at(matrix.related_mean, pair)
    if related is None:
        return ""
    return _space(language) + translate("figures.band_cosine.related", language, related=number(related, 4))


def _of_control(control: PairMatrix | None, away: list[Pair], language: str) -> str:
    values = [value for pair in away if control and (value := _at(control.values, pair)) is not None]
    if not values:
        return ""
    low, high = number(min(values)), number(max(values))
    return _space(language) + translate("figures.band.control", language, low=low, high=high)


def _range(matrix: PairMatrix, away: Sequence[Pair], language: str) -> str:
    if not away:
        return translate("figures.pairs.empty", language)
    order = sorted(away, key=lambda pair: _at(matrix.values, pair) or 0.0)
    named = {
        f"{what}_{end}": matrix.names[order[place][end == "second"]]
        for what, place in (("least", 0), ("most", -1))
        for end in ("first", "second")
    }
    least, most = (number(_at(matrix.values, pair)) for pair in (order[0], order[-1]))
    return translate("figures.pairs_of_adapters.summary", language, least=least, most=most, **named)


def _numbers(matrix: PairMatrix, control: PairMatrix | None, away: list[Pair]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table: a column for each thing that is there."""
    columns = {"value": matrix.values, "null_mean": matrix.null_mean, "null_sd": matrix.null_sd, "z": matrix.z}
    columns |= _lines(matrix) | {"control": control.values if control else ()}
    there = {name: table for name, table in columns.items() if table}
    rows = [
        [_label(matrix, pair), *(number(_at(table, pair), 1 if name == "z" else 4) for name, table in there.items())]
        for pair in away
    ]
    return ["pair", *there], rows


def _lines(matrix: PairMatrix) -> dict[str, Table]:
    """What stands beside chance, where it is known."""
    lines = {"even_mean": matrix.even_mean, "related_mean": matrix.related_mean}
    return {name: table for name, table in lines.items() if table}


def _directed(matrix: PairMatrix) -> bool:
    """What one does to the other is not what the other does to it."""
    return matrix.measure in ("function", "forecast")


def _measured(matrix: PairMatrix) -> list[Pair]:
    couples: Callable = permutations if _directed(matrix) else combinations
    return [pair for pair in couples(range(len(matrix.names)), 2) if _at(matrix.values, pair) is not None]


def _at(table: Table, pair: Pair) -> float | None:
    return table[pair[0]][pair[1]] if table else None


def _beyond_chance(matrix: PairMatrix, pair: Pair) -> float | None:
    value = _at(matrix.values, pair)
    return None if value is None else value - (_at(matrix.null_mean, pair) or 0.0)


def _mean(table: Table, away: Sequence[Pair]) -> float:
    known = [value for pair in away if (value := _at(table, pair)) is not None]
    return sum(known) / len(known) if known else 0.0


def _label(matrix: PairMatrix, pair: Pair) -> str:
    return _joined(matrix, *(matrix.names[place] for place in pair))


def _joined(matrix: PairMatrix, first: str, second: str) -> str:
    return f"{first} {'→' if _directed(matrix) else '×'} {second}"


def _short_labels(matrix: PairMatrix, away: Sequence[Pair]) -> list[str]:
    """Labels that leave room for the figure; of a long one each name is cut, else only its first name would be left."""
    names = told_short(matrix.names, 10)
    whole = [_label(matrix, pair) for pair in away]
    return [
        short(label) if len(label) <= 18 else _joined(matrix, names[pair[0]], names[pair[1]])
        for label, pair in zip(whole, away, strict=True)
    ]


def _space(language: str) -> str:
    return translate("report.sentence_space", language)
