"""The page of lessons that needs nothing installed: it opens without a network, and its sliders turn figures."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from lori_core.translate import LANGUAGES, translate
from notebooks import offline

FAST = "02_why_a_random_a"  # trains nothing; the other solutions are run by tests/system/test_notebooks.py


@pytest.fixture(scope="module", params=LANGUAGES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """(language, the page)"""
    path = tmp_path_factory.mktemp("offline") / "lori.html"
    path.write_text(offline.page(dict(offline.run(request.param, [FAST])), request.param), encoding="utf-8")
    return request.param, path


def test_nothing_is_fetched_and_a_policy_forbids_it(made):
    page = made[1].read_text(encoding="utf-8")
    without_scripts = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)  # plotly.js names its home in one
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', without_scripts) == [] and "<script src" not in page
    assert "default-src 'none'" in page
    assert len(page) < 2_000_000


def test_it_opens_without_a_network_and_a_slider_turns_its_figure(made, browser: Any):
    language, path = made
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(path.as_uri())
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length == 5")
    assert page.locator(".plot").count() == 5
    turned = page.locator(".plot", has=page.locator(".slider-container"))
    before = turned.locator(".js-fill").first.get_attribute("d")
    turned.scroll_into_view_if_needed()
    rail = turned.locator(".slider-rail-touch-rect").bounding_box()
    page.mouse.click(rail["x"] + rail["width"] - 5, rail["y"] + rail["height"] / 2)
    page.wait_for_function(
        "before => [...document.querySelectorAll('.js-fill')].every(each => each.getAttribute('d') != before)",
        arg=before,
    )
    if shot := os.environ.get("LORI_SHOTS"):
        page.screenshot(path=f"{shot}/offline-{language}.png", full_page=True)
    assert errors == [] and all(url.startswith(("file:", "blob:", "data:")) for url in asked)
    page.close()


def test_code_and_what_was_to_be_guessed_are_folded_and_sentences_are_not(made, browser: Any):
    language, path = made
    page = browser.new_page()
    page.goto(path.as_uri())
    folded = page.locator("details > summary").all_inner_texts()
    assert folded.count(translate("lessons.offline.measured", language)) == 2
    assert folded.count(translate("lessons.offline.code", language)) > 5
    seen = page.inner_text("main")
    assert "def cosine" not in seen and "say(" not in page.text_content("main")
    assert "⟨" in seen and "$$" not in seen and "\\langle" not in seen
    page.close()


def test_a_formula_with_an_unknown_command_stops_the_build():
    with pytest.raises(KeyError, match="frac"):
        offline.as_html(r"$$\frac{1}{2}$$")


def test_the_lessons_are_notebooks_that_are_there_in_both_languages():
    for language in LANGUAGES:
        assert all((offline.FOLDER / "solution" / language / f"{name}.ipynb").exists() for name in offline.LESSONS)
