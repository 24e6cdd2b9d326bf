"""Live chart: a figure updated in place, with its summary, its table, and PNG, SVG and CSV of it.

    place = chart(page)                                      while the page is built
    button.click(lambda: shown(drawing), None, place)        a handler returns shown(Drawing); None hides the chart
    place.select(clicked, None, place)                       def clicked(event: gr.EventData): event.x, event.y, event.z

gr.Plot is not used: each update would build the chart anew, lose the zoom and leak browser memory. Here Plotly.react
(assets/app/chart.js) changes what differs.
"""

import json
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from lori_core.assets import ASSETS
from lori_core.figures import Drawing

if TYPE_CHECKING:
    from app.lab import Context

INTO_VIEW = """() => setTimeout(() => {
  const behavior = matchMedia("(prefers-reduced-motion)").matches ? "auto" : "smooth";
  document.getElementById("NAME")?.querySelector("figure:not([hidden])")?.scrollIntoView({block: "nearest", behavior});
}, 300)"""
TEMPLATE = """<figure class="chart" hidden>
<figcaption></figcaption>
<div class="plot" role="img"></div>
<p class="summary"></p>
<details><summary>{numbers}</summary>
<div class="table" tabindex="0" role="region" aria-label="{numbers}"></div></details>
<p class="limits"></p>
<p class="save"><button type="button" data-save="png">PNG</button><button type="button" data-save="svg">SVG</button
><button type="button" data-save="csv">CSV</button></p>
</figure>"""


def chart(page: "Context", drawing: Drawing | None = None, name: str | None = None) -> gr.HTML:
    """The place of a chart; hidden until it is given a drawing. Its event `select` tells which point was clicked.

    Where the layout's meta has "drag" ("both" or "across"), `select` tells the point of the first trace that is nearest
    to the pointer while it is down, and `release` the last one.

    name: for comes_into_view().
    """
    return gr.HTML(
        shown(drawing),
        html_template=TEMPLATE.format(numbers=escape(page.say("chart.numbers"))),
        js_on_load=(ASSETS / "app" / "chart.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_classes="chart-place",
        elem_id=name,
    )


def comes_into_view(event: Any, name: str) -> Any:
    """After the event the chart of that name is scrolled into view, if it is not: what a click opens must be seen."""
    return event.then(None, None, None, js=INTO_VIEW.replace("NAME", name), api_visibility="private")


def shown(drawing: Drawing | None) -> str | None:
    """The drawing as the browser needs it: what a handler returns for a chart()."""
    if drawing is None:
        return None
    figure = drawing.untitled(uirevision="kept", dragmode="zoom")
    parts = {
        "figure": figure.to_json(),
        "title": drawing.title,
        "summary": drawing.summary,
        "limits": drawing.limits,
        "header": drawing.header,
        "rows": drawing.rows,
        "axes": drawing.axes,
    }
    return json.dumps(parts)  # one text: gradio's page copies values leaf by leaf, of a mask a quarter of a second long
