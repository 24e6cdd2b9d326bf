"""Table of all runs: sorted, filtered, named and noted in the browser; two ticked ones are compared.

assets/app/runs.js draws it and sends back what the reader does: select {run}, edit {run, name, note}, like {runs}.
"""

import json
from html import escape
from typing import Any

import gradio as gr

from app.following import follow
from app.lab import Context
from app.run_labels import tasks_of, when
from app.run_results import best
from app.wording import state_of
from lori_core.assets import ASSETS
from lori_core.figures.wording import listed, method_label, number
from lori_core.report.verdict import duration
from lori_core.study.examples import is_example
from lori_core.study.runs import LONGEST_NAME, LONGEST_NOTE, Run
from lori_core.study.specs import JOBS
from lori_core.translate import messages

COLUMNS = (
    "name",
    "made",
    "what",
    "base",
    "methods",
    "sparsity",
    "state",
    "score",
    "took",
)  # a note stands below its name
TEMPLATE = """<div class="runs-table" hidden>
<label>{filter} <input type="search"></label>
<div class="wide" tabindex="0" role="region" aria-label="{label}">
<table class="shelf"><thead></thead><tbody></tbody></table></div>
<p class="hint">{hint}</p>
</div>"""


def runs_table(page: Context) -> gr.HTML:
    said = {name: escape(page.say(f"runs.{key}")) for name, key in
            (("filter", "filter"), ("label", "title"), ("hint", "table_hint"))}  # fmt: skip
    return gr.HTML(
        None,
        html_template=TEMPLATE.format(**said),
        js_on_load=(ASSETS / "app" / "runs.js").read_text(encoding="utf-8"),
        apply_default_css=False,
    )


def table_of(page: Context, shown: str | None = None) -> str:
    """What the table shows, as JSON: of each cell its text, and what it is sorted by where that is another."""
    head = {column: page.say(f"runs.column.{column}") for column in COLUMNS}
    words = {key: page.say(f"runs.{key}") for key in ("tick", "open", "name", "note", "name_of", "note_of")}
    longest = {"name": LONGEST_NAME, "note": LONGEST_NOTE}
    rows = [_row(page, run) for run in page.workspace.shown_runs()]
    return json.dumps({"head": head, "words": words, "longest": longest, "rows": rows, "shown": shown})


def _row(page: Context, run: Run) -> dict[str, Any]:
    example = is_example(run)
    name, note = (page.say("runs.example"), "") if example else run.label
    kind = page.say(f"kind.{run.kind}") if run.kind in JOBS else run.kind
    top = best(run)
    label = method_label(top.method, page.language) if top and top.method else ""
    state = state_of(page, run)
    # Of an example by the clock, which says nothing: its units tell the processor's time.
    ended = state not in ("running", "starting", "waiting", "created") and not example
    cells = {
        "name": name,
        "made": when(run.path.name),
        "what": ": ".join(filter(None, [kind, tasks_of(run)])),
        "base": page.lab.without_places(str(run.config.get("base") or "")),
        "methods": _methods(page, run),
        "sparsity": _sparsity(run),
        "state": _state(page, run, state),
        "score": f"{number(top.score, 2)} {label}".strip() if top else "",
        "took": duration(run.span, page.language) if ended and run.span else "",
        "note": note,
    }
    order = {"made": run.path.name, "score": top.score if top else -1.0, "took": run.span if ended else -1.0}
    return {"run": run.path.name, "cells": cells, "order": order, "example": example}


def _methods(page: Context, run: Run) -> str:
    named = run.config.get("methods") or [run.config.get("method")]
    known = messages(page.language)
    each = [str(method) for method in (named if isinstance(named, list | tuple) else []) if method]
    return listed(
        (method_label(name, page.language) if f"figures.method.{name}" in known else name for name in each),
        page.language,
    )


def _sparsity(run: Run) -> str:
    adapter = run.config.get("adapter")
    sparsity = adapter.get("sparsity") if isinstance(adapter, dict) else None
    return f"{sparsity:g}" if isinstance(sparsity, int | float) else ""


def _state(page: Context, run: Run, state: str) -> str:
    said = page.say(f"state.{state}")
    if state != "running":
        return said
    found = follow(run)
    return f"{said}, {len(found.done)} / {found.planned}" if found.planned else said
