"""Figures as pictures, for viewers that run no scripts (GitHub's, a mail, paper): `python -m notebooks.as_pictures`

    python -m notebooks.as_pictures FOLDER NOTEBOOK...

writes a copy of each notebook to FOLDER. They have to have been run; nothing is run again. A slider stands where it
was. Needs Chromium and playwright, as the tests do.
"""

import shutil
import sys
from base64 import b64encode
from copy import deepcopy
from pathlib import Path

import nbformat
import plotly.graph_objects as go
from nbformat import NotebookNode
from playwright.sync_api import Browser, sync_playwright

from lori_core.lessons.showing import PLOTLY

WIDTH = 900  # pixels, as wide as GitHub shows a notebook


def figures(made: NotebookNode) -> list[NotebookNode]:
    """The data of the outputs that are figures."""
    outputs = (output for cell in made.cells for output in cell.get("outputs", []))
    return [output.data for output in outputs if PLOTLY in output.get("data", {})]


def as_pictures(made: NotebookNode, browser: Browser) -> NotebookNode:
    """A copy in which each figure is a PNG in place of the script that draws it."""
    made = deepcopy(made)
    page = browser.new_page(viewport={"width": WIDTH, "height": WIDTH})
    for data in figures(made):
        page.set_content(go.Figure(data.pop(PLOTLY)).to_html(config={"displayModeBar": False}))
        drawn = page.locator(".js-plotly-plot")
        drawn.locator(".main-svg").first.wait_for()
        data.pop("text/html", None)  # some viewers prefer it, and then show a table
        data["image/png"] = b64encode(drawn.screenshot()).decode()
    page.close()
    return made


def main(folder: Path, *paths: Path) -> None:
    notebooks = {path: nbformat.read(path, as_version=4) for path in paths}
    if without := [path for path, made in notebooks.items() if not figures(made)]:
        sys.exit(f"{without[0]} holds no figure: run all of its cells and save it first.")
    targets = [(folder / path.name).resolve() for path in paths]
    if len({*targets, *(path.resolve() for path in paths)}) < 2 * len(paths):
        sys.exit(f"a copy in {folder} would replace a notebook that was run, or another copy: name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for path, made in notebooks.items():
            nbformat.write(as_pictures(made, browser), folder / path.name)
            print(f"{folder / path.name}: {len(figures(made))} pictures")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("python -m notebooks.as_pictures FOLDER NOTEBOOK...")
    main(*map(Path, sys.argv[1:]))
