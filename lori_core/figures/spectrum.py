"""Spectrum of one module: what a task uses of its input, what the other tasks use, what A reads."""

import plotly.graph_objects as go

from lori_core.figures.drawing import GREY, Drawing, drawing, task_mark
from lori_core.figures.wording import number, percent
from lori_core.results import Spectrum
from lori_core.translate import translate


def spectrum(found: Spectrum, language: str = "en") -> Drawing:
    """Bars: shares of energy in groups of directions; line: the share of each group that A reads."""
    groups = [f"{first}" if first == last else f"{first}–{last}" for first, last in found.directions]
    figure = go.Figure()
    for place, (name, values) in enumerate((("own", found.own), ("others", found.others))):
        figure.add_bar(
            x=list(range(len(groups))),
            y=list(values),
            marker={"color": task_mark(place)[0], "opacity": 0.75},
            name=translate(f"figures.spectrum.{name}", language),
            hovertemplate="%{y:.3f}<extra></extra>",
        )
    colour, shape = task_mark(5)
    figure.add_scatter(
        x=list(range(len(groups))),
        y=list(found.read),
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"symbol": shape, "size": 9},
        name=translate("figures.spectrum.read", language),
        hovertemplate="%{y:.3f}<extra></extra>",
    )
    by_chance = found.rank / found.directions[-1][1]
    figure.add_hline(y=by_chance, line={"color": GREY, "dash": "dot", "width": 1.5})
    figure.update_xaxes(title_text=translate("figures.axis.directions", language))
    figure.update_xaxes(tickvals=list(range(len(groups))), ticktext=groups)
    figure.update_yaxes(title_text=translate("figures.axis.share", language), range=[0, 1.03])
    rows = [
        [group, *map(number, cells)] for group, *cells in zip(groups, found.own, found.others, found.read, strict=True)
    ]
    summary = translate(
        "figures.spectrum.summary",
        language,
        task=found.task,
        rank=found.rank,
        own=percent(found.read_of_own),
        others=percent(found.read_of_others),
        chance=percent(by_chance),
    )
    header = ("directions", "energy_own", "energy_others", "read")
    return drawing("spectrum", language, figure, summary, header, rows, 360, module=found.module)
