"""Figures that a notebook keeps are there in its export and in a viewer that runs no scripts."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import sync_playwright

from lori_core import figures
from lori_core.lessons.static import as_html
from notebooks.build import FOLDER, notebook
from notebooks.offline import executed

SOURCE = """# %%
from lori_core import figures
from lori_core.lessons.showing import say, show

lines = {"lori_s": {0.5: 0.2, 0.9: 0.25}}
show(figures.dial("sparsity", lines, "ja"))

# %%
show(figures.dial("rate", lines, "ja"))

# %% tags=["said"]
say("A computed sentence.")
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook run in a kernel and exported by plain nbconvert, with the settings that lie beside the notebooks."""
    folder = tmp_path_factory.mktemp("exported")
    nbformat.write(executed(notebook(SOURCE, "solution"), folder), folder / "run.ipynb")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", str(folder / "run.ipynb")]
    settings = {"JUPYTER_CONFIG_PATH": str(FOLDER / "jupyter")}
    subprocess.run(command, check=True, capture_output=True, env=os.environ | settings)
    return folder / "run.html"


def opened(browser: Any, page: Path, **options: Any) -> Any:
    """The page without a network."""
    tab = browser.new_page(**options)
    tab.route(lambda url: url.startswith("http"), lambda route: route.abort())
    tab.goto(page.as_uri(), wait_until="load")
    return tab


def test_an_export_shows_every_figure_without_a_network_and_sentences_alone(exported: Path, chromium: str):
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium) as browser:
        page = opened(browser, exported)
        page.wait_for_function("document.querySelectorAll('.js-plotly-plot .scatterlayer .trace').length == 2")
        assert page.locator(".js-plotly-plot .main-svg").first.bounding_box()["height"] > 200
        assert page.get_by_text("A computed sentence.").count() == 1  # and not its code
        assert page.locator("table").count() == 0


def test_where_no_script_runs_the_numbers_are_there(exported: Path, chromium: str):
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium) as browser:
        page = opened(browser, exported, java_script_enabled=False)
        cells = page.locator("table").first.locator("td").all_inner_texts()
        assert cells == ["LoRI-S", "0.5", "0.200", "LoRI-S", "0.9", "0.250"]


def test_plotly_js_comes_along_once():
    lines = {"a": {1.0: 0.5}}
    as_html(figures.dial("rate", lines))
    assert len(as_html(figures.dial("rate", lines))) < 20_000


def test_names_cannot_leave_their_place():
    evil = "</script><script>alert(1)</script>"
    html = as_html(figures.dial("rate", {evil: {1.0: 0.5}}))
    assert evil not in html
