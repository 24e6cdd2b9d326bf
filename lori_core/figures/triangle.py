"""Merge triangle: each point a merge of three adapters, its colour the forecast of the task that is disturbed most.

The nearer a point lies to a corner, the more of that corner's adapter is in it. Two adapters are a line.
"""

from math import log10, sqrt

import plotly.graph_objects as go

from lori_core.figures.drawing import HORIZONTAL_BAR, Drawing, drawing, task_mark
from lori_core.figures.wording import NO_NUMBER, listed, number, percent, plain
from lori_core.results import WeightedMerges
from lori_core.translate import translate

HEIGHT = sqrt(3) / 2  # of a triangle whose sides are 1
LOWEST, HIGHEST = 0.1, 10.0  # ends of the colours: a tenth of the own, ten times the own
TICKS = (0.1, 0.3, 1.0, 3.0, 10.0)


def merge_triangle(found: WeightedMerges, language: str = "en") -> Drawing:
    """A point's place in `found` is its number in the first trace of three, and in each trace of two.

    One can be chosen by dragging (app/plot.py); the trace "chosen" marks it.
    """
    least = found.least
    worst = found.worst[least]
    summary = translate(
        "figures.merge_triangle.summary",
        language,
        weights=_said(found, least, language),
        worst=number(worst, 2),
        task=max(zip(found.ratios[least], found.names, strict=True), key=lambda pair: pair[0] or 0.0)[1],
    )
    figure = _line(found, language) if len(found.names) == 2 else _triangle(found, language)
    rows = [[_said(found, place, language), number(worst, 2)] for place, worst in enumerate(found.worst)]
    tasks = listed(found.names, language)
    return drawing("merge_triangle", language, figure, summary, ("weights", "foreign"), rows, 460, tasks=tasks)


def _triangle(found: WeightedMerges, language: str) -> go.Figure:
    title = translate("figures.column.foreign", language)
    figure = go.Figure()
    figure.add_scatter(
        x=[second + third / 2 for _, second, third in found.weights],
        y=[third * HEIGHT for *_, third in found.weights],
        mode="markers",
        marker={
            "symbol": "hexagon",
            "size": 15,
            "color": [log10(min(HIGHEST, max(LOWEST, each or HIGHEST))) for each in found.worst],
            "colorscale": "Cividis",
            "reversescale": True,
            "cmin": log10(LOWEST),
            "cmax": log10(HIGHEST),
            "colorbar": HORIZONTAL_BAR
            | {"title": {"text": title, "side": "top", "font": {"size": 12}}}
            | {"tickvals": [log10(tick) for tick in TICKS], "ticktext": [f"{tick:g}" for tick in TICKS]},
        },
        text=[_hover(found, place, language) for place in range(len(found.weights))],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        meta="merges",
    )
    _, second, third = found.weights[found.least]
    figure.add_scatter(
        x=[second + third / 2],
        y=[third * HEIGHT],
        mode="markers",
        marker={"symbol": "star", "size": 16, "color": "#fff", "line": {"color": "#000", "width": 1.5}},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=[0.5],
        y=[0],
        mode="markers",
        marker={"symbol": "circle-open", "size": 22, "color": "#D55E00", "line": {"width": 3}},
        hoverinfo="skip",
        showlegend=False,
        visible=False,
        meta="chosen",
    )
    figure.update_layout(meta={"drag": "both", "weights": found.weights})
    corners = ((0, -0.07, "left"), (1, -0.07, "right"), (0.5, HEIGHT + 0.07, "center"))
    for (x, y, anchor), name in zip(corners, found.names, strict=True):
        figure.add_annotation(x=x, y=y, text=plain(name), showarrow=False, xanchor=anchor, font={"size": 14})
    figure.update_xaxes(visible=False, range=[-0.08, 1.08])
    figure.update_yaxes(visible=False, range=[-0.14, HEIGHT + 0.14], scaleanchor="x")
    return figure


def _line(found: WeightedMerges, language: str) -> go.Figure:
    figure = go.Figure()
    for t, name in enumerate(found.names):
        colour, symbol = task_mark(t)
        figure.add_scatter(
            x=[second for _, second in found.weights],
            y=[row[t] for row in found.ratios],
            mode="lines+markers",
            line={"color": colour},
            marker={"symbol": symbol},
            name=plain(name),
            meta=name,
            text=[_hover(found, place, language) for place in range(len(found.weights))],
            hovertemplate="%{text}<extra></extra>",
        )
    figure.add_scatter(
        x=[0.5, 0.5],
        y=[LOWEST, HIGHEST],
        mode="lines",
        line={"color": "#D55E00", "width": 3},
        hoverinfo="skip",
        showlegend=False,
        visible=False,
        meta="chosen",
    )
    figure.update_layout(meta={"drag": "across", "weights": found.weights})
    figure.update_xaxes(title_text=translate("figures.axis.share_of_weight", language), range=[-0.02, 1.02])
    figure.update_yaxes(
        title_text=translate("figures.axis.foreign", language),
        type="log",
        range=[log10(LOWEST), log10(HIGHEST)],
        tickvals=TICKS,
    )
    return figure


def _said(found: WeightedMerges, place: int, language: str) -> str:
    """ "nlu 50 %, math 50 %"."""
    weights = zip(found.names, found.weights[place], strict=True)
    return listed((f"{name} {percent(weight)}" for name, weight in weights), language)


def _hover(found: WeightedMerges, place: int, language: str) -> str:
    ratios = zip(found.names, found.ratios[place], strict=True)
    each = "<br>".join(f"{plain(name)}: {NO_NUMBER if ratio is None else number(ratio, 2)}" for name, ratio in ratios)
    return f"{plain(_said(found, place, language))}<br>{each}"
