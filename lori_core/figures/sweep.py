"""Sweep: the mean score at each point of a grid of settings, with its interval, as a heatmap."""

import plotly.graph_objects as go

from lori_core.figures.drawing import Drawing, categories, drawing, write_cells
from lori_core.figures.wording import method_label, number
from lori_core.results import SweepCell, SweepResult
from lori_core.translate import translate


def sweep(result: SweepResult, method: str, language: str = "en") -> Drawing:
    """Of one method. Columns: the grid's last field; rows: its first, where it has two. What is not done is empty."""
    (*first, (column, columns)) = result.axes.items()
    row, rows = first[0] if first else ("", ("",))
    cells = {cell.point: cell for cell in result.cells if cell.method == method}
    grid = [[cells.get((top, left) if first else (left,)) for left in columns] for top in rows]
    values = [cell.value for cell in cells.values()]
    figure = go.Figure(
        go.Heatmap(
            z=[[cell and cell.value for cell in line] for line in grid],
            zmin=min(values, default=0.0),
            zmax=max(values, default=1.0),
            colorscale="Cividis",
            hoverinfo="skip",
            colorbar={"title": {"text": translate("figures.axis.score", language)}},
        )
    )
    write_cells(figure, [[_text(cell) for cell in line] for line in grid])
    figure.update_xaxes(title_text=column, showgrid=False, **categories(columns))
    figure.update_yaxes(title_text=row, showgrid=False, **categories(rows, reverse=True))
    table = [
        [", ".join(cell.point), *map(number, (cell.value, cell.low, cell.high)), str(cell.seeds)]
        for cell in cells.values()
    ]
    label = method_label(method, language)
    best = max(cells.values(), key=lambda cell: cell.value, default=None)
    summary = (
        translate("figures.sweep.empty", language)
        if best is None
        else translate(
            "figures.sweep.summary",
            language,
            point=_named(result, best),
            score=number(best.value),
            low=number(best.low),
            high=number(best.high),
            alike=sum(cell.high >= best.low for cell in cells.values()) - 1,
        )
    )
    header = ("point", "score", "low", "high", "seeds")
    return drawing("sweep", language, figure, summary, header, table, 180 + 56 * len(rows), method=label)


def _named(result: SweepResult, cell: SweepCell) -> str:
    return ", ".join(f"{field} {value}" for field, value in zip(result.axes, cell.point, strict=True))


def _text(cell: SweepCell | None) -> str:
    return "" if cell is None else f"{number(cell.value)}<br>{number(cell.low)}–{number(cell.high)}"
