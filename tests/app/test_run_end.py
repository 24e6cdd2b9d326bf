"""A run while somebody waits for it: its place in the queue, its log, and how its end is told."""

import pytest
from served import serving

from lori_core.files import write_atomic
from lori_core.study.runs import Run
from lori_core.study.specs import StudyConfig
from lori_core.translate import translate

KEEP = """window.shown = [];
window.Notification = class extends Notification { constructor(title) { super(title); window.shown.push(title) } }"""
AT_END = (
    "(box) => box.scrollHeight > box.clientHeight + 20 && box.scrollTop + box.clientHeight >= box.scrollHeight - 20"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium):
    """(address, folder) of a lab that starts nothing."""
    folder = tmp_path_factory.mktemp("lab")
    with serving(folder, idle=True) as place:
        yield place, folder


@pytest.fixture
def run(lab) -> Run:
    return Run.create(lab[1] / "runs", "study", StudyConfig(tasks=("math",)).model_dump(mode="json"))


def shown(browser, lab, run, language="en", script="", permissions=()):
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.context.grant_permissions(permissions)
    page.add_init_script(script)
    page.goto(f"{lab[0]}/{language}/runs?run={run.path.name}")
    page.locator(".facts").wait_for()
    return page


def units(run, first, last):
    for number in range(first, last):
        run.emit({"kind": "unit", "name": f"single-lori_s-0-{number}", "state": "done"})


def test_who_waits_sees_the_place_in_the_queue_and_that_it_moves_up(lab, browser, run):
    first = Run.create(lab[1] / "runs", "study", StudyConfig(tasks=("nlu",)).model_dump(mode="json"))
    for each in (first, run):
        write_atomic(each.path / "queued", "")
    page = shown(browser, lab, run)
    page.locator(".facts dd", has_text=translate("app.runs.place_of", "en", place=2, count=2)).wait_for()
    (first.path / "queued").unlink()
    page.locator(".facts dd", has_text=translate("app.runs.place_of", "en", place=1, count=1)).wait_for()
    (run.path / "queued").unlink()
    page.close()


def test_the_log_is_in_the_reader_s_language_with_times_follows_its_end_and_lets_a_reader_go_up(lab, browser, run):
    run.emit({"kind": "state", "state": "running"})
    run.emit({"kind": "plan", "units": 99, "done": []})
    units(run, 0, 30)
    step = {"kind": "step", "task": "math", "method": "lori_s", "stage": "train", "step": 9, "steps": 9, "loss": 0.5}
    run.emit(step | {"seconds_left": 0.0, "tokens_per_second": 1.0, "memory_bytes": 1})
    page = shown(browser, lab, run, "ja")
    page.get_by_role("button", name=translate("app.runs.log", "ja")).click()
    log = page.locator("pre.log", has_text="single-lori_s-0-29")
    log.filter(has_text="math · LoRI-S · 学習").wait_for()
    log.filter(has_text=translate("app.state.running", "ja")).wait_for()
    page.wait_for_function(AT_END, arg=log.element_handle())
    assert all(line[2] == line[5] == ":" and line[:2].isdigit() for line in log.inner_text().splitlines())
    units(run, 30, 40)
    log.filter(has_text="[40/99] single-lori_s-0-39").wait_for()
    page.wait_for_function(AT_END, arg=log.element_handle())
    log.evaluate("(box) => (box.scrollTop = 0)")
    page.wait_for_timeout(200)  # the browser tells of a scroll in its next frame
    units(run, 40, 41)
    log.filter(has_text="single-lori_s-0-40").wait_for()
    assert log.evaluate("(box) => box.scrollTop") == 0
    page.close()


def test_the_browser_tells_the_end_only_of_a_run_that_went_on_and_only_who_asked_for_it(lab, browser, run):
    pages = [shown(browser, lab, run, script=KEEP, permissions=["notifications"]) for _ in range(2)]
    pages[0].get_by_role("button", name=translate("app.runs.tell", "en"), exact=True).click()
    pages[0].get_by_text(translate("app.runs.told", "en")).wait_for()
    with run.start():
        for page in pages:
            page.locator(".facts dd", has_text=translate("app.state.running", "en")).wait_for()
    for page in pages:
        page.wait_for_function("document.title.startsWith('✓')")
    assert [page.evaluate("shown") for page in pages] == [["✓ Runs · LoRI Lab"], []]
    pages[0].reload()
    pages[0].wait_for_function("document.title.startsWith('✓')")
    assert pages[0].evaluate("shown") == []
    for page in pages:
        page.close()


def test_where_the_browser_does_not_allow_it_the_page_says_so(lab, browser, run):
    page = shown(browser, lab, run)
    page.get_by_role("button", name=translate("app.runs.tell", "en"), exact=True).click()
    page.get_by_text(translate("app.runs.not_told", "en")).wait_for()
    page.close()
