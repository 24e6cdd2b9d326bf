"""Page of a sweep: one self-contained HTML file with a heatmap of each method, in words and as a table too."""

from collections.abc import Sequence
from html import escape

from lori_core.figures.drawing import FONT, Drawing
from lori_core.figures.sweep import sweep
from lori_core.results import SweepResult

_BARE = {"responsive": True, "displayModeBar": False}
_STYLE = f"""
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 {FONT}; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
td, th {{ text-align: right; padding: .2rem 1rem .2rem 0 }} td:first-child, th:first-child {{ text-align: left }}
""".strip()


def sweep_page(result: SweepResult, language: str = "en") -> str:
    """The page as HTML text; it opens without a network."""
    drawings = [sweep(result, method, language) for method in dict.fromkeys(cell.method for cell in result.cells)]
    title = escape(drawings[0].title) if drawings else ""
    body = "".join(_section(drawing, first=place == 0) for place, drawing in enumerate(drawings))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    return (
        f'<!doctype html><html lang="{language}"><head>{head}<style>{_STYLE}</style></head><body>{body}</body></html>'
    )


def _section(drawing: Drawing, first: bool) -> str:
    """first: the one that brings plotly."""
    height = drawing.figure.to_dict()["layout"]["height"]
    figure = drawing.untitled(dragmode=False).to_html(
        full_html=False, include_plotlyjs=first, default_height=f"{height}px", config=_BARE
    )
    lines = [_line("th", drawing.header), *(_line("td", row) for row in drawing.rows)]
    said = f"<p>{escape(drawing.summary)}</p><p><small>{escape(drawing.limits)}</small></p>"
    return f"<h1>{escape(drawing.title)}</h1>{figure}{said}<table>{''.join(lines)}</table>"


def _line(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
