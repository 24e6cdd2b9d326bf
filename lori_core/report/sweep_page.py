"""Page of a sweep: one self-contained HTML file with a heatmap of each method, in words and as a table too."""

from lori_core.figures.sweep import sweep
from lori_core.figures.wording import listed, method_label
from lori_core.report.page import figures_page
from lori_core.results import SweepResult
from lori_core.translate import translate


def sweep_page(result: SweepResult, language: str = "en") -> str:
    """The page as HTML text; it opens without a network."""
    methods = dict.fromkeys(cell.method for cell in result.cells)
    sections = [(method_label(method, language), sweep(result, method, language)) for method in methods]
    grid = listed((f"{field} = {', '.join(values)}" for field, values in result.axes.items()), language)
    title = translate("report.sweep.title", language)
    return figures_page(title, translate("report.sweep.lead", language, grid=grid), sections, language)
