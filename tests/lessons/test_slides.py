"""The teacher's slides: built from sources, in both languages alike, turned by keys, without a network."""

import re
from typing import Any

import pytest

from lori_core.translate import LANGUAGES
from notebooks import slides
from notebooks.pictures import PICTURES


def source(language: str) -> str:
    return (slides.SOURCES / f"slides.{language}.md").read_text(encoding="utf-8")


def test_what_is_built_is_what_the_sources_say():
    pages = {path: path.read_text(encoding="utf-8") for path in (slides.FOLDER / "teaching").glob("*/slides.html")}
    assert pages == slides.built(), "run python -m notebooks.build"
    assert sorted(path.parent.name for path in pages) == sorted(LANGUAGES)


def test_both_languages_have_the_same_slides_with_the_same_facts_and_every_picture_is_used():
    shapes = []
    for language in LANGUAGES:
        of_slides = source(language).split("\n---\n")
        facts = [re.findall(r"\{\{(\w+ (?:\d\d|[a-z_]+))", each) for each in of_slides]
        shapes.append([(found, "Note: " in each) for found, each in zip(facts, of_slides, strict=True)])
    assert shapes[0] == shapes[1] and 10 <= len(shapes[0]) <= 14
    used = {fact.removeprefix("picture ") for facts, _ in shapes[0] for fact in facts if fact.startswith("picture ")}
    assert used == PICTURES.keys()


def test_a_fact_or_a_picture_that_is_no_longer_there_stops_the_build():
    for gone in ("{{picture nothing}}", "{{go 05 No such section}}"):
        with pytest.raises(KeyError):
            slides.slide(gone, "en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_slides_state_no_measured_number_and_fetch_nothing(language: str):
    prose = re.sub(r"\{\{.*?\}\}|`[^`]*`", "", source(language))
    assert re.findall(r"\d+\.\d+|\d+ ?%", prose) == []
    page = slides.page(source(language), language)
    assert "{{" not in page and re.findall(r"(?:src|href)=", page) == [] and len(page) < 60_000


@pytest.mark.parametrize("language", LANGUAGES)
def test_keys_turn_the_slides_each_fits_and_notes_are_for_the_teacher(language: str, browser: Any):
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.goto((slides.FOLDER / "teaching" / language / "slides.html").as_uri())
    count = len(source(language).split("\n---\n"))
    for number in range(1, count + 1):
        assert page.locator("section:visible footer").all_inner_texts() == [f"{number} / {count}"]
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight"), f"slide {number} is too long"
        assert page.locator("aside:visible").count() == 0
        page.keyboard.press("ArrowRight")
    page.keyboard.press("n")
    assert page.locator("aside:visible").count() == 1
    page.keyboard.press("Home")
    assert page.locator("section:visible h1").count() == 1
    page.close()


def test_where_no_script_runs_all_slides_are_seen(browser: Any):
    page = browser.new_page(java_script_enabled=False)
    page.goto((slides.FOLDER / "teaching" / "en" / "slides.html").as_uri())
    assert page.locator("section:visible").count() == len(source("en").split("\n---\n"))
    page.close()
