"""Drawing, which every figure function returns, and the look that all figures share.

The background is transparent and the grey of text and lines is readable on white and on black, so that one figure fits
a light and a dark page; a page that knows its colours overrides the text by CSS. Colours: Okabe and Ito,
https://jfly.uni-koeln.de/color/, always together with a marker shape.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import hex_to_rgb, sample_colorscale, unlabel_rgb

from lori_core.figures.wording import NO_NUMBER, plain, sentences, told_short
from lori_core.translate import messages, translate


@dataclass(frozen=True)
class Drawing:
    """A figure with what it says in words and in numbers, for those who cannot see it.

    Attributes:
        summary: one or two sentences computed from the numbers.
        limits: what the figure does not show.
        header, rows: the numbers as a table; the first cell of a row names it. Plain text, not escaped.
    axes: what the figure's axes measure, in names for programs: {"xaxis": "step", "yaxis": "loss"}; where known.
    """

    figure: Any  # a go.Figure: what its attributes are, plotly's code tells no type checker in the same way twice
    title: str
    summary: str
    limits: str
    header: list[str]
    rows: list[list[str]]
    axes: dict[str, str]

    def untitled(self, **layout: Any) -> go.Figure:
        """A copy of the figure for a page that has the title as its own text, with more of its layout changed."""
        return go.Figure(self.figure).update_layout({"title": {"text": "", "automargin": False}, **layout})


GREY = "#767676"  # contrast 4.5 on white, 4.6 on black
MIDDLE = 0.179  # luminance on which black and white are read equally well, 4.6 : 1
FAINT = "rgba(128,128,128,0.28)"
# Colours for shares of 0 to 1, spread by their square root: a mask keeps a tenth, and colours that moved with the
# largest share would say another thing of the next mask.
SHARES = [
    [(place / 20) ** 2, colour] for place, colour in zip(range(21), sample_colorscale("Cividis", 21), strict=True)
]
FONT = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, '
    '"Hiragino Sans", "Yu Gothic UI", "Noto Sans CJK JP", "Noto Sans JP", sans-serif'
)
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
# The one table of a method's (colour, marker shape): it looks the same in every figure of app, report and notebooks.
METHOD_MARKS = {
    "lora": ("#D55E00", "circle"),
    "lori_d": ("#0072B2", "square"),
    "lori_s": ("#009E73", "diamond"),
    "lori_d_conditioned": ("#56B4E9", "triangle-down"),
    "lori_s_conditioned": ("#E69F00", "star"),
    "full": ("#CC79A7", "triangle-up"),
}

_AXIS = {"gridcolor": FAINT, "zerolinecolor": FAINT, "linecolor": FAINT, "automargin": True}
_AXIS["title"] = {"standoff": 8, "font": {"size": 12}}
HORIZONTAL_BAR = {  # above the cells, which so have the whole width of a phone
    "orientation": "h",
    "y": 1.02,
    "yanchor": "bottom",
    "thickness": 10,
    "ypad": 0,
    "outlinewidth": 0,
    "title": {"side": "top", "font": {"size": 12}},
}
BELOW_A_BAR = 28  # pixels: where there is a horizontal bar, plotly takes 20 of them off, and a title lay on the labels
_TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": GREY},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 16, "t": 8, "b": 8},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "title": {"x": 0, "xref": "container", "yref": "container", "y": 0.98, "automargin": True, "pad": {"b": 12}},
        "hoverlabel": {"namelength": -1},  # else long names are cut off
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "itemsizing": "constant"},
    },
    data={"heatmap": [{"colorbar": HORIZONTAL_BAR, "xgap": 1, "ygap": 1}]},
)


def drawing(
    kind: str,
    language: str,
    figure: Any,
    summary: str,
    header: Iterable[str],
    rows: list[list[str]],
    height: int = 320,
    limits: Iterable[str] = (),
    **title_values: str,
) -> Drawing:
    """The figure in the common look, with the texts of `figures.<kind>.*`.

    Args:
        header: keys of `figures.column.*`; a column without any number in it is left out.
        height: pixels.
        limits: what the figure does not show beside `figures.<kind>.limits`: keys after `figures.<kind>.`.
        title_values: what the title names, e.g. the task.
    """
    header = list(header)
    filled = [place for place in range(len(header)) if not rows or any(row[place] != NO_NUMBER for row in rows)]
    title = translate(f"figures.{kind}.title", language, **title_values)
    figure.update_layout(template=_TEMPLATE, height=height, title_text=plain(title))
    if any(trace.type == "heatmap" for trace in figure.data):
        figure.update_xaxes(title_standoff=BELOW_A_BAR)
    return Drawing(
        figure,
        title,
        summary,
        sentences((translate(f"figures.{kind}.{part}", language) for part in ("limits", *limits)), language),
        [translate(f"figures.column.{header[place]}", language) for place in filled],
        [[row[place] for place in filled] for row in rows],
        _axis_names(figure, language),
    )


def _axis_names(figure: go.Figure, language: str) -> dict[str, str]:
    """Titles are texts of `figures.axis.*`, whose keys are the same in all languages."""
    keys = {text: key.rpartition(".")[2] for key, text in messages(language).items() if key.startswith("figures.axis.")}
    layout = figure.layout.to_plotly_json()
    titles = {name: layout[name].get("title", {}).get("text") for name in layout if re.match("[xy]axis", name)}
    return {name: keys[title] for name, title in titles.items() if title in keys}


def task_mark(index: int) -> tuple[str, str]:
    """(colour, marker shape) of the task at that position; 7 colours and 8 shapes: the first 56 pairs differ."""
    return _COLOURS[index % len(_COLOURS)], _SHAPES[index % len(_SHAPES)]


def variant_marks(variants: Sequence[str]) -> dict[str, tuple[str, str]]:
    """variant -> (colour, marker shape): a method's own, hollow where its tasks share one A; for others what no method
    among them has."""
    own = {variant: mark for variant in variants if (mark := _mark_of(variant))}
    taken = {part for colour, shape in own.values() for part in (colour, shape.removesuffix("-open"))}
    colours, shapes = ([each for each in marks if each not in taken] for marks in (_COLOURS, _SHAPES))
    others = [variant for variant in variants if variant not in own]
    free = {v: (colours[i % len(colours)], shapes[i % len(shapes)]) for i, v in enumerate(others)}
    return own | free


def _mark_of(variant: str) -> tuple[str, str] | None:
    """Of a variant named after a method: "merged_lori_d_shared" is LoRI-D, merged, under one A."""
    name = variant.removeprefix("merged_")
    method = name.removesuffix("_shared")
    if method not in METHOD_MARKS:
        return None
    colour, shape = METHOD_MARKS[method]
    return colour, shape if name == method else f"{shape}-open"


def write_cells(figure: Any, texts: Sequence[Sequence[str]]) -> None:
    """Write a text into each cell of the figure's heatmap, black or white, whichever is read better on its colour.

    Plotly's own choice has contrasts down to 2.5 : 1. The heatmap needs zmin and zmax.
    """
    (heatmap,) = figure.data
    span = (heatmap.zmax - heatmap.zmin) or 1
    cells = [(x, y, value) for y, row in enumerate(heatmap.z) for x, value in enumerate(row) if value is not None]
    shares = [min(1.0, max(0.0, (value - heatmap.zmin) / span)) for *_, value in cells]
    figure.add_scatter(
        x=[x for x, _, _ in cells],
        y=[y for _, y, _ in cells],
        text=[texts[y][x] for x, y, _ in cells],
        mode="text",
        textfont={"size": 12, "color": [_read_on(heatmap.colorscale, share) for share in shares]},
        hoverinfo="skip",
        showlegend=False,
    )


def _read_on(scale: Sequence[tuple[float, str]], share: float) -> str:
    """White on dark colours, black on others: by relative luminance, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance.

    Args:
        scale: (place, "#rrggbb" or "rgb(...)") of a colour scale; share: the place on it, 0 to 1.
    """
    places = [place for place, _ in scale]
    channels = zip(*(hex_to_rgb(each) if each.startswith("#") else unlabel_rgb(each) for _, each in scale), strict=True)
    parts = [float(np.interp(share, places, channel)) / 255 for channel in channels]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return "#fff" if np.dot([0.2126, 0.7152, 0.0722], linear) < MIDDLE else "#000"


def line_mark(index: int) -> dict[str, Any]:
    """Colour and dashes of the line at that position; the first 42 differ."""
    return {"color": _COLOURS[index % len(_COLOURS)], "dash": _DASHES[index // len(_COLOURS) % len(_DASHES)]}


def categories(names: Sequence[str], reverse: bool = False) -> dict[str, Any]:
    """An axis with one name at each whole number; as names, plotly would take "2024" for a value."""
    span = [-0.5, len(names) - 0.5]
    return {
        "tickvals": list(range(len(names))),
        "ticktext": told_short(names),
        "range": span[::-1] if reverse else span,
        "zeroline": False,
    }
