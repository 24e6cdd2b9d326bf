"""Views of masks: two beside each other, and one B from far (pooled) and near (its bits)."""

from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lori_core.figures.drawing import FAINT, GREY, HORIZONTAL_BAR, Drawing, drawing
from lori_core.figures.places import Grid
from lori_core.figures.wording import listed, number, percent, short
from lori_core.results import MaskGrid, MaskPair
from lori_core.translate import translate

_BITS = [[0, FAINT], [0.5, FAINT], [0.5, "#0072B2"], [1, "#0072B2"]]  # blank, kept


def mask_pair(pair: MaskPair, language: str = "en") -> Drawing:
    """How many times as many entries two masks share as chance would give, projection by layer."""
    ratios = {module: _ratio(pair, [module]) for module in pair.entries}
    grid = Grid(ratios)
    known = [ratio for ratio in ratios.values() if ratio is not None]
    reach = max([abs(ratio - 1) for ratio in known] + [0.5])
    figure = go.Figure(
        go.Heatmap(
            z=grid.cells,
            zmin=1 - reach,
            zmax=1 + reach,
            colorscale="PuOr",
            texttemplate="%{z:.1f}" if grid.is_narrow else None,
            hovertemplate="%{y}, %{x}: %{z:.2f}<extra></extra>",
            colorbar={"title": {"text": translate("figures.axis.times_chance", language)}},
        )
    )
    grid.label(figure, language)
    shared, left, right = (sum(part.values()) for part in (pair.shared, pair.left, pair.right))
    either = shared + left + right
    summary = translate(
        "figures.mask_pair.summary",
        language,
        first=pair.names[0],
        second=pair.names[1],
        shared=f"{shared:,}",
        left=f"{left:,}",
        right=f"{right:,}",
        jaccard=number(shared / either if either else None),
        ratio=number(_ratio(pair, list(pair.entries)), 1),
    )
    rows = []
    for module, ratio in ratios.items():
        counts = (pair.shared[module], pair.left[module], pair.right[module])
        rows.append([module, *grid.place(module), *(f"{count:,}" for count in counts), number(ratio, 2)])
    header = ("module", "layer", "projection", "shared_entries", "only_first", "only_second", "times_chance")
    names = {"first": pair.names[0], "second": pair.names[1]}
    return drawing("mask_pair", language, figure, summary, header, rows, grid.height, **names)


def _ratio(pair: MaskPair, modules: list[str]) -> float | None:
    """Shared entries over those expected of random masks that keep as many in each module: a b / N, summed."""
    kept = {m: (pair.shared[m] + pair.left[m], pair.shared[m] + pair.right[m]) for m in modules}
    chance = sum(a * b / pair.entries[m] for m, (a, b) in kept.items())
    return sum(pair.shared[m] for m in modules) / chance if chance else None


def mask_grid(grid: MaskGrid, language: str = "en") -> Drawing:
    """The cells of each panel, outputs across and ranks down, with the kept fraction of each along both sides."""
    panels, bits = list(grid.panels), grid.step == 1
    figure = make_subplots(
        rows=2 * len(panels),
        cols=2,
        shared_xaxes=True,
        row_heights=[0.3, 1] * len(panels),
        column_widths=[0.9, 0.1],
        vertical_spacing=0.04 / len(panels),
        horizontal_spacing=0.02,
    )
    top = 1.0 if bits else max(max(map(max, cells)) for cells in grid.panels.values()) or 1.0
    for place, panel in enumerate(panels):
        _add_panel(figure, grid, panel, 2 * place + 1, top, language)
    figure.update_layout(bargap=0, coloraxis={"cmin": 0, "cmax": top, "colorscale": _BITS if bits else "Cividis"})
    scale = {"title": {"text": translate("figures.axis.kept_share", language)}, "tickformat": ".0%", **HORIZONTAL_BAR}
    figure.update_layout(coloraxis={"showscale": not bits, "colorbar": scale})
    figure.update_xaxes(showgrid=False, col=1)
    figure.update_xaxes(title_text=translate("figures.axis.output", language), row=2 * len(panels), col=1)
    kind = "mask_bits" if bits else "mask_grid"
    ranks = len(grid.by_rank[panels[0]])
    share = {panel: sum(grid.by_rank[panel]) / ranks for panel in panels}
    cells = len(grid.by_output[panels[0]])
    summary = translate(
        f"figures.{kind}.summary",
        language,
        first=f"{grid.first:,}",
        last=f"{min(grid.first + grid.step * cells, grid.outputs) - 1:,}",
        outputs=f"{grid.outputs:,}",
        step=grid.step,
        each=listed((f"{_panel_name(grid, panel, language)} {percent(share[panel])}" for panel in panels), language),
    )
    rows = [
        [_panel_name(grid, panel, language), str(rank), percent(value)]
        for panel in panels
        for rank, value in enumerate(grid.by_rank[panel])
    ]
    height = 130 + (70 + 8 * ranks) * len(panels)
    return drawing(kind, language, figure, summary, ("what", "rank", "kept"), rows, height, module=grid.module)


def _add_panel(figure: go.Figure, grid: MaskGrid, panel: str, row: int, top: float, language: str) -> None:
    """The cells in the row below `row`; the share of each output's entries above, of each rank's at the side."""
    bits = grid.step == 1
    outputs = [grid.first + grid.step * cell for cell in range(len(grid.by_output[panel]))]
    ranks = list(range(len(grid.by_rank[panel])))
    bar: dict[str, Any] = {"marker": {"color": GREY, "line": {"width": 0}}, "showlegend": False}
    above, side = "%{x}: %{y:.1%}<extra></extra>", "%{y}: %{x:.1%}<extra></extra>"
    figure.add_scatter(  # one outline: hundreds of bars would take a browser a second to draw
        x=outputs,
        y=grid.by_output[panel],
        mode="lines",
        line={"shape": "hvh", "width": 0},
        fill="tozeroy",
        fillcolor=GREY,
        showlegend=False,
        hovertemplate=above,
        row=row,
        col=1,
    )
    figure.add_bar(x=grid.by_rank[panel], y=ranks, orientation="h", hovertemplate=side, row=row + 1, col=2, **bar)
    figure.add_heatmap(
        x=outputs,
        y=ranks,
        z=grid.panels[panel],
        coloraxis="coloraxis",
        xgap=0.5 * bits,
        ygap=0.5 * bits,
        hovertemplate="%{x}, %{y}: " + ("%{z}" if bits else "%{z:.1%}") + "<extra></extra>",
        row=row + 1,
        col=1,
    )
    share: dict[str, Any] = {"tickformat": ".0%", "nticks": 3, "rangemode": "tozero", "range": [0, None]}
    figure.update_yaxes(title_text=_panel_name(grid, panel, language), row=row, col=1, **share)
    figure.update_xaxes(row=row + 1, col=2, **{**share, "nticks": 2, "tickangle": 0})
    down: dict[str, Any] = {"autorange": "reversed", "nticks": 5, "showgrid": False}
    figure.update_yaxes(title_text=translate("figures.axis.rank", language), row=row + 1, col=1, **down)
    figure.update_yaxes(showticklabels=False, row=row + 1, col=2, **down)


def _panel_name(grid: MaskGrid, panel: str, language: str) -> str:
    """The adapter itself, shared, or only in one."""
    if panel in ("left", "right"):
        return translate("figures.only_in", language, name=short(grid.names[panel == "right"]))
    return short(grid.names[0]) if panel == "kept" else translate("figures.shared", language)
