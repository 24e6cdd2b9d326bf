"""The app in a real browser, started as a user starts it."""

import re
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from app.jobs import Jobs
from lori_core.bases.download import is_downloaded
from lori_core.study.runs import list_runs
from lori_core.translate import translate

LEFT = ("AbortError", "Connection errored out")  # gradio logs these when a page is left while it still asks


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium):
    """(address, folder) of a running app; none is started where no browser could ask it."""
    folder = tmp_path_factory.mktemp("lab")
    command = [sys.executable, "-m", "app", "--store", str(folder), "--port", "0", "--no-auth"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), folder
        process.terminate()
    jobs = Jobs()
    for run in list_runs(folder / "runs"):
        jobs.discard(run)
    jobs.close()


def test_the_demo_starts_by_one_click_its_mask_is_seen_to_form_and_is_back_after_a_reload(lab, browser):
    address, _ = lab
    page, foreign, complaints = browser.new_page(), [], []
    page.on("request", lambda r: r.url.startswith((address, "data:", "blob:")) or foreign.append(r.url))
    page.on(
        "console", lambda message: message.type == "error" and complaints.append(f"{message.text} {message.location}")
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{address}/en/")
    page.locator("button.primary").click()
    page.wait_for_url("**/en/runs?run=*")
    mask = page.locator("figcaption", has_text=translate("figures.mask.title", "en", task="nlu"))
    mask.wait_for(timeout=300_000)  # once the base is scored
    page.locator(".chart-place .summary:visible").first.wait_for()
    assert foreign == [] and [each for each in complaints if not any(known in each for known in LEFT)] == []
    page.reload()
    mask.wait_for()
    page.close()


@pytest.mark.parametrize(
    "path", ["/en/", "/ja/", "/en/study", "/ja/study", "/en/runs", "/ja/runs", "/ja/runs?run=<script>alert(1)</script>"]
)
def test_pages_fit_a_phone_and_show_no_raw_key(lab, browser, path):
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(lab[0] + path)
    page.locator("h1").wait_for()
    page.locator("button:visible").last.wait_for()  # the page is there to its end
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert "app." not in page.locator("body").inner_text()
    page.close()


def test_the_language_is_switched_on_the_same_page_and_remembered(lab, browser):
    page = browser.new_page(locale="en-US")
    page.goto(f"{lab[0]}/en/runs")
    page.locator("a.language").click()
    page.wait_for_url("**/ja/runs*")
    page.goto(lab[0])
    page.wait_for_url("**/ja/")
    page.close()


def test_a_study_of_no_task_is_refused_and_not_queued(lab, browser):
    address, folder = lab
    before = len(list_runs(folder / "runs"))
    page = browser.new_page()
    page.goto(f"{address}/ja/study")
    for task in ("nlu", "math", "safety"):
        page.get_by_label(task, exact=True).uncheck()
    page.get_by_role("button", name=translate("app.study.start", "ja")).click()
    page.get_by_text("タスクが選ばれていません").nth(1).wait_for()  # the plan says it, and so does the button
    assert len(list_runs(folder / "runs")) == before
    page.close()


def doubt(name: str, **values: object) -> str:
    """As `lori tasks check` says it."""
    return translate(f"command.check.doubt.{name}", "en", **values)


def test_a_file_of_ones_own_is_shown_as_it_will_be_learned_and_joins_the_tasks(lab, browser, tmp_path):
    address, folder = lab
    rows = tmp_path / "<b>rows.csv"
    rows.write_text("q,a\n" + "".join(f"<i>{n}</i> ?,even\n" for n in range(40)), encoding="utf-8")
    page = browser.new_page()
    page.goto(f"{address}/en/study")
    page.get_by_text("A task of your own").click()
    with page.expect_response(lambda response: "/upload" in response.url):
        page.locator("input[type=file]").set_input_files(rows)
    page.wait_for_function("[...document.querySelectorAll('input')].some((box) => box.value === 'a')")
    page.get_by_role("button", name="Show what will be learned").click()
    page.locator("pre.example mark").first.wait_for()
    assert page.locator("pre.example").first.inner_text().startswith("<i>")
    page.get_by_text(doubt("lopsided", answer="even", share="100")).wait_for()
    page.get_by_text(doubt("few", n=4, points=49)).wait_for()
    page.get_by_role("button", name="Add to the tasks").click()
    page.get_by_label("mine (q → a)").wait_for()
    assert page.get_by_label("mine (q → a)").is_checked()
    (kept,) = (folder / "data").glob("*/*.csv")
    assert kept.name == "rows.csv"
    page.close()


def test_a_file_that_is_no_table_is_refused_in_the_readers_language_and_nothing_is_stored(lab, browser, tmp_path):
    address, folder = lab
    before = sorted((folder / "data").rglob("*"))
    page = browser.new_page()
    page.goto(f"{address}/ja/study")
    page.get_by_text("自分のタスク").click()
    bad = tmp_path / "page.csv"
    bad.write_text("<html><script>alert(1)</script></html>")
    page.locator("input[type=file]").set_input_files(bad)
    page.get_by_text("ウェブページか別の種類のファイルです").wait_for()
    assert sorted((folder / "data").rglob("*")) == before
    page.close()


def test_the_page_says_whether_a_training_fits_into_memory(lab, browser):
    page = browser.new_page()
    page.goto(f"{lab[0]}/en/study")
    page.get_by_role("button", name=translate("app.fit.ask", "en")).click()
    page.get_by_text("It fits on ").wait_for()
    page.close()


def test_plan_command_and_memory_follow_the_advanced_settings_and_the_study_has_them(lab, browser):
    address, folder = lab
    before = {run.path for run in list_runs(folder / "runs")}
    page = browser.new_page()
    page.goto(f"{address}/en/study")
    typed = page.get_by_role("group", name=translate("app.study.typed", "en")).get_by_role("code")
    expect(typed).to_have_text("lori study --task nlu --task math --task safety")  # before anything is touched
    page.get_by_role("button", name=translate("app.advanced.title", "en")).click()
    page.get_by_label(translate("app.advanced.length", "en")).fill("500")
    long = page.get_by_text("It fits on cpu (")
    long.wait_for()
    much = long.inner_text()
    page.get_by_label(translate("app.advanced.length", "en")).fill("64")
    page.get_by_label(translate("app.advanced.steps", "en")).fill("9")
    page.get_by_label(translate("app.advanced.rate", "en", method="LoRI-S")).fill("0.004")
    page.get_by_text("LoRI-S 9 steps of 16 examples at 0.004").wait_for()
    page.wait_for_function("text => !document.body.innerText.includes(text)", arg=much)
    now = page.get_by_text("It fits on cpu (").inner_text()
    assert float(re.findall(r": ([\d.]+) GiB", now)[0]) < float(re.findall(r": ([\d.]+) GiB", much)[0])
    said = "--learning-rate lori_s=0.004 --steps 9 --length 64"
    expect(typed).to_have_text(f"lori study --task nlu --task math --task safety {said}")
    page.get_by_role("button", name=translate("app.command.copy", "en"), exact=True).click()
    assert page.evaluate("getSelection().toString()") == typed.inner_text()
    page.get_by_role("button", name=translate("app.study.start", "en")).click()
    page.wait_for_url("**/en/runs?run=*")
    (run,) = [run for run in list_runs(folder / "runs") if run.path not in before]
    trained = run.config["train"]["lori_s"]
    assert (trained["steps"], trained["max_length"], trained["learning_rate"]) == (9, 64, 0.004)
    page.close()


def test_the_card_of_a_base_says_what_it_is_and_names_it_to_the_study(lab, browser):
    page = browser.new_page()
    page.goto(f"{lab[0]}/en/study")
    typed = page.get_by_role("group", name=translate("app.study.typed", "en")).get_by_role("code")
    field = page.get_by_role("textbox", name=translate("app.base.name", "en"))
    page.get_by_text(translate("app.base.embedded.about", "en")).wait_for()
    expect(typed).to_contain_text("--task nlu")
    page.get_by_role("radio", name=translate("app.base.smollm2", "en")).check()
    page.get_by_text(translate("app.base.smollm2.about", "en")).wait_for()
    expect(typed).to_contain_text("--task safety --base smollm2")
    expect(typed).to_contain_text("--learning-rate lori_s=0.001 --steps 30 --optimizer-batch 8 --length 192")
    expect(field).to_be_hidden()
    expect(page.get_by_role("button", name=translate("app.base.download", "en"))).to_be_visible(
        visible=not is_downloaded("smollm2")
    )
    page.get_by_role("radio", name=translate("app.base.other", "en")).check()
    expect(field).to_have_value("")
    field.fill("some/model")
    expect(typed).to_contain_text("--base some/model")
    expect(typed).not_to_contain_text("--steps")
    page.get_by_role("radio", name=translate("app.base.embedded", "en")).check()
    expect(typed).not_to_contain_text("--base")
    page.close()
