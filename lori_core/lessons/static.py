"""A figure as HTML that a notebook keeps: for exports (nbconvert), and for viewers without JupyterLab's plotly.

Where scripts run it is the figure; where they do not (GitHub's viewer) its numbers stand there as a table. The first
figure of a kernel brings plotly.js along for all of them; a viewer that shows each output on a page of its own (Colab)
fetches it for the others.
"""

from html import escape
from itertools import count
from string import Template
from uuid import uuid4

from plotly.offline import get_plotlyjs_version

from lori_core.assets import PLOTLY_JS
from lori_core.figures import Drawing
from lori_core.report.page import figures_json

_PAGE = Template("""<div id="$name" style="min-height: ${height}px">$table</div>
$library<script>
(() => {
  const [figure] = $figure, element = document.getElementById("$name");
  const draw = () => {
    element.replaceChildren();
    Plotly.newPlot(element, figure.data, figure.layout, {responsive: true, displayModeBar: false});
  };
  if (window.Plotly) return draw();
  const script = document.createElement("script");
  script.src = "https://cdn.plot.ly/plotly-cartesian-$version.min.js";
  script.onload = draw;
  document.head.append(script);
})();
</script>""")

_made = count()  # figures of this kernel


def as_html(drawing: Drawing) -> str:
    """The figure, to be drawn when the HTML is shown."""
    first = next(_made) == 0
    return _PAGE.substitute(
        name=f"lori-{uuid4().hex}",
        height=drawing.figure.to_dict()["layout"]["height"],
        table=_table(drawing),
        library=f"<script>{PLOTLY_JS.read_text(encoding='utf-8')}</script>\n" if first else "",
        figure=figures_json([drawing]),
        version=get_plotlyjs_version(),
    )


def _table(drawing: Drawing) -> str:
    def row(cells: list[str], kind: str) -> str:
        return f"<tr>{''.join(f'<{kind}>{escape(cell)}</{kind}>' for cell in cells)}</tr>"

    rows = "".join(row(cells, "td") for cells in drawing.rows)
    return f"<table><thead>{row(drawing.header, 'th')}</thead><tbody>{rows}</tbody></table>"
