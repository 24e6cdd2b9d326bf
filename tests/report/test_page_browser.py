"""The report in a real browser, from disk."""

import pytest
from example_results import diverged, example

from lori_core.report.page import study_page

HOSTILE = "<img src=x onerror=document.title='ran'>"


@pytest.mark.parametrize(("language", "width", "scheme"), [("en", 1280, "light"), ("ja", 390, "dark")])
def test_all_figures_are_drawn_without_requests_errors_or_sideways_scroll(browser, tmp_path, language, width, scheme):
    path = tmp_path / "report.html"
    path.write_text(study_page(diverged(example(("math", "code", HOSTILE))), language), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    plots = page.locator(".plot").count()
    page.wait_for_function(f"document.querySelectorAll('.js-plotly-plot .main-svg:first-child').length >= {plots}")
    assert plots > 10
    assert page.evaluate("[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('svg.main-svg'))")
    assert requests == [path.as_uri()]
    assert complaints == []
    for details in page.locator("details").all():
        details.evaluate("element => element.open = true")  # wide tables have to scroll in their own box
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.title() != "ran"
    page.close()


def test_text_of_figures_follows_the_dark_page(browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(study_page(example(("math", "code"), (0,))), encoding="utf-8")
    page = browser.new_page(color_scheme="dark")
    page.goto(path.as_uri())
    page.wait_for_selector(".plot .xtick text")
    colours = (
        "[getComputedStyle(document.querySelector('.plot .xtick text')).fill, getComputedStyle(document.body).color]"
    )
    fill, ink = page.evaluate(colours)
    assert fill == ink
    page.close()
