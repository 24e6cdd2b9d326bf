"""Views of masks: two beside each other, and one B from far (pooled) and near (its bits)."""

from collections.abc import Sequence
from math import log2
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lori_core.figures.drawing import FAINT, GREY, HORIZONTAL_BAR, SHARES, Drawing, drawing, write_cells
from lori_core.figures.places import Grid
from lori_core.figures.wording import listed, number, percent, told_short
from lori_core.results import MaskGrid, MaskPair
from lori_core.translate import translate

BOTH = {"left": "#0072B2", "right": "#E69F00", "shared": "#009E73"}  # blue and yellow make green
HOVERS = ("of_rank", "of_cell", "of_bit")
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
    together = bits and len(grid.names) == 2  # the bits of two masks are one picture in three colours
    height = 1 if together else len(panels)
    figure = make_subplots(
        rows=2 * height,
        cols=2,
        shared_xaxes=True,
        row_heights=[0.3, 1] * height,
        column_widths=[0.9, 0.1],
        vertical_spacing=0.04 / height,
        horizontal_spacing=0.02,
    )
    if together:
        _add_both(figure, grid, language)
    for place, panel in enumerate([] if together else panels):
        _add_panel(figure, grid, panel, 2 * place + 1, language)
    figure.update_layout(bargap=0, coloraxis={"cmin": 0, "cmax": 1, "colorscale": _BITS if bits else SHARES})
    scale = {"title": {"text": translate("figures.axis.kept_share", language)}, "tickformat": ".0%", **HORIZONTAL_BAR}
    figure.update_layout(coloraxis={"showscale": not bits, "colorbar": scale})
    figure.update_xaxes(showgrid=False, col=1)
    figure.update_xaxes(title_text=translate("figures.axis.output", language), row=2 * height, col=1)
    kind = "mask_both" if together else "mask_bits" if bits else "mask_grid"
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
    tall = 130 + (70 + 8 * ranks) * height + 40 * together
    titles = {"module": grid.module, "name": " / ".join(grid.names)}
    return drawing(kind, language, figure, summary, ("what", "rank", "kept"), rows, tall, **titles)


def _add_both(figure: go.Figure, grid: MaskGrid, language: str) -> None:
    """One cell an entry, coloured by which mask keeps it; the share of each output's and each rank's entries beside."""
    outputs = list(range(grid.first, grid.first + len(grid.by_output["shared"])))
    ranks = list(range(len(grid.by_rank["shared"])))
    names = [_panel_name(grid, panel, language) for panel in BOTH]
    words = [translate("figures.mask_bits.held", language), *names]
    kinds = zip(*(grid.panels[panel] for panel in BOTH), strict=True)
    cells = [
        [sum(int(kind * bit) for kind, bit in enumerate(bits, start=1)) for bits in zip(*row, strict=True)]
        for row in kinds
    ]
    either = [sum(each) for each in zip(*(grid.by_output[panel] for panel in BOTH), strict=True)]
    _add_outline(figure, outputs, either, 1, language)
    for panel, colour in BOTH.items():
        figure.add_bar(
            x=grid.by_rank[panel],
            y=ranks,
            orientation="h",
            marker={"color": colour, "line": {"width": 0}},
            showlegend=False,
            meta=panel,
            hovertemplate=translate("figures.mask_grid.of_rank", language) + "<extra></extra>",
            row=2,
            col=2,
        )
    steps, colours = [FAINT, *BOTH.values()], translate("figures.mask_both.colours", language)
    figure.add_heatmap(
        x=outputs,
        y=ranks,
        z=cells,
        zmin=-0.5,
        zmax=3.5,
        colorscale=[[(place + end) / 4, colour] for place, colour in enumerate(steps) for end in (0, 1)],
        colorbar={"tickvals": [1, 2, 3], "ticktext": names, "title": {"text": colours}},
        xgap=0.5,
        ygap=0.5,
        text=[[words[cell] for cell in row] for row in cells],
        hovertemplate=translate("figures.mask_grid.of_bit", language) + "<extra></extra>",
        row=2,
        col=1,
    )
    figure.update_layout(barmode="stack")
    _label_sides(figure, translate("figures.mask_both.either", language), 1, language)


def _add_panel(figure: go.Figure, grid: MaskGrid, panel: str, row: int, language: str) -> None:
    """The cells in the row below `row`; the share of each output's entries above, of each rank's at the side."""
    bits = grid.step == 1
    outputs = [grid.first + grid.step * cell for cell in range(len(grid.by_output[panel]))]
    ranks = list(range(len(grid.by_rank[panel])))
    bar: dict[str, Any] = {"marker": {"color": GREY, "line": {"width": 0}}, "showlegend": False}
    said = {part: translate(f"figures.mask_grid.{part}", language) + "<extra></extra>" for part in HOVERS}
    words = [translate(f"figures.mask_bits.{part}", language) for part in ("held", "moves")]
    _add_outline(figure, outputs, grid.by_output[panel], row, language)
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
    _label_sides(figure, _panel_name(grid, panel, language), row, language)


def _add_outline(figure: go.Figure, outputs: Sequence[int], shares: Sequence[float], row: int, language: str) -> None:
    """The share of each output's entries; one outline: hundreds of bars would take a browser a second to draw."""
    figure.add_scatter(
        x=outputs,
        y=shares,
        mode="lines",
        line={"shape": "hvh", "width": 0},
        fill="tozeroy",
        fillcolor=GREY,
        showlegend=False,
        hovertemplate=translate("figures.mask_grid.of_output", language) + "<extra></extra>",
        row=row,
        col=1,
    )


def _label_sides(figure: go.Figure, name: str, row: int, language: str) -> None:
    """Axes of a panel: name and share above the cells, ranks down their side, the share of each beside."""
    share: dict[str, Any] = {"tickformat": ".0%", "nticks": 3, "rangemode": "tozero", "range": [0, None]}
    figure.update_yaxes(title_text=name, row=row, col=1, **share)
    figure.update_xaxes(row=row + 1, col=2, **{**share, "nticks": 2, "tickangle": 0})
    down: dict[str, Any] = {"autorange": "reversed", "nticks": 5, "showgrid": False}
    figure.update_yaxes(title_text=translate("figures.axis.rank", language), row=row + 1, col=1, **down)
    figure.update_yaxes(showticklabels=False, row=row + 1, col=2, **down)


def _panel_name(grid: MaskGrid, panel: str, language: str) -> str:
    """The adapter itself, shared, or only in one."""
    names = told_short(grid.names)
    if panel in ("left", "right"):
        return translate("figures.only_in", language, name=names[panel == "right"])
    return names[0] if panel == "kept" else translate("figures.shared", language)
