"""A notebook whose figures are pictures, for viewers that run no scripts."""

import io
from base64 import b64decode
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from notebooks.as_pictures import as_pictures, main
from notebooks.offline import executed

DRAWN = """
from lori_core import figures
from lori_core.lessons.showing import show
show(figures.dial("sparsity", {"math": {0.0: 1.0, 0.9: 0.2}}, "en"))
"""


def test_each_figure_that_was_drawn_is_a_picture_and_no_script(tmp_path: Path, browser):
    made = executed(new_notebook(cells=[new_code_cell(DRAWN)]), tmp_path)
    (title, figure, said) = as_pictures(made, browser).cells[0].outputs
    assert set(figure.data) == {"image/png", "text/plain"}
    picture = Image.open(io.BytesIO(b64decode(figure.data["image/png"]))).convert("RGB")
    colours = dict((colour, count) for count, colour in picture.getcolors(1 << 24) or [])
    assert picture.width > 800 and colours[(255, 255, 255)] > picture.width * picture.height / 2
    assert colours[(0, 114, 178)] > 100  # the first task's line
    assert title == made.cells[0].outputs[0] and said == made.cells[0].outputs[2]
    assert "text/html" in made.cells[0].outputs[1].data  # a copy was changed


def test_a_notebook_that_was_not_run_is_refused(tmp_path: Path):
    nbformat.write(new_notebook(cells=[new_code_cell(DRAWN)]), tmp_path / "made.ipynb")
    with pytest.raises(SystemExit, match="run all of its cells"):
        main(tmp_path / "out", tmp_path / "made.ipynb")
    assert not (tmp_path / "out").exists()


def test_a_copy_that_would_replace_what_was_run_is_refused(tmp_path: Path):
    made = executed(new_notebook(cells=[new_code_cell(DRAWN)]), tmp_path)
    nbformat.write(made, tmp_path / "made.ipynb")
    before = (tmp_path / "made.ipynb").read_bytes()
    with pytest.raises(SystemExit, match="would replace"):
        main(tmp_path, tmp_path / "made.ipynb")
    with pytest.raises(SystemExit, match="would replace"):
        main(tmp_path / "out", tmp_path / "made.ipynb", tmp_path / "." / "made.ipynb")
    assert (tmp_path / "made.ipynb").read_bytes() == before and not (tmp_path / "out").exists()
