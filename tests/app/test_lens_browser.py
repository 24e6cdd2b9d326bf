"""The interference lens in a real browser, over the adapters that ship."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from lori_core.translate import LANGUAGES, translate

KINDS = ("lens_ribbons", "attributions")
FIVE = ("lora", "lori_d", "lori_s", "lori_s_conditioned", "lori_d_shared")

expect.set_options(timeout=240_000)


@pytest.fixture(scope="module")
def address(tmp_path_factory, chromium):
    """Of a running app."""
    folder = tmp_path_factory.mktemp("lab")
    command = [sys.executable, "-m", "app", "--store", str(folder), "--port", "0", "--no-auth"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture
def tab(browser):
    page = browser.new_page(locale="en-US", viewport={"width": 1280, "height": 900})
    page.set_default_timeout(240_000)
    yield page
    page.close()


def opened(tab, address: str, language: str = "en") -> None:
    tab.goto(f"{address}/{language}/interference")
    tab.get_by_role("tab", name=translate("app.interference.lens", language), exact=True).click()  # before it is filled
    titles(tab).nth(3).wait_for()


def said(tab, other_than: str = "") -> str:
    """The summary of the first attribution, once it is another one."""
    summary = tab.locator("[role=tabpanel]:visible figure.chart:not([hidden]) .summary").nth(2)
    expect(summary).not_to_have_text(other_than)
    return summary.inner_text()


def titles(tab):
    return tab.locator("[role=tabpanel]:visible figure.chart:not([hidden]) figcaption")


@pytest.mark.parametrize("language", LANGUAGES)
def test_opened_it_shows_a_random_A_beside_a_conditioned_one_and_fits_a_phone(address, tab, language):
    opened(tab, address, language)
    labels = [translate(f"figures.method.{method}", language) for method in ("lori_s", "lori_s_conditioned")]
    wanted = [translate(f"figures.{kind}.title", language, label=each) for kind in KINDS for each in labels]
    assert titles(tab).all_inner_texts() == wanted
    assert tab.locator(".toast-body").count() == 0  # not asked for a prompt that was still to come
    tab.set_viewport_size({"width": 390, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    text = tab.locator("body").inner_text()
    assert "app." not in text and "figures." not in text


def test_a_lower_weight_and_another_prompt_are_looked_at_anew_and_own_text_too(address, tab):
    opened(tab, address)
    first = said(tab)
    number = tab.get_by_label(f"number input for {translate('app.interference.lens.weight', 'en')}")
    number.fill("0.3")
    number.press("Tab")
    go = tab.get_by_role("button", name=translate("app.interference.lens.go", "en"), exact=True)
    go.click()
    second = said(tab, other_than=first)
    tab.get_by_role("button", name=translate("app.try.another", "en")).click()
    third = said(tab, other_than=second)
    tab.get_by_role("textbox", name=translate("app.try.prompt", "en")).fill("story : ann has 3 figs .\nso :")
    go.click()
    said(tab, other_than=third)


def test_the_saved_data_are_the_widths_and_not_where_they_are_drawn(address, tab):
    opened(tab, address)
    with tab.expect_download() as download:
        tab.locator("[role=tabpanel]:visible figure.chart:not([hidden]) [data-save=csv]").first.click()
    header, *rows = csv.reader(Path(download.value.path()).read_text("utf-8-sig").splitlines())
    assert header == ["series", "layer", "value"] and len(rows) == 2 * 4 * 4  # panels, adapters, layers
    assert {row[0] for row in rows} >= {"alone/math", "merged/safety"} and all(0 < float(row[2]) < 1 for row in rows)


def test_too_many_adapters_are_refused_in_words(address, tab):
    opened(tab, address)
    tab.goto(f"{address}/en/interference?adapters=" + ",".join(f"ready/math/{each}" for each in FIVE))
    tab.locator(".main-svg").first.wait_for()
    tab.get_by_role("tab", name=translate("app.interference.lens", "en"), exact=True).click()
    tab.get_by_text(translate("app.interference.lens.too_few", "en")).wait_for()
