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


@pytest.mark.parametrize(("language", "rate", "sign"), [("en", "36", "$"), ("ja", "360000", "￥")])
def test_the_reader_types_a_rate_and_each_training_has_its_price(browser, tmp_path, language, rate, sign):
    result = example(("math", "code"), (0,))
    path = tmp_path / "report.html"
    path.write_text(study_page(result, language), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.locator(".money").count() == 0
    page.locator(".rate input").fill(rate)
    prices = page.locator("td.money").all_inner_texts()
    expected = [52.0 * float(rate) / 3600] * 10  # each of the example's trainings took 52 seconds
    assert [float(price.replace(",", "").removeprefix(sign)) for price in prices] == pytest.approx(expected)
    assert sign in page.locator(".rate output").inner_text()
    page.locator(".rate input").fill("")
    assert page.locator(".money").count() == 0
    page.close()


def test_on_paper_the_first_page_is_one_a4_page_in_light_colours_and_no_figure_is_cut_off(browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(study_page(example(("math", "code"), (0,))), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    page.goto(path.as_uri())
    page.wait_for_selector(".plot .main-svg")
    assert b"/MediaBox [0 0 594.9" in page.pdf(prefer_css_page_size=True)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 687, "height": 900})  # A4 without its margins
    assert page.locator(".first").bounding_box()["height"] < 1017
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 31, 36)"
    assert not page.locator(".rate input").is_visible()
    cut = "[...document.querySelectorAll('.plot')].filter(plot => plot.scrollWidth > plot.clientWidth).length"
    assert page.evaluate(cut) == 0
    page.close()
