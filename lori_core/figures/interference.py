"""Interference of each pair of adapters beside what chance gives and what a shared A would give."""

from itertools import combinations, permutations

import plotly.graph_objects as go

from lori_core.figures.drawing import GREY, Drawing, categories, drawing, task_mark
from lori_core.figures.wording import number
from lori_core.results import PairMatrix
from lori_core.translate import translate

CLEAR = 3.0  # null deviations from which on a pair is said to differ from chance
BAND = 2.0  # null deviations that are drawn to either side

Pair = tuple[int, int]


def pair_band(matrix: PairMatrix, control: PairMatrix | None = None, language: str = "en") -> Drawing:
    """A row a pair: the measured value, the band that independent adapters would lie in, and the control.

    Args:
        control: the same measure of the same tasks' adapters that share one A, in the same order.
    """
    size = len(matrix.names)
    couples = permutations(range(size), 2) if matrix.measure == "function" else combinations(range(size), 2)
    pairs = [pair for pair in couples if _at(matrix.values, pair) is not None]
    labels = [_label(matrix, pair) for pair in pairs]
    places = list(range(len(pairs)))
    figure = go.Figure()
    colour, shape = task_mark(0)
    figure.add_scatter(
        x=[_at(matrix.null_mean, pair) for pair in pairs],
        y=places,
        mode="markers",
        marker={"color": GREY, "symbol": "line-ns-open", "size": 12},
        error_x={
            "type": "data",
            "array": [BAND * (_at(matrix.null_sd, pair) or 0.0) for pair in pairs],
            "color": "rgba(128,128,128,0.45)",
            "thickness": 10,
            "width": 0,
        },
        name=translate("figures.by_chance", language),
    )
    if control is not None:
        figure.add_scatter(
            x=[_at(control.values, pair) for pair in pairs],
            y=places,
            mode="markers",
            marker={"color": "#D55E00", "symbol": "x-thin-open", "size": 10, "line": {"width": 2}},
            name=translate("figures.control", language),
        )
    figure.add_scatter(
        x=[_at(matrix.values, pair) for pair in pairs],
        y=places,
        mode="markers",
        marker={"color": colour, "symbol": shape, "size": 11},
        name=translate("figures.column.value", language),
    )
    figure.update_xaxes(title_text=translate(f"figures.measure.{matrix.measure}", language))
    figure.update_yaxes(**categories(labels, reverse=True), showgrid=False)
    rows = []
    for label, pair in zip(labels, pairs, strict=True):
        known = [number(_at(table, pair), 4) for table in (matrix.values, matrix.null_mean, matrix.null_sd)]
        z, with_control = number(_at(matrix.z, pair), 1), number(_at(control.values, pair) if control else None, 4)
        rows.append([label, *known, z, with_control])
    header = ("pair", "value", "null_mean", "null_sd", "z", "control")
    summary = _seen(matrix, pairs, language) + _of_control(control, pairs, language)
    return drawing(f"band_{matrix.measure}", language, figure, summary, header, rows, 150 + 34 * len(pairs))


def _at(table: tuple[tuple[float | None, ...], ...], pair: Pair) -> float | None:
    return table[pair[0]][pair[1]] if table else None


def _label(matrix: PairMatrix, pair: Pair) -> str:
    first, second = (matrix.names[place] for place in pair)
    return f"{first} {'→' if matrix.measure == 'function' else '×'} {second}"


def _seen(matrix: PairMatrix, pairs: list[Pair], language: str) -> str:
    """A sentence about the pair that is farthest from chance, and whether any is clearly off it."""
    if not pairs:
        return translate("figures.pairs.empty", language)
    farthest = max(pairs, key=lambda pair: abs(_at(matrix.z, pair) or 0.0))
    value, null = _at(matrix.values, farthest) or 0.0, _at(matrix.null_mean, farthest)
    z = _at(matrix.z, farthest)
    clear = z is not None and abs(z) >= CLEAR
    return translate(
        f"figures.band_{matrix.measure}.{'seen' if clear else 'chance'}",
        language,
        first=matrix.names[farthest[0]],
        second=matrix.names[farthest[1]],
        value=number(value),
        null=number(null),
        sd=number(_at(matrix.null_sd, farthest), 4),
        z=number(z, 1),
        ratio=number(_times(matrix.measure, value, null), 1),
    )


def _times(measure: str, value: float, null: float | None) -> float | None:
    """How many times what chance gives; of a Jaccard index, how many times the shared entries.

    With a + b entries kept in all, both = J (a + b) / (1 + J).
    """
    if not null:
        return None
    return value / (1 + value) / (null / (1 + null)) if measure == "jaccard" else value / null


def _of_control(control: PairMatrix | None, pairs: list[Pair], language: str) -> str:
    values = [value for pair in pairs if control and (value := _at(control.values, pair)) is not None]
    if not values:
        return ""
    space = translate("report.sentence_space", language)
    return space + translate("figures.band.control", language, low=number(min(values)), high=number(max(values)))
