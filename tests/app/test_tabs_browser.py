"""What only a browser shows: many tabs, contrasts, addresses, what a click opens, what a change takes away."""

import csv
from pathlib import Path

import pytest
from served import serving

from app.main import address as address_of
from app.pages import PAGES
from lori_core.study.examples import examples
from lori_core.study.runs import Run
from lori_core.study.specs import StudyConfig
from lori_core.translate import translate

CONTRAST = (Path(__file__).parents[1] / "support" / "contrast.js").read_text(encoding="utf-8")
LEAST = 4.5  # : 1, WCAG 2.2, 1.4.3


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium):
    """(address, a run that is half done) of a lab that starts nothing."""
    folder = tmp_path_factory.mktemp("lab")
    run = Run.create(folder / "runs", "study", StudyConfig(tasks=("math", "nlu")).model_dump(mode="json"))
    step(run, 1)
    step(run, 1, "safety")
    with serving(folder, idle=True) as place:
        yield place, run


def step(run: Run, number: int, after: str = "") -> None:
    event = {"kind": "step", "task": "math", "method": "lori_s", "stage": "train", "step": number, "steps": 99}
    pace = {"seconds_left": 1.0, "tokens_per_second": 1.0, "memory_bytes": 1}
    run.emit(event | pace | {"loss": 1 / 3, "after": after})


def test_eight_tabs_of_one_browser_follow_a_run(lab, browser):
    place, run = lab
    tabs = browser.tabs(8)
    for tab in tabs:
        tab.goto(f"{place}/en/runs?run={run.path.name}", wait_until="commit")
    for tab in tabs:
        tab.locator(".js-plotly-plot .main-svg").first.wait_for()
    step(run, 2)
    for tab in tabs:
        tab.wait_for_function("document.querySelector('.js-plotly-plot').data[0].x.length === 2")
    tabs[0].context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_of_all_pages_is_read_on_its_background(lab, browser, scheme):
    page = browser.new_page(color_scheme=scheme)
    finished = f"/en/runs?run={examples()[0].path.name}"
    for name in (*(address_of("en", name) for name in PAGES), finished):
        page.goto(f"{lab[0]}{name}")
        page.locator("h1").first.wait_for()
        page.locator("button:visible, iframe.report").last.wait_for()
        assert page.evaluate(CONTRAST, LEAST) == [], name
    page.close()


def test_the_data_of_a_figure_have_every_digit_and_the_sequence_its_own_curve(lab, browser):
    page = browser.new_page()
    page.goto(f"{lab[0]}/ja/runs?run={lab[1].path.name}")
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    with page.expect_download() as download:
        page.locator("button[data-save=csv]:visible").first.click()
    rows = list(csv.reader(Path(download.value.path()).read_text("utf-8-sig").splitlines()))
    assert rows[0] == ["series", "step", "loss"]
    assert ["math/lori_s/train", "1", repr(1 / 3)] in rows
    assert ["safety → math/lori_s/train", "1", repr(1 / 3)] in rows
    page.close()


def test_what_is_chosen_stands_in_the_address_and_a_click_brings_what_it_opens_into_view(lab, browser):
    page = browser.new_page(viewport={"width": 1000, "height": 500})
    page.goto(f"{lab[0]}/en/masks?adapter=ready/math/lori_s")
    page.locator("figure.chart:not([hidden]) .plot:not([aria-busy]) .main-svg").first.wait_for()
    page.get_by_label(translate("app.masks.beside", "en"), exact=True).click()
    offered = page.get_by_role("option").all_inner_texts()
    assert any("nlu" in each for each in offered)
    assert not any(each.strip() == "Ready-made: math · LoRI-S" for each in offered)  # an example's is another one
    page.keyboard.press("Escape")
    plot = page.locator(".heatmaplayer image").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.click(box["x"] + 5, box["y"] + 5)
    page.wait_for_function(
        "(() => { const box = document.querySelector('#one-b figure')?.getBoundingClientRect();"
        " return box && box.height > 0 && box.top < innerHeight && box.bottom > 0 })()"
    )
    page.locator("a.language").click()
    page.wait_for_url("**/ja/masks?adapter=ready%2Fmath%2Flori_s")
    page.close()


def test_a_verdict_goes_once_the_prompt_is_another(lab, browser):
    page = browser.new_page()
    page.goto(f"{lab[0]}/en/try?adapters=ready/math/lori_s")
    page.locator(".expected code").wait_for()
    page.get_by_role("button", name=translate("app.try.go", "en"), exact=True).click()
    page.locator(".verdict").first.wait_for()
    page.get_by_label(translate("app.try.prompt", "en")).press_sequentially("!")
    page.wait_for_function("document.querySelectorAll('.pane').length === 0")
    page.close()


def test_a_weight_of_a_merge_belongs_to_its_adapter_also_after_a_reload(lab, browser):
    page = browser.new_page()
    page.goto(f"{lab[0]}/en/merge")
    label = translate("app.merge.weight", "en", adapter="Ready-made: math · LoRI-S")
    weight = page.get_by_label(f"number input for {label}")
    weight.wait_for()
    before = page.evaluate("localStorage['lori-merge']")
    weight.fill("0.5")
    weight.press("Tab")
    page.wait_for_function("(before) => localStorage['lori-merge'] !== before", arg=before)
    page.reload()
    weight.wait_for()
    page.wait_for_function("(box) => box.value === '0.5'", arg=weight.element_handle())
    page.close()


def test_a_page_stays_in_its_language_for_who_hears_it_whatever_the_browser_s_is(lab, browser):
    page = browser.new_page(locale="en-US")
    page.goto(f"{lab[0]}/ja/")
    page.locator("button:visible").last.wait_for()
    assert page.evaluate("document.documentElement.lang") == "ja"
    page.close()
