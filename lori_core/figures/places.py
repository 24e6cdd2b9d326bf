"""Layers by projections: how modules lie in a heatmap, and where two tasks meet."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from lori_core.figures.drawing import Drawing, categories, drawing, write_cells
from lori_core.figures.wording import number
from lori_core.results import PairMatrix
from lori_core.translate import translate

_INDEX = re.compile(r"(^|\.)(\d+)(?=\.)")  # the first numbered part of a module name is the layer


def layer_and_projection(modules: Iterable[str]) -> dict[str, tuple[int, str]]:
    """module -> (layer, projection); the shortest end of the name that tells the maps of a layer apart.

    >>> layer_and_projection(["h.0.attn.c_proj", "h.0.mlp.c_proj", "h.0.mlp.c_fc"])
    {'h.0.attn.c_proj': (0, 'attn.c_proj'), 'h.0.mlp.c_proj': (0, 'mlp.c_proj'), 'h.0.mlp.c_fc': (0, 'c_fc')}

    A module outside the layers has layer -1.
    """
    layers: dict[str, int] = {}
    maps: dict[str, tuple[str, ...]] = {}  # the name without its layer number, in parts
    for module in modules:
        found = _INDEX.search(module)
        layers[module] = int(found[2]) if found else -1
        maps[module] = tuple(_INDEX.sub(r"\1*", module, count=1).split("."))
    ends: dict[tuple[str, ...], set[tuple[str, ...]]] = {}  # end of a name -> the maps that have it
    for parts in maps.values():
        for length in range(1, len(parts) + 1):
            ends.setdefault(parts[-length:], set()).add(parts)
    shortest = {
        parts: next(end for n in range(1, len(parts) + 1) if len(ends[end := parts[-n:]]) == 1 or n == len(parts))
        for parts in set(maps.values())
    }
    return {module: (layers[module], ".".join(shortest[maps[module]])) for module in maps}


class Grid:
    """Numbers of modules in rows of projections and columns of layers.

    Attributes:
        places: module -> (layer, projection). layers, projections: those of columns and rows.
        cells: rows of numbers, None where no module lies or it has none.
        is_narrow: there is room to write numbers into the cells.
        height: pixels of the whole figure.
    """

    def __init__(self, values: Mapping[str, float | None]) -> None:
        self.places = layer_and_projection(values)
        self.layers = sorted({layer for layer, _ in self.places.values()})
        self.projections = list(dict.fromkeys(projection for _, projection in self.places.values()))
        found = {self.places[module]: value for module, value in values.items()}
        self.cells = [[found.get((layer, each)) for layer in self.layers] for each in self.projections]
        self.is_narrow = len(self.layers) <= 6
        self.height = 170 + 28 * len(self.projections)

    def texts(self, form: str) -> list[list[str]]:
        """The cells as text; form: as "{:.0%}"."""
        return [["" if value is None else form.format(value) for value in row] for row in self.cells]

    def place(self, module: str) -> tuple[str, str]:
        """(layer, projection) as a table says them."""
        layer, projection = self.places[module]
        return _layer_name(layer), projection

    def label(self, figure: go.Figure, language: str) -> None:
        """Layers below, projections at the side."""
        figure.update_xaxes(title_text=translate("figures.axis.layer", language), showgrid=False)
        figure.update_xaxes(**_layer_ticks(self.layers))
        figure.update_yaxes(title_text=translate("figures.axis.projection", language), showgrid=False)
        figure.update_yaxes(**categories(self.projections, reverse=True))


def module_at(modules: Iterable[str], row: int, column: int) -> str | None:
    """The module whose cell was clicked, in any figure of layers by projections."""
    grid = Grid(dict.fromkeys(modules))
    clicked = (grid.layers[column], grid.projections[row])
    return next((module for module, place in grid.places.items() if place == clicked), None)


def _layer_name(layer: int) -> str:
    return "–" if layer < 0 else str(layer)


def _layer_ticks(layers: Sequence[int]) -> dict[str, Any]:
    """At most 16 labelled layers, so that they stay readable."""
    ticks = categories([_layer_name(layer) for layer in layers])
    every = -(-len(layers) // 16)
    return ticks | {key: ticks[key][::every] for key in ("tickvals", "ticktext")}


def pair_places(matrix: PairMatrix, first: str, second: str, language: str = "en") -> Drawing:
    """A measure of one pair of tasks, projection by layer. Raises ValueError where a name is not in the matrix."""
    s, t = matrix.names.index(first), matrix.names.index(second)
    values = {module: cells[s][t] for module, cells in matrix.by_module.items()}
    grid = Grid(values)
    measure = translate(f"figures.measure.{matrix.measure}", language)
    known = {module: value for module, value in values.items() if value is not None}
    figure = go.Figure(
        go.Heatmap(
            z=grid.cells,
            zmin=min(known.values()),
            zmax=max(known.values()),
            colorscale="Cividis",
            hovertemplate="%{z:.3f}<extra></extra>",
            colorbar={"title": {"text": measure}},
        )
    )
    if grid.is_narrow:
        write_cells(figure, grid.texts("{:.2f}"))
    grid.label(figure, language)
    most = max(known, key=lambda module: known[module])
    summary = translate("figures.pair_places.summary", language, most=most, value=number(known[most]))
    rows = [[module, *grid.place(module), number(value)] for module, value in known.items()]
    titles = {"first": first, "second": second, "measure": measure}
    header = ("module", "layer", "projection", "value")
    return drawing("pair_places", language, figure, summary, header, rows, grid.height, **titles)
