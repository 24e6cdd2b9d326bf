"""Slider: drawings of one kind, at several values of a setting, as one drawing that is turned from value to value."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go

from lori_core.figures.drawing import FAINT, GREY, Drawing
from lori_core.figures.wording import sentences
from lori_core.translate import translate

ROOM = 84  # pixels below the figure that the slider takes


def slider(setting: str, drawings: Mapping[float, Drawing], start: float, language: str = "en") -> Drawing:
    """The drawings in one figure, one of them seen; all have the axes of the one at `start`.

    The slider is plotly's own: it needs no kernel, so it still turns in an export.

    Args:
        setting: what is turned, text `figures.slider.<setting>`.
        drawings: value -> drawing, in the slider's order.
    """
    label, shown = translate(f"figures.slider.{setting}", language), drawings[start]
    figure, values = go.Figure(layout=shown.figure.layout), list(drawings)
    owners = [value for value in values for _ in drawings[value].figure.data]
    for value in values:
        figure.add_traces([_trace(trace, value == start) for trace in drawings[value].figure.data])
    steps = [
        {"label": f"{value:g}", "method": "restyle", "args": [{"visible": [owner == value for owner in owners]}]}
        for value in values
    ]
    turning = {"active": values.index(start), "steps": steps, "pad": {"t": ROOM - 40}, "len": 0.9, "x": 0.05}
    look = {"bgcolor": FAINT, "bordercolor": GREY, "tickcolor": GREY, "activebgcolor": GREY}
    figure.update_layout(
        height=shown.figure.layout.height + ROOM,
        sliders=[turning | look | {"currentvalue": {"prefix": f"{label}: "}}],
    )
    if shown.figure.layout.yaxis.range is None:
        figure.update_yaxes(range=_range_of_all(figure))
    ends = sorted({values[0], start, values[-1]}, key=values.index)
    said = (
        translate("figures.slider.at", language, setting=label, value=f"{end:g}", summary=drawings[end].summary)
        for end in ends
    )
    return replace(
        shown,
        figure=figure,
        summary=sentences(said, language),
        header=[label, *shown.header],
        rows=[[f"{value:g}", *row] for value in values for row in drawings[value].rows],
    )


def _trace(trace: Any, visible: bool) -> Any:
    return type(trace)(trace).update(visible=visible)


def _range_of_all(figure: Any) -> list[float]:
    """Else the axis would follow the traces that are seen, and turning would seem to change nothing."""
    values = [value for trace in figure.data for value in trace.y]
    margin = 0.05 * (max(values) - min(values))
    return [min(values) - margin, max(values) + margin]
