"""Where in the network two tasks meet."""

import plotly.graph_objects as go

from lori_core.figures.drawing import Drawing, categories, drawing, number
from lori_core.figures.masks import layer_and_projection
from lori_core.results import PairMatrix
from lori_core.translate import translate


def pair_places(matrix: PairMatrix, first: str, second: str, language: str = "en") -> Drawing:
    """A measure of one pair of tasks, projection by layer. Raises ValueError where a name is not in the matrix."""
    s, t = matrix.names.index(first), matrix.names.index(second)
    places = layer_and_projection(matrix.by_module)
    layers = sorted({layer for layer, _ in places.values()})
    projections = list(dict.fromkeys(projection for _, projection in places.values()))
    values = {places[module]: cells[s][t] for module, cells in matrix.by_module.items()}
    measure = translate(f"figures.measure.{matrix.measure}", language)
    figure = go.Figure(
        go.Heatmap(
            z=[[values.get((layer, projection)) for layer in layers] for projection in projections],
            colorscale="Cividis",
            texttemplate="%{z:.2f}" if len(layers) <= 6 else None,
            hovertemplate="%{z:.3f}<extra></extra>",
            colorbar={"title": {"text": measure}},
        )
    )
    figure.update_xaxes(title_text=translate("figures.axis.layer", language), showgrid=False)
    figure.update_xaxes(**categories([str(layer) for layer in layers]))
    figure.update_yaxes(title_text=translate("figures.axis.projection", language), showgrid=False)
    figure.update_yaxes(**categories(projections, reverse=True))
    known = {module: value for module, cells in matrix.by_module.items() if (value := cells[s][t]) is not None}
    most = max(known, key=lambda module: known[module])
    summary = translate("figures.pair_places.summary", language, most=most, value=number(known[most]))
    rows = [[module, str(places[module][0]), places[module][1], number(value)] for module, value in known.items()]
    titles = {"first": first, "second": second, "measure": measure}
    header = ("module", "layer", "projection", "value")
    return drawing("pair_places", language, figure, summary, header, rows, 170 + 28 * len(projections), **titles)
