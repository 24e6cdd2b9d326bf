"""Masks, Interference and Try it in a real browser: over the adapters that ship, and over those of a finished run."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from example_results import calibration
from playwright.sync_api import expect

from lori_core.files import write_atomic
from lori_core.results import to_json
from lori_core.storage.adapter_files import save_adapter
from lori_core.storage.mask_files import load_mask
from lori_core.study.runs import Run
from lori_core.translate import LANGUAGES, translate

LEFT = ("AbortError", "Connection errored out")  # gradio logs these when a page is left while it still asks
CONTENTS = {"masks": ".main-svg", "interference": ".main-svg", "try": ".expected code"}
TASKS = ("math", "code")


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium):
    """(address, name of a run, folder) of a running app. The run has two adapters of a base of random weights."""
    folder = tmp_path_factory.mktemp("lab")
    base = tiny.saved_base(folder / "base")
    run = Run.create(folder / "runs", "study", {"base": base.name, "tasks": TASKS})
    with run.start():
        for place, task in enumerate(TASKS):
            save_adapter(tiny.strong(base, place, task), run.path / "adapters" / f"single-lori_s-{place}-0")
        write_atomic(run.path / "units" / "calibrate-own-0-0.json", to_json(calibration(random.Random(0), "math")))
        run.save_result("{}")
    command = [sys.executable, "-m", "app", "--store", str(folder), "--port", "0", "--no-auth"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), run.path.name, folder
        process.terminate()


@pytest.fixture
def tab(lab, browser):
    """A page that must neither ask another machine, nor complain."""
    page, wrong = browser.new_page(locale="en-US"), []
    allowed = (lab[0], "data:", "blob:", "about:")
    page.on("request", lambda request: request.url.startswith(allowed) or wrong.append(request.url))
    page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    page.close()
    assert [each for each in wrong if not any(known in each for known in LEFT)] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", CONTENTS)
def test_a_page_has_its_contents_fits_a_phone_and_shows_no_raw_key(lab, tab, name, language):
    tab.set_viewport_size({"width": 390, "height": 800})
    tab.goto(f"{lab[0]}/{language}/{name}")
    tab.locator(CONTENTS[name]).first.wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.locator(".toast-body").count() == 0
    text = tab.locator("body").inner_text()
    assert "app." not in text and "figures." not in text
    assert translate(f"app.{name}.title", language) in text


def test_a_click_leads_from_the_whole_mask_to_one_B_and_to_its_bits(lab, tab):
    tab.goto(f"{lab[0]}/en/masks")
    titles = tab.locator("figure.chart:not([hidden]) figcaption")
    tab.wait_for_function("document.querySelectorAll('figure.chart:not([hidden])').length === 3")
    click_cell(tab, 0, 0.1, 0.9)  # first layer, last projection
    titles.filter(has_text="model.layers.0.mlp.down_proj").wait_for()
    click_cell(tab, 2, 0.5, 0.5)
    tab.wait_for_function("document.querySelectorAll('figure.chart:not([hidden])').length === 4")
    assert "entry by entry" in titles.last.inner_text()


def test_a_click_on_a_mask_whose_adapter_was_deleted_meanwhile_says_so(lab, tab):
    run = Run.create(lab[2] / "runs", "train", {"task": "math"})
    with run.start():
        save_adapter(tiny.strong(tiny.saved_base(lab[2] / "base"), 0, "math"), run.path / "adapters" / "trained")
        run.save_result("{}")
    tab.goto(f"{lab[0]}/en/masks?adapter=run/{run.path.name}/trained")
    tab.locator("figure.chart:not([hidden])").nth(1).wait_for()
    shutil.rmtree(run.path)
    click_cell(tab, 0, 0.1, 0.9)
    tab.get_by_role("alert").filter(has_text="trained").wait_for()


def test_another_sparsity_of_the_same_calibration_shows_at_once_and_its_mask_is_downloaded(lab, tab):
    tab.goto(f"{lab[0]}/en/masks?adapter=ready/math/lori_s")
    summary = tab.locator("figure.chart:not([hidden]) .summary").first
    summary.filter(has_text="average 10").wait_for()
    tab.get_by_label(translate("app.masks.other", "en")).check()
    number = tab.get_by_label(f"number input for {translate('app.masks.sparsity', 'en')}")
    number.fill("0.75")
    number.press("Tab")
    summary.filter(has_text="average 25").wait_for()
    tab.get_by_role("button", name=translate("app.masks.make_file", "en")).click()
    with tab.expect_download() as download:
        tab.locator("a[download]").first.click()
    assert load_mask(Path(download.value.path())).sparsity == pytest.approx(0.75, abs=1e-4)


def test_two_tasks_beside_each_other_show_what_they_share(lab, tab):
    tab.goto(f"{lab[0]}/en/masks?adapter=ready/math/lori_s")
    tab.locator(".main-svg").first.wait_for()
    tab.get_by_label(translate("app.masks.beside", "en"), exact=True).click()
    tab.get_by_role("option", name="Ready-made: safety · LoRI-S", exact=True).click()
    title = translate("figures.mask_pair.title", "en", first="math", second="safety")
    tab.locator("figcaption", has_text=title).wait_for()
    tab.locator(".summary", has_text=translate("figures.only_in", "en", name="safety")).first.wait_for()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_random_mask_beside_one_is_a_picture_in_three_colours_and_the_histogram_has_its_threshold(lab, tab, language):
    tab.goto(f"{lab[0]}/{language}/masks?adapter=ready/math/lori_s")
    title = translate("figures.magnitudes.title", language, name="math")
    tab.locator("figcaption", has_text=title).wait_for()
    tab.get_by_label(translate("app.masks.beside", language), exact=True).click()
    tab.get_by_role("option", name=translate("app.masks.random", language), exact=True).click()
    name = translate("app.masks.random_name", language)
    pair = translate("figures.mask_pair.title", language, first="math", second=name)
    tab.locator("figcaption", has_text=pair).wait_for()
    module = tab.get_by_label(translate("app.masks.module", language), exact=True).input_value()
    both = translate("figures.mask_both.title", language, module=module, name=f"math / {name}")
    tab.locator("figcaption", has_text=both).first.wait_for()
    code = tab.locator(".cm-content")
    expect(code).to_contain_text("matched_masks(masks, seed=0)")
    expect(code).to_contain_text("ready_made('math', 'lori_s').masks")


def test_a_calibration_of_a_run_is_replayed_by_a_slider(lab, tab):
    tab.goto(f"{lab[0]}/en/masks?adapter=run/{lab[1]}/single-lori_s-0-0")
    last, first = (translate("figures.mask_replay.title", "en", task="math", step=step) for step in ("80", "20"))
    tab.locator("figcaption", has_text=last).wait_for()
    slider = tab.get_by_label(f"number input for {translate('app.masks.replay', 'en')}")
    slider.fill("0")
    slider.press("Tab")
    tab.locator("figcaption", has_text=first).wait_for()
    tab.goto(f"{lab[0]}/en/masks?adapter=ready/math/lori_s")
    tab.locator("figure.chart:not([hidden])").first.wait_for()
    assert not slider.is_visible()  # what ships was made without a run


def test_interference_is_said_in_a_sentence_and_a_pair_opens_its_modules(lab, tab):
    tab.goto(f"{lab[0]}/en/interference")
    summary = tab.locator("figure.chart:not([hidden]) .summary").first
    summary.filter(has_text="from preferring the same outputs").wait_for()
    tab.wait_for_function("document.querySelectorAll('.heatmaplayer image').length > 0")
    click_cell(tab, 1, 0.4, 0.1)  # nlu and math
    tab.locator("figcaption", has_text="nlu").filter(has_text="math").wait_for()


def test_a_finished_run_leads_to_its_adapters_and_they_are_measured_on_their_base(lab, tab):
    address, run, _ = lab
    tab.goto(f"{address}/en/runs?run={run}")
    tab.get_by_role("link", name=translate("app.runs.see.interference", "en")).click()
    tab.locator("figcaption", has_text=translate("figures.band_jaccard.title", "en")).wait_for()
    tab.get_by_role("tab", name=translate("app.interference.function", "en"), exact=True).click()
    tab.get_by_role("button", name=translate("app.interference.ask_function", "en")).click()
    tab.locator("figcaption", has_text=translate("figures.band_function.title", "en")).wait_for()
    assert tab.locator("[role=tabpanel]:visible figure.chart:not([hidden])").count() == 2


def test_each_pane_answers_with_its_own_adapter_and_a_stop_leaves_the_next_answer_alone(lab, tab):
    address, run, _ = lab
    tab.goto(f"{address}/en/try?run={run}")
    tab.locator(".expected code").wait_for()
    tab.get_by_label(translate("app.try.merged", "en")).check()
    go = tab.get_by_role("button", name=translate("app.try.go", "en"), exact=True)
    go.click()
    tab.locator(".answer:not(.empty)").first.wait_for()
    tab.get_by_role("button", name=translate("app.try.stop", "en"), exact=True).click()
    tab.wait_for_timeout(500)  # gradio's page loses a click that comes just as the answer before it ends
    go.click()
    tab.locator(".verdict").nth(3).wait_for()
    answers = tab.locator(".answer").all_inner_texts()
    assert len(answers) == len(set(answers)) == 4
    tab.get_by_label(translate("app.try.prompt", "en")).fill("<img src=x onerror=alert(1)>")
    go.click()
    tab.wait_for_function("document.querySelectorAll('.verdict').length === 0")
    tab.locator(".answer:not(.empty)").nth(3).wait_for()


def test_one_adapter_alone_is_not_compared(lab, tab):
    tab.goto(f"{lab[0]}/ja/interference")
    tab.locator(".main-svg").first.wait_for()
    for _ in range(3):
        tab.locator(".token-remove:not(.remove-all)").first.click()
    tab.get_by_role("button", name=translate("app.interference.go", "ja")).click()
    tab.get_by_text(translate("app.interference.too_few", "ja")).wait_for()


def click_cell(tab, chart: int, across: float, down: float) -> None:
    """A cell of the first heatmap of a chart, by where it lies in it."""
    figure = tab.locator("figure.chart:not([hidden])").nth(chart)
    figure.locator(".plot:not([aria-busy])").wait_for()  # until then it does not listen
    plot = figure.locator(".heatmaplayer image").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    tab.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])
