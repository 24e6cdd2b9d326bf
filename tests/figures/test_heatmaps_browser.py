"""Heatmaps as a browser lays them out."""

from pathlib import Path
from typing import Any

from example_results import example

from lori_core import figures
from lori_core.report.page import figures_page

BOTTOM_AND_TOP = """() => [...document.querySelectorAll(".plot")].map(plot =>
  [plot.querySelector(".xtick text").getBoundingClientRect().bottom,
   plot.querySelector(".xtitle").getBoundingClientRect().top])"""


def test_the_title_of_the_axis_stands_below_the_labels(browser: Any, tmp_path: Path):
    result = example()
    (calibration, *_) = [single.calibration for single in result.singles if single.calibration]
    drawings = [figures.pairs(*result.interference[0]), figures.mask(calibration)]
    (tmp_path / "page.html").write_text(figures_page("", "", [("", each) for each in drawings], "en"), encoding="utf-8")
    page = browser.new_page(viewport={"width": 900, "height": 700})
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_function("document.querySelectorAll('.xtitle').length == 2")
    found = page.evaluate(BOTTOM_AND_TOP)
    assert all(0 < top - bottom < 12 for bottom, top in found)
    page.close()
