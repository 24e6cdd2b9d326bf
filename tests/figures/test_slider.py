"""A figure with a slider: at each value it shows the drawing of that value, in axes that stay where they are."""

import os
from pathlib import Path
from typing import Any

import pytest

from lori_core import figures
from lori_core.report.page import figures_page
from lori_core.translate import LANGUAGES

RANKS = (1, 4, 16)


def at_rank(rank: int, language: str = "en") -> figures.Drawing:
    cosines = {"own": {width: [0.9 / (rank * width) ** 0.5] for width in (64, 1024)}}
    return figures.cosines_by_width(cosines, rank, language)


def turned(language: str = "en") -> figures.Drawing:
    return figures.slider("rank", {rank: at_rank(rank, language) for rank in RANKS}, 4, language)


def test_each_step_shows_the_traces_of_its_value_alone():
    figure = turned().figure.to_dict()
    (slider,) = figure["layout"]["sliders"]
    assert [step["label"] for step in slider["steps"]] == ["1", "4", "16"] and slider["active"] == 1
    assert [trace["visible"] for trace in figure["data"]] == slider["steps"][1]["args"][0]["visible"]
    for rank, step in zip(RANKS, slider["steps"], strict=True):
        seen = [trace for trace, there in zip(figure["data"], step["args"][0]["visible"], strict=True) if there]
        expected = at_rank(rank).figure.to_dict()["data"]
        assert [list(trace["y"]) for trace in seen] == [list(trace["y"]) for trace in expected]


def test_the_axis_holds_the_values_of_all_steps():
    low, high = turned().figure.to_dict()["layout"]["yaxis"]["range"]
    band = 2 / 64**0.5  # of rank 1 at the smallest width
    assert low < -band and high > band


def test_an_axis_that_is_set_stays_as_it_was():
    drawings = {w: figures.dial("weight", {"lori_s": {w: w / 2}}) for w in (0.5, 1.0)}
    assert figures.slider("weight", drawings, 0.5).figure.to_dict()["layout"]["yaxis"]["range"] == [0, 1.03]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_words_are_those_of_both_ends_and_of_the_start_and_the_table_has_all(language: str):
    drawing = turned(language)
    assert all(at_rank(rank, language).summary in drawing.summary for rank in RANKS)
    rows = [[str(rank), *row] for rank in RANKS for row in at_rank(rank, language).rows]
    assert drawing.rows == rows and all(len(row) == len(drawing.header) for row in rows)


@pytest.mark.parametrize("language", LANGUAGES)
def test_on_a_page_without_a_network_the_slider_turns_the_figure(language: str, browser: Any, tmp_path: Path):
    path = tmp_path / "page.html"
    path.write_text(figures_page("page", "", [("rank", turned(language))], language), encoding="utf-8")
    page = browser.new_page(viewport={"width": 900, "height": 700})
    page.goto(path.as_uri())
    band = page.locator(".js-plotly-plot .scatterlayer .js-fill").first
    before = band.get_attribute("d")
    page.locator(".slider-grip-rect").wait_for()
    box = page.locator(".slider-rail-touch-rect").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 5, box["y"] + box["height"] / 2)
    page.wait_for_function("before => document.querySelector('.js-fill').getAttribute('d') !== before", arg=before)
    assert "16" in page.locator(".slider-label").first.text_content()
    if shot := os.environ.get("LORI_SHOTS"):
        page.screenshot(path=f"{shot}/slider-{language}.png")
    page.close()
