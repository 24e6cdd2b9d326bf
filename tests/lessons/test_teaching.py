"""The teacher's pack: built from sources, never out of date, each wrong idea with what exposes and corrects it."""

import re
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest

from lori_core.lessons import showing
from lori_core.lessons.guesses import QUESTIONS, Guess, kept
from lori_core.translate import LANGUAGES, translate
from notebooks import course
from notebooks.build import FOLDER, sources, teaching_sources

PAGES = [source.stem for source in teaching_sources()]


def text(name: str, language: str) -> str:
    """Of the built page."""
    made = nbformat.read(FOLDER / "teaching" / language / f"{name}.ipynb", as_version=4)
    return "\n\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")


def source(name: str, language: str) -> str:
    cells = jupytext.read(FOLDER / "source" / "teaching" / f"{name}.py", fmt="py:percent").cells
    return "\n\n".join(cell.source for cell in cells if cell.metadata.get("lang") == language)


def test_there_are_an_index_plans_wrong_ideas_and_a_handout_in_both_languages():
    assert [name[3:] for name in PAGES] == ["index", "plans", "wrong_ideas", "handout"]
    for language in LANGUAGES:
        assert sorted(path.stem for path in (FOLDER / "teaching" / language).glob("*.ipynb")) == PAGES


@pytest.mark.parametrize("fact", ["go 05 No such section", "task 05 9", "asked nothing", "minutes", "unheard 05"])
def test_a_fact_that_is_no_longer_so_stops_the_build(fact: str):
    with pytest.raises((KeyError, ValueError)):
        course.filled("{{" + fact + "}}", "en")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PAGES)
def test_every_fact_is_filled_in_and_every_link_leads_somewhere(name: str, language: str):
    page = text(name, language)
    assert "{{" not in page and "}}" not in page
    folder = FOLDER / "teaching" / language
    assert [link for link in re.findall(r"\]\(([^)]+)\)", page) if not (folder / link).exists()] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PAGES)
def test_the_pages_state_no_measured_number(name: str, language: str):
    """What a wrong idea predicts is all that they say in numbers; the results are in the notebooks."""
    prose = re.sub(r"\{\{.*?\}\}|`[^`]*`", "", source(name, language))
    assert set(re.findall(r"\d+\.\d+|\d+ ?%", prose)) <= {"0.1"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_index_names_every_notebook_with_its_question(language: str):
    page = text("00_index", language)
    for each in sources():
        assert f"../../student/{language}/{each.stem}.ipynb" in page
        assert page.count(f"| {course.minutes(each.stem[:2])} |") >= 1
    assert re.search(rf"\b{sum(course.minutes(each.stem[:2]) for each in sources())}\b", page)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_plans_take_90_minutes_and_three_hours(language: str):
    plans = re.split(r"^## ", text("01_plans", language), flags=re.MULTILINE)[1:]
    assert [sum(map(int, re.findall(r"^\| (\d+) \|", plan, re.MULTILINE))) for plan in plans] == [90, 180]


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_wrong_idea_has_a_prediction_and_a_computed_result_in_the_same_notebook(language: str):
    sections = re.split(r"^## ", source("02_wrong_ideas", language), flags=re.MULTILINE)
    ideas = [section for section in sections if re.match(r"\d ·", section)]
    assert len(ideas) == 5
    for idea in ideas:
        predict, result, say = re.findall(r"^- \*\*.*", idea, re.MULTILINE)
        (asked,) = re.findall(r"\{\{asked (\w+)\}\}", predict)
        number, heading = re.findall(r"\{\{go (\d\d) (.*?)\}\}", result)[0]
        assert int(number) == QUESTIONS[asked].notebook
        assert says_what_came_out(number, heading, language), heading
        assert len(say) > 60


def says_what_came_out(number: str, heading: str, language: str) -> bool:
    """Whether a computed sentence stands in the section."""
    inside = False
    for cell in course.cells_of(number, language):
        if cell.cell_type == "markdown" and (found := re.search(r"^##+ (.+)$", cell.source, re.MULTILINE)):
            inside = found[1].rstrip(" ★") == heading
        elif inside and "said" in cell.metadata["tags"]:
            return True
    return False


def test_both_languages_refer_to_the_same_things():
    for name in PAGES:
        facts = [re.findall(r"\{\{(\w+(?: \d\d)?)", source(name, language)) for language in LANGUAGES]
        assert facts[0] == facts[1], name


def test_the_handout_asks_every_prediction():
    for language in LANGUAGES:
        page = text("03_handout", language)
        assert all(translate(f"lessons.asked.{name}", language) in page for name in QUESTIONS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_index_shows_how_far_a_student_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str):
    work = tmp_path / "teaching" / language
    work.mkdir(parents=True)
    student = tmp_path / "student" / language
    student.mkdir(parents=True)
    kept("share_of_lora", Guess(5, 5.25), student)
    kept("cosine", Guess(0.9, 0.005), student)
    monkeypatch.chdir(work)
    cells = nbformat.read(FOLDER / "teaching" / language / "00_index.ipynb", as_version=4).cells
    scope: dict[str, Any] = {}
    for cell in cells:
        if cell.cell_type == "code":
            exec(cell.source.replace("\nprogress(", "\nshown = progress("), scope)
    table = str(scope["shown"].data)
    assert "| 1 | 1 / 1 | 1 |" in table and "| 2 | 1 / 2 | 0 |" in table and "| 8 | 0 / 1 | 0 |" in table


def test_without_guesses_progress_starts_at_none(tmp_path: Path):
    assert "| 1 | 0 / 1 | 0 |" in str(showing.progress(tmp_path, "en").data)


def test_the_readme_of_the_notebooks_has_the_minutes_that_are_reckoned():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    expected = [course.minutes(each.stem[:2]) for each in sources()]
    for unit in ("min", "分"):
        assert [int(found) for found in re.findall(rf"\| (\d+) {unit} \|", page)] == expected
