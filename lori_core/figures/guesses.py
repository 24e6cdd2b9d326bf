"""Guesses: a class's predictions of one number, as a histogram, with what was measured."""

import math
from collections.abc import Sequence
from statistics import median

import plotly.graph_objects as go

from lori_core.figures.drawing import Drawing, drawing, task_mark
from lori_core.figures.wording import plain
from lori_core.translate import translate

BARS = 20


def guesses(
    asked: str, guessed: Sequence[float], measured: float, low: float, high: float, close: int, language: str = "en"
) -> Drawing:
    """How many guessed what; the line is what was measured.

    Args:
        asked: the question, in words.
        guessed: numbers from low to high, one a student.
        measured: NaN where it could not be taken.
        close: how many of them count as close.
    """
    width = (high - low) / BARS
    counts = [0] * BARS
    for each in guessed:
        counts[min(max(int((each - low) / width), 0), BARS - 1)] += 1
    edges = [low + width * place for place in range(BARS + 1)]
    (colour, _), (other, _) = task_mark(0), task_mark(5)
    figure = go.Figure(
        go.Bar(
            x=[edge + width / 2 for edge in edges[:-1]],
            y=counts,
            width=[0.9 * width] * BARS,
            marker={"color": colour},
            name=translate("figures.guesses.guesses", language),
            hovertemplate="%{y}<extra></extra>",
        )
    )
    if math.isfinite(measured):
        figure.add_scatter(
            x=[measured, measured],
            y=[0, max(counts) * 1.1],
            mode="lines",
            line={"color": other, "width": 3},
            name=translate("figures.guesses.measured", language),
            hovertemplate="%{x:.3g}<extra></extra>",
        )
    figure.update_xaxes(title_text=plain(asked), range=[low, high])
    figure.update_yaxes(title_text=translate("figures.guesses.students", language), rangemode="tozero")
    figure.update_yaxes(tickformat="d", dtick=max(1, max(counts) // 5))
    said = {
        "count": len(guessed),
        "median": f"{median(guessed):.3g}",
        "measured": f"{measured:.3g}" if math.isfinite(measured) else "–",
        "close": close,
    }
    summary = translate("figures.guesses.summary", language, **said)
    bars = zip(edges, edges[1:], counts, strict=False)
    rows = [[f"{start:.3g} – {end:.3g}", str(count)] for start, end, count in bars if count]
    return drawing("guesses", language, figure, summary, ("guess", "students"), rows, asked=asked)
