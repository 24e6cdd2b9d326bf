"""Rows of scores: one for each task and, within a row, a lane for each method or variant."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from lori_core.figures.drawing import FAINT, categories
from lori_core.figures.means import Interval
from lori_core.results import Score
from lori_core.translate import translate


def lane_of(index: int, count: int) -> float:
    """Where a method's marks lie within a task's row, -0.5 to 0.5."""
    return (index - (count - 1) / 2) * 0.72 / count


def height(tasks: Sequence[str], lanes: Sequence[str]) -> int:
    """Pixels of the whole figure."""
    return 130 + len(tasks) * (24 + 20 * len(lanes))


def score_axes(figure: go.Figure, tasks: Sequence[str], language: str) -> None:
    """Scores from left to right, tasks down the page with a line between two."""
    figure.update_xaxes(title_text=translate("figures.axis.score", language), range=[-0.02, 1.02])
    figure.update_yaxes(title_text=translate("figures.axis.task", language), showgrid=False)
    figure.update_yaxes(**categories(tasks, reverse=True))
    for boundary in range(1, len(tasks)):
        figure.add_hline(y=boundary - 0.5, line={"color": FAINT, "width": 1})


def error_bars(scores: Sequence[Score | Interval]) -> dict[str, Any]:
    """The 95 % intervals of marks at the scores."""
    return {
        "array": [score.high - score.value for score in scores],
        "arrayminus": [score.value - score.low for score in scores],
        "thickness": 1.5,
        "width": 4,
    }
