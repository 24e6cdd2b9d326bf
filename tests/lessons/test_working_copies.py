"""Copies to work in: answers stay, pages lead to the copies, and JupyterLab shows nothing else."""

import asyncio
import json
import re
import subprocess
from pathlib import Path

import nbformat
import pytest
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from traitlets.config import Config

from lori_core.translate import LANGUAGES
from notebooks import working_copies
from notebooks.build import FOLDER, sources, teaching_sources


@pytest.fixture
def my(tmp_path: Path) -> Path:
    """The copies, beside the solutions as in the repository."""
    folder = tmp_path / "my"
    working_copies.make(folder)
    (tmp_path / "solution").symlink_to(FOLDER / "solution")
    return folder


def test_every_notebook_is_copied_and_what_is_there_is_never_touched_again(my: Path):
    names = sorted(source.name.replace(".py", ".ipynb") for source in sources())
    for language in LANGUAGES:
        assert sorted(path.name for path in (my / language).iterdir()) == names
    answered, deleted = my / "en" / names[1], my / "ja" / names[2]
    answered.write_text("my answers", encoding="utf-8")
    deleted.unlink()
    working_copies.make(my)
    assert answered.read_text(encoding="utf-8") == "my answers"
    assert deleted.read_bytes() == (FOLDER / "student" / "ja" / names[2]).read_bytes()


def test_pages_hold_no_answers_and_are_always_the_newest(my: Path):
    index = my / "pages" / "en" / "00_index.ipynb"
    there = index.read_text(encoding="utf-8")
    index.write_text("the index of a course with fewer notebooks", encoding="utf-8")
    working_copies.make(my)
    assert index.read_text(encoding="utf-8") == there


@pytest.mark.parametrize("language", LANGUAGES)
def test_links_of_the_pages_lead_to_the_copies_and_to_the_solutions(my: Path, language: str):
    folder, led = my / "pages" / language, set()
    for source in teaching_sources():
        page = nbformat.read(folder / f"{source.stem}.ipynb", as_version=4)
        links = re.findall(r"\]\(([^)]+)\)", "\n".join(cell.source for cell in page.cells))
        assert [link for link in links if not (folder / link).exists()] == []
        led |= {(folder / link).resolve() for link in links}
    assert {my / language / f"{source.stem}.ipynb" for source in sources()} <= led
    assert {FOLDER / "solution" / language / f"{source.stem}.ipynb" for source in sources()} <= led
    assert not any(path.is_relative_to(FOLDER / "student") for path in led)


def test_progress_is_that_of_the_copies():
    page = (FOLDER / "teaching" / "en" / "00_index.ipynb").read_text(encoding="utf-8")
    assert 'progress(\\"../..\\", LANGUAGE)' in working_copies.linked_to_copies(page)


def test_git_ignores_the_copies():
    path = working_copies.MY / "en" / "02_why_a_random_a.ipynb"
    assert subprocess.run(["git", "check-ignore", "--quiet", str(path)], cwd=FOLDER, check=False).returncode == 0


async def listed(manager: AsyncLargeFileManager, path: str) -> set[str]:
    return {each["name"] for each in (await manager.get(path))["content"]}


def test_jupyterlab_shows_the_copies_and_not_what_they_are_made_from(tmp_path: Path):
    settings = json.loads((FOLDER / "jupyter" / "jupyter_server_config.json").read_text(encoding="utf-8"))
    for path in FOLDER.iterdir():
        if path.name != "my":
            (tmp_path / path.name).symlink_to(path)
    working_copies.make(tmp_path / "my")
    manager = AsyncLargeFileManager(root_dir=str(tmp_path), config=Config(settings))
    assert asyncio.run(listed(manager, "")) == {"README.md", "my"}
    assert asyncio.run(listed(manager, "my")) == {*LANGUAGES, "pages"}
    solution = asyncio.run(manager.get("solution/en/02_why_a_random_a.ipynb"))
    assert solution["type"] == "notebook", "what is out of sight is still opened by a link"
