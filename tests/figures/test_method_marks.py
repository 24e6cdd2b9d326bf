"""A method has one colour and one marker shape, whatever figure it stands in, and whatever stands beside it."""

import random
import re
from typing import Any

import pytest
from example_results import METHODS, example, score

from lori_core import figures
from lori_core.assets import ASSETS
from lori_core.figures.drawing import METHOD_MARKS, variant_marks
from lori_core.figures.forecast import forecast_and_measured
from lori_core.figures.wording import method_label

RESULT = example()
TASKS = RESULT.tasks


def compared(*variants: str) -> figures.Drawing:
    draw = random.Random(0)
    return figures.compared_scores({v: {task: score(draw, task, 0.5) for task in TASKS} for v in variants})


DRAWINGS = {
    "scores": figures.scores(RESULT),
    "merged": figures.merged(RESULT, "concat"),
    "merge_weights": figures.merge_weights(RESULT, "concat"),
    "losses": figures.losses(RESULT, "math"),
    "continual_axes": figures.continual_axes(RESULT.continual),
    "forecast": figures.forecast_against_measured(forecast_and_measured(RESULT.interference)),
    "compared": compared("base", "lora", "lori_d", "lori_s"),
    "compared in another order": compared("pruned", "lori_s", "lora"),
    "compared merges": compared("merged_lori_s", "merged_lora", "merged_lori_d", "merged_lori_d_shared"),
    "dial": figures.dial("weight", {method: {0.1: 0.2, 1.0: 0.5} for method in ("lori_s", "concat", "lora")}),
}


def of_method(trace: Any) -> str | None:
    """The method that a trace is of, by its name in the legend or in saved data."""
    names = {method_label(method, "en"): method for method in METHOD_MARKS}
    saved = re.split("/", str(trace.meta or trace.legendgroup))[0].removeprefix("merged_").removesuffix("_shared")
    return names.get(trace.name) or (saved if saved in METHOD_MARKS else None)


def colours(trace: Any) -> set[str]:
    drawn = trace.to_plotly_json()
    marker, line = drawn.get("marker", {}), drawn.get("line", {})
    found = {marker.get("color"), marker.get("line", {}).get("color"), line.get("color")}
    return {each for each in found if each and not each.startswith("rgba(0,0,0,0")}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_trace_of_a_method_has_its_colour(name: str):
    traces: list[Any] = list(DRAWINGS[name].figure.data)
    found = [
        (method, trace) for trace in traces if (method := of_method(trace)) and trace.meta != "lori_d_shared/merged"
    ]
    assert len({method for method, _ in found}) >= 2
    assert [method for method, trace in found if colours(trace) != {METHOD_MARKS[method][0]}] == []


def test_bars_of_cost_have_their_methods_colours():
    bars: Any = figures.cost(RESULT).figure.data[0]
    assert dict(zip(bars.y, bars.marker.color, strict=True)) == {
        method_label(method, "en"): METHOD_MARKS[method][0] for method in METHODS
    }


def test_what_is_no_method_has_no_colour_of_a_method_beside_it():
    marks = variant_marks(["base", "lora", "pruned", "lori_d", "lori_d_shared"])
    assert marks["lora"] == METHOD_MARKS["lora"] and marks["lori_d"] == METHOD_MARKS["lori_d"]
    assert marks["lori_d_shared"] == (METHOD_MARKS["lori_d"][0], f"{METHOD_MARKS['lori_d'][1]}-open")
    assert len({colour for colour, _ in marks.values()}) == 4 and len({shape for _, shape in marks.values()}) == 5


def test_methods_look_different_from_each_other():
    assert len({colour for colour, _ in METHOD_MARKS.values()}) == len(METHOD_MARKS)
    assert len({shape for _, shape in METHOD_MARKS.values()}) == len(METHOD_MARKS)


def test_there_is_one_table():
    """No second place pairs a method's name with a colour, in code, styles or scripts."""
    paired = re.compile(rf"\b({'|'.join(METHOD_MARKS)})\b\W{{1,8}}#[0-9a-fA-F]{{6}}")
    root = ASSETS.parent
    files = [path for folder in ("lori_core", "app", "assets") for path in (root / folder).rglob("*.*")]
    files = [
        path for path in files if path.suffix in {".py", ".css", ".js", ".html", ".json"} and path.stat().st_size < 1e6
    ]
    found = {path.name for path in files if paired.search(path.read_text(encoding="utf-8"))}
    assert found == {"drawing.py"}
