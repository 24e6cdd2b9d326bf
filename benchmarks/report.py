"""Report of the speed benchmarks: `python -m benchmarks.report` draws their JSON as build/report.html (about 5 MB).

The page holds plotly.js, so that it opens without a network; it is not committed, its JSON files are.
"""

import json
from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from benchmarks.record import RESULTS, results_of

PAGE = Path(__file__).parent.parent / "build" / "report.html"
Table = tuple[list[str], list[list[Any]]]  # head, rows
LOOK = {"template": "plotly_white", "height": 380, "margin": {"t": 50, "b": 60}}


def bars(title: str, unit: str, groups: dict[str, dict[str, float]]) -> go.Figure:
    """groups: what a colour stands for -> bar -> length."""
    figure = go.Figure([go.Bar(name=name, x=list(each), y=list(each.values())) for name, each in groups.items()])
    return figure.update_layout(title=title, yaxis_title=unit, barmode="group", **LOOK)


def lines(title: str, across: str, unit: str, curves: dict[str, dict[float, float]]) -> go.Figure:
    """curves: name -> x -> y; both axes logarithmic."""
    figure = go.Figure([go.Scatter(name=name, x=list(each), y=list(each.values())) for name, each in curves.items()])
    axes: dict[str, Any] = {"xaxis_type": "log", "yaxis_type": "log", "xaxis_title": across, "yaxis_title": unit}
    return figure.update_layout(title=title, **axes, **LOOK)


# --- speed.json


def of_speed(results: dict[str, Any]) -> list[go.Figure | Table]:
    found = {part: each["found"] for part, each in results.items()}
    steps = {part: each for part, each in found.items() if part.startswith(("steps", "compiled"))}
    times = {part: {name: taken["times_floor"] for name, taken in each.items()} for part, each in steps.items()}
    head = ["part", "subject", "median s", "x floor", "x PEFT"]
    rows = [
        [part, name, _short(taken["seconds"]), _short(taken["times_floor"]), _short(taken["times_peft"])]
        for part, each in steps.items()
        for name, taken in each.items()
    ]
    shown: list[go.Figure | Table] = [bars("A step beside the floor", "times the floor", times), (head, rows)]
    if counts := found.get("counts"):
        kept = {case: {n: b / 2**20 for n, b in each["beyond_floor"].items()} for case, each in counts.items()}
        asked = {case: each["kernels_a_layer"] for case, each in counts.items()}
        shown.append(bars("What autograd keeps beyond the floor", "MiB", kept))
        shown.append(bars("Kernels of a decoder layer, forward and backward", "operations that are no views", asked))
    shown.append((["part", "work", "median s"], _works(found)))
    return shown


def _works(found: dict[str, Any]) -> list[list[Any]]:
    return [
        [part, name, _short(taken["seconds"])]
        for part in ("optimizer", "threshold", "overlap", "merge", "start")
        for name, taken in found.get(part, {}).items()
        if isinstance(taken, dict)
    ]


# --- scale.json


def of_scale(results: dict[str, Any]) -> list[go.Figure | Table]:
    found = {part: each["found"] for part, each in results.items()}
    shown: list[go.Figure | Table] = []
    if sizes := found.get("model"):
        methods: dict[str, dict[str, float]] = {}
        for size, each in sizes.items():
            for method, taken in each.items():
                methods.setdefault(method, {})[size] = taken["total"] / 1e9
        memory = bars("Memory of one training stage, estimated", "GB", methods)
        shown.append(memory.update_yaxes(type="log"))
    if tasks := found.get("tasks"):
        works = next(iter(tasks.values()))
        curves = {work: {float(count): row[work] for count, row in tasks.items()} for work in works}
        shown.append(lines("Work against the number of tasks", "tasks", "s", curves))
    if entries := found.get("entries"):
        seconds = {float(count): row["seconds"] for count, row in entries.items()}
        shown.append(lines("The mask's threshold against the entries of B", "entries", "s", {"threshold": seconds}))
        rows = [[f"{int(n):,}", _short(row["seconds"]), _short(row["extra_bytes"] / 1e6)] for n, row in entries.items()]
        shown.append((["entries", "s", "memory beside the mask, MB"], rows))
    return shown


# --- gpu.json


def of_gpu(results: dict[str, Any]) -> list[go.Figure | Table]:
    cases = {name.removeprefix("steps "): each for name, each in results.items() if name.startswith("steps")}
    times = {
        case: {name: taken["times_floor"] for name, taken in each.items() if "times_floor" in _dict(taken)}
        for case, each in cases.items()
    }
    return [bars("A step of Llama-3-8B's shapes on one GPU", "times the floor", times)]


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


# --- the page

SECTIONS = {"speed": of_speed, "scale": of_scale, "gpu": of_gpu}


def page() -> str:
    body = ["<h1>Speed, memory and size</h1>"]
    script: bool = True  # plotly.js once, with the first figure
    for name, section in SECTIONS.items():
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        whole = json.loads(path.read_text(encoding="utf-8"))
        body.append(f"<h2>{name}.json</h2><p>{escape(json.dumps(whole['machine']))}</p>")
        for shown in section(results_of(path)):
            if isinstance(shown, go.Figure):
                body.append(shown.to_html(full_html=False, include_plotlyjs=script, config={"displaylogo": False}))
                script = False
            else:
                body.append(_table(*shown))
    style = "body{font:15px sans-serif;max-width:70rem;margin:2rem auto}td,th{padding:.2rem .8rem;text-align:left}"
    head = f'<meta charset="utf-8"><title>LoRI Lab: benchmarks</title><style>{style}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>'


def _table(head: list[str], rows: list[list[Any]]) -> str:
    cells = ["".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows]
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    return f"<table><tr>{titles}</tr>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"


def _short(value: float) -> str:
    return f"{value:.3g}"


def main() -> None:
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
