"""A notebook in JupyterLab, in a real browser: all cells run, figures are seen, nothing is asked, nothing fetched."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from notebooks.build import FOLDER

NAME = "02_why_a_random_a.ipynb"  # draws five figures and trains nothing
FIGURES = 5


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[str]:
    """The address of a JupyterLab that serves a copy of the notebook, with settings of nobody."""
    home = tmp_path_factory.mktemp("home")
    shutil.copy(FOLDER / "solution" / "ja" / NAME, home / NAME)
    _set(home / "settings", "notebook-extension/tracker", {"windowingMode": "none"})  # all cells are in the page
    settings = {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings")}
    settings |= {"JUPYTER_CONFIG_PATH": str(FOLDER / "jupyter")}  # the project's: no question about news
    settings |= {"JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_RUNTIME_DIR": str(home / "run")}
    options = ["--no-browser", "--allow-root", "--port=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={home}"]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=os.environ | settings, stdout=log, stderr=log
        )
    try:
        yield _address(home / "run", server)
    finally:
        server.terminate()
        server.wait(timeout=30)


def _set(folder: Path, plugin: str, values: dict[str, str]) -> None:
    path = folder / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def _address(folder: Path, server: subprocess.Popen) -> str:
    until = time.monotonic() + 90
    while time.monotonic() < until and server.poll() is None:
        for found in folder.glob("jpserver-*.json"):
            if text := found.read_text():
                return json.loads(text)["url"]
        time.sleep(0.2)
    raise RuntimeError("JupyterLab did not start")


def test_run_all_shows_every_figure_and_asks_nothing(lab: str, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    hosts: set[str | None] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    page.goto(f"{lab}lab/tree/{NAME}")
    page.wait_for_selector(".jp-NotebookPanel-notebook .jp-Cell", timeout=90_000)
    assert page.locator(".jp-Dialog").count() == 0
    page.wait_for_selector("text=Python 3 (ipykernel) | Idle", timeout=60_000)
    page.wait_for_timeout(2000)  # JupyterLab says so a moment before it can run cells, and drops what comes earlier
    page.click('.lm-MenuBar-itemLabel:text-is("Run")')
    page.click('.lm-Menu-itemLabel:text-is("Run All Cells")')
    page.wait_for_function("document.body.innerText.includes('やってみよう')", timeout=120_000)
    drawn = ".js-plotly-plot .main-svg:first-child"
    until = time.monotonic() + 120
    while page.locator(drawn).count() < FIGURES and time.monotonic() < until:
        for cell in page.locator(".jp-Notebook .jp-CodeCell").all():  # figures are drawn once they come into sight
            cell.scroll_into_view_if_needed()
    assert page.locator(drawn).count() == FIGURES
    if shot := os.environ.get("LORI_SHOTS"):
        for place in range(FIGURES):
            page.locator(drawn).nth(place).scroll_into_view_if_needed()
            page.screenshot(path=f"{shot}/lab{place}.png")
    assert page.locator(".jp-Dialog").count() == 0
    assert page.locator('.jp-RenderedText[data-mime-type*="stderr"]').count() == 0
    assert hosts <= {"localhost", "127.0.0.1", None}
    page.close()
