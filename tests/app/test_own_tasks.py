"""Own tasks come back after a reload, and no page tells where this machine keeps things."""

from pathlib import Path

import pytest

from app.jobs import Jobs
from app.lab import Context, Lab
from app.own_tasks import SPECS, remember, remembered
from lori_core.errors import DataError
from lori_core.tasks.own_files import spec_of


@pytest.fixture
def page(tmp_path):
    page = Context(Lab(tmp_path / "lab", Jobs()), "en")
    yield page
    page.jobs.close()


def kept(page: Context, number: int) -> Path:
    file = page.workspace.data / f"{number:012}" / "rows.csv"
    file.parent.mkdir(parents=True)
    file.write_text("q,a\n1,2\n", encoding="utf-8")
    return file


def test_a_task_that_was_added_is_offered_again_once_and_under_its_columns(page):
    file = kept(page, 1)
    specs = [spec_of("mine", file, "q", "a"), spec_of("yours", file, "Q: {q}\nA:", "a")]
    for spec in (*specs, specs[0]):
        remember(file, spec)
    assert remembered(page) == [("mine (q → a)", specs[0]), ("yours (Q: {q}\nA: → a)", specs[1])]


def test_a_spec_that_somebody_wrote_there_reaches_no_other_file(page, tmp_path):
    (tmp_path / "secret.csv").write_text("q,a\n1,2\n", encoding="utf-8")
    file = kept(page, 1)
    (file.parent / SPECS).write_text(f"x={tmp_path}/secret.csv?prompt=q&response=a\nmath?level\n\n", encoding="utf-8")
    assert remembered(page) == []
    (file.parent / SPECS).write_bytes(b"\xff")
    assert remembered(page) == []


def test_a_refusal_names_a_file_without_the_folders_of_this_machine(page, tmp_path):
    for file in (page.workspace.data / "0" / "rows.csv", tmp_path / "lab" / "x.csv", Path.home() / "x.csv"):
        said = page.in_words(DataError("empty_file", file=file))
        assert file.name in said and str(tmp_path) not in said and str(Path.home()) not in said
