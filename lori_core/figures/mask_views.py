"""Views of masks: two beside each other, and one B from far (pooled) and near (its bits)."""

from math import log2
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lori_core.figures.drawing import FAINT, GREY, HORIZONTAL_BAR, SHARES, Drawing, drawing, write_cells
from lori_core.figures.places import Grid
from lori_core.figures.wording import listed, number, percent, short
from lori_core.results import MaskGrid, MaskPair
from lori_core.translate import translate

HOVERS = ("of_output", "of_rank", "of_cell", "of_bit")
TIMES = 4  # the colours of a ratio go from 1/16 to 16, a step for each doubling
_BITS = [[0, FAINT], [0.5, FAINT], [0.5, "#0072B2"], [1, "#0072B2"]]  # blank, kept


def mask_pair(pair: MaskPair, language: str = "en") -> Drawing:
    """How many times as many entries two masks share as chance would give, projection by layer."""
    ratios = {module: _ratio(pair, [module]) for module in pair.entries}
    grid = Grid(ratios)
    doublings = [[None if cell is None else log2(max(cell, 2**-TIMES)) for cell in row] for row in grid.cells]
    figure = go.Figure(
        go.Heatmap(
            z=doublings,
            zmin=-TIMES,
            zmax=TIMES,
            colorscale="PuOr",
            customdata=grid.cells,
            hovertemplate="%{y}, %{x}: %{customdata:.2f}<extra></extra>",
            colorbar={
                "title": {"text": translate("figures.axis.times_chance", language)},
                "tickvals": list(range(-TIMES, TIMES + 1)),
                "ticktext": [f"1/{2**-power}" if power < 0 else f"{2**power}" for power in range(-TIMES, TIMES + 1)],
            },
        )
    )
    if grid.is_narrow:
        write_cells(figure, grid.texts("{:.1f}"))
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
    for place, panel in enumerate(panels):
        _add_panel(figure, grid, panel, 2 * place + 1, language)
    figure.update_layout(bargap=0, coloraxis={"cmin": 0, "cmax": 1, "colorscale": _BITS if bits else SHARES})
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
    titles = {"module": grid.module, "name": " / ".join(grid.names)}
    return drawing(kind, language, figure, summary, ("what", "rank", "kept"), rows, height, **titles)


def _add_panel(figure: go.Figure, grid: MaskGrid, panel: str, row: int, language: str) -> None:
    """The cells in the row below `row`; the share of each output's entries above, of each rank's at the side."""
    bits = grid.step == 1
    outputs = [grid.first + grid.step * cell for cell in range(len(grid.by_output[panel]))]
    ranks = list(range(len(grid.by_rank[panel])))
    bar: dict[str, Any] = {"marker": {"color": GREY, "line": {"width": 0}}, "showlegend": False}
    said = {part: translate(f"figures.mask_grid.{part}", language) + "<extra></extra>" for part in HOVERS}
    words = [translate(f"figures.mask_bits.{part}", language) for part in ("held", "moves")]
    figure.add_scatter(  # one outline: hundreds of bars would take a browser a second to draw
        x=outputs,
        y=grid.by_output[panel],
        mode="lines",
        line={"shape": "hvh", "width": 0},
        fill="tozeroy",
        fillcolor=GREY,
        showlegend=False,
        hovertemplate=said["of_output"],
        row=row,
        col=1,
    )
    figure.add_bar(
        x=grid.by_rank[panel], y=ranks, orientation="h", hovertemplate=said["of_rank"], row=row + 1, col=2, **bar
    )
    figure.add_heatmap(
        x=outputs,
        y=ranks,
        z=grid.panels[panel],
        coloraxis="coloraxis",
        xgap=0.5 * bits,
        ygap=0.5 * bits,
        text=[[words[bool(cell)] for cell in cells] for cells in grid.panels[panel]] if bits else None,
        hovertemplate=said["of_bit" if bits else "of_cell"],
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
