"""What a program leaves behind is taken away, however hard it made that."""

import os
import sys
from pathlib import Path

import pytest

from lori_core.sandbox.children import ending, sweep

posix = pytest.mark.skipif(sys.platform == "win32", reason="folders and processes as POSIX has them")


@posix
def test_a_folder_is_emptied_however_deep_closed_and_linked(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "gone").symlink_to("nowhere")
    os.mkfifo(folder / "fifo")
    here = os.getcwd()
    os.chdir(folder)
    for _ in range(2000):  # deeper than paths and Python's recursion may be
        Path("file").write_text("x")
        os.mkdir("d")
        os.chdir("d")
    os.chmod("..", 0)
    os.chmod(".", 0)
    os.chdir(here)
    sweep(str(folder))
    assert list(folder.iterdir()) == [] and (outside / "kept").exists()


@posix
@pytest.mark.parametrize(("code", "verdict"), [(0, "crash"), (1, "error"), (7, "crash"), (256 - 27, "timeout")])
def test_an_ending_is_a_verdict_and_never_passed(code: int, verdict: str):
    assert ending(code << 8) == verdict
