"""Home and Docs: what the first page says is so, holds still where that is asked for, and leads on."""

import pytest
from playwright.sync_api import expect
from served import serving

from app.method_picture import TASKS, WIDTHS
from app.pages import docs
from app.pages.home import FURTHER, OFFERS
from lori_core.bases.load import load_base
from lori_core.embedded.ready_made import Variant, ready_made
from lori_core.evaluation.probe import cross_talk
from lori_core.report.verdict import duration
from lori_core.study.layout import planned
from lori_core.study.machine import processor
from lori_core.study.runs import Run
from lori_core.study.yardstick import yardstick
from lori_core.tasks.mini import mini_task
from lori_core.translate import LANGUAGES, translate

MOVING = "document.getAnimations().filter((each) => each.playState === 'running').length"
VARIANTS: dict[str, Variant] = {"random": "lori_s", "conditioned": "lori_s_conditioned"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium):
    """(address, folder) of a lab that starts nothing."""
    folder = tmp_path_factory.mktemp("lab")
    with serving(folder, idle=True) as place:
        yield place, folder


@pytest.mark.parametrize("a", WIDTHS)
def test_the_ribbons_are_as_wide_as_the_adapters_that_ship_were_measured(a):
    base, tasks = load_base("embedded", device="cpu"), [mini_task(task) for task in TASKS]
    adapters = [ready_made(task, VARIANTS[a]) for task in TASKS]
    matrix = cross_talk(base.model, base.tokenizer, adapters, tasks)
    assert matrix.values[1][0] == pytest.approx(WIDTHS[a], abs=0.02)


def test_who_asks_for_less_motion_sees_the_picture_still_and_who_holds_it_stops_it(lab, browser):
    page = browser.new_page(reduced_motion="no-preference")
    page.goto(f"{lab[0]}/en/")
    hold = page.get_by_label(translate("app.picture.pause", "en"))
    hold.wait_for()
    assert page.evaluate(MOVING) > 0
    hold.check()
    page.wait_for_function(f"{MOVING} === 0")
    hold.uncheck()
    page.wait_for_function(f"{MOVING} > 0")
    page.emulate_media(reduced_motion="reduce")
    page.wait_for_function("document.getAnimations().length === 0")
    assert not hold.is_visible()
    page.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_both_studies_name_methods_base_device_and_time_which_a_study_here_tells_better(lab, browser, language):
    demo, full = (offer.config for offer in OFFERS)
    page = browser.new_page()
    page.goto(f"{lab[0]}/{language}/")
    promises = page.locator(".promise")
    promises.filter(has_text=processor()).nth(1).wait_for()  # a process with torch is asked for the device
    for place, method in enumerate(("LoRI-S", "LoRA")):
        expect(promises.nth(place)).to_contain_text(method)
        expect(promises.nth(place)).to_contain_text("embedded")
    measure = yardstick(full)
    assert measure is not None
    for place, config in enumerate((demo, full)):  # by the measurement, which a lab that starts nothing has as 1
        time = duration(measure.whole(config), language)
        expect(promises.nth(place)).to_contain_text(translate("app.home.time_measured", language, time=time))
    run = Run.create(lab[1] / "runs", "study", demo.model_dump(mode="json"))
    (run.path / "seconds").mkdir()
    for unit in planned(demo):
        (run.path / "seconds" / unit).write_text(str(3 * measure.seconds(unit, demo)))
    page.reload()
    for place, config in enumerate((demo, full)):  # the demo alone tells of both
        time = duration(3 * measure.whole(config), language)
        expect(promises.nth(place)).to_contain_text(translate("app.home.time_here", language, time=time))
    (run.path / "spec.json").unlink()
    page.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_link_of_the_first_page_leads_to_what_it_names(lab, browser, language):
    assert set(FURTHER) <= docs.documents(language).keys()
    page = browser.new_page()
    page.goto(f"{lab[0]}/{language}/")
    page.get_by_role("link", name=translate("app.home.further.own_data", language)).click()
    own = docs.documents(language)["own_data"].read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    page.get_by_role("heading", name=own, exact=True).wait_for()
    page.close()


def test_a_document_leads_to_another_and_keeps_it_in_the_other_language(lab, browser):
    page = browser.new_page()
    page.goto(f"{lab[0]}/en/docs?document=usage")
    with page.expect_popup() as opened:
        page.locator(".document").get_by_role("link", name="format.md").click()
    opened.value.get_by_role("heading", name="Files, byte for byte").wait_for()
    opened.value.close()
    page.goto(f"{lab[0]}/en/docs?document=measured")
    page.get_by_role("heading", name="What was measured", exact=True).wait_for()
    page.locator("a.language").click()
    page.get_by_role("heading", name="測定結果", exact=True).wait_for()
    page.close()


@pytest.mark.parametrize("name", ["../../etc/passwd", "nothing", "<script>alert(1)</script>"])
def test_a_document_that_is_not_there_is_not_looked_for(lab, browser, name):
    page = browser.new_page()
    page.goto(f"{lab[0]}/en/docs?document={name}")
    page.get_by_role("heading", name="Usage", exact=True).wait_for()
    page.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_names_the_notebooks_on_its_subject_and_leads_to_them(lab, browser, language):
    page = browser.new_page()
    page.goto(f"{lab[0]}/{language}/interference")
    page.get_by_role("link", name=translate("app.taught", language, notebooks="2")).click()
    page.get_by_role("heading", name="Notebooks", exact=True).wait_for()
    page.close()
