"""The page Runs in a real browser, on run folders that the tests write themselves: nothing is trained here."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from example_results import example
from playwright.sync_api import expect

from app.jobs import Jobs
from app.lab import Context, Lab
from app.pages.runs import in_queue
from app.passwords import add
from lori_core.config import AdapterConfig
from lori_core.results import to_json
from lori_core.study.examples import examples
from lori_core.study.runs import Run, list_runs
from lori_core.study.specs import StudyConfig
from lori_core.translate import translate


def start(folder, *options):
    command = [sys.executable, "-m", "app", "--store", str(folder), "--port", "0", *(options or ["--no-auth"])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@contextmanager
def ending(process):
    """Also where the test fails: a process that goes on would be waited for."""
    with process:
        try:
            yield
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium):
    folder = tmp_path_factory.mktemp("lab")
    process, place = start(folder)
    with ending(process):
        yield place, folder


@pytest.fixture
def run(lab):
    config = StudyConfig(tasks=("math",), adapter=AdapterConfig(rank=4)).model_dump(mode="json")
    made = Run.create(lab[1] / "runs", "study", config)
    emit(made, range(1, 4))
    return made


def emit(run, steps, loss=0.5):
    for step in steps:
        event = {"kind": "step", "task": "math", "method": "lori_s", "stage": "train", "step": step, "steps": 99}
        run.emit(event | {"loss": loss, "seconds_left": 1.0, "tokens_per_second": 1.0, "memory_bytes": 1})


def shown(browser, lab, run, language="en"):
    page = browser.new_page()
    page.goto(f"{lab[0]}/{language}/runs?run={run.path.name}")
    page.wait_for_selector(".js-plotly-plot .main-svg")
    return page


def say(key):
    return translate(f"app.{key}", "en")


POINTS = "document.querySelector('.js-plotly-plot').data[0].x.length"


def test_two_browsers_follow_one_run_and_a_zoom_stays(lab, browser, run):
    pages = [shown(browser, lab, run) for _ in range(2)]
    pages[0].evaluate("Plotly.relayout(document.querySelector('.js-plotly-plot'), {'xaxis.range': [1, 2]})")
    emit(run, range(4, 8))
    for page in pages:
        page.wait_for_function(f"{POINTS} === 7")
    assert pages[0].evaluate("document.querySelector('.js-plotly-plot').layout.xaxis.range") == [1, 2]
    for page in pages:
        page.close()


def test_a_stage_and_a_refusal_are_in_the_readers_language(lab, browser, run):
    run.emit({"kind": "state", "state": "failed", "error": "in English", "key": "no_run", "values": {"path": "there"}})
    page = shown(browser, lab, run, "ja")
    page.get_by_role("alert").get_by_text("there").wait_for()
    text = page.locator("body").inner_text()
    assert "math · LoRI-S · 学習" in text and "in English" not in text and "lori_s" not in text
    page.close()


def scored(lab, level=0.0, **config):
    """A finished study of math and code by two methods, its scores moved by that much."""
    known = example(("math", "code"), (0,))
    moved = [
        replace(
            each,
            score=replace(each.score, **{part: getattr(each.score, part) + level for part in ("value", "low", "high")}),
        )
        for each in known.singles
        if each.method in ("lora", "lori_s")
    ]
    settings = StudyConfig(tasks=("math", "code"), methods=("lora", "lori_s"), **config).model_dump(mode="json")
    made = Run.create(lab[1] / "runs", "study", settings)
    with made.start():
        emit(made, range(1, 4))
        made.save_result(to_json(replace(known, singles=tuple(moved))))
    return made, known


def test_two_ticked_runs_are_compared_by_scores_curves_and_settings(lab, browser):
    (one, result), (two, _) = scored(lab), scored(lab, -0.3, seeds=(7,))
    page = shown(browser, lab, one)
    for run in (one, two):
        line(page, lab, run).get_by_role("checkbox").check()
    page.get_by_role("row", name="seeds [0] [7]").wait_for()
    page.get_by_text("first: math").first.wait_for()
    score = next(each.score for each in result.singles if (each.task, each.method) == ("math", "lori_s"))
    cells = page.get_by_role("row", name=re.compile(r"^math LoRI-S " + say("results.alone"))).inner_text().split("\t")
    lower, upper = score.value - score.low, score.high - score.value
    half = (lower**2 + upper**2) ** 0.5
    said = f"{-0.3:.2f} ({-0.3 - half:.2f} … {-0.3 + half:.2f})".replace("-", "−")
    assert cells[-2:] == [said, say("results.clear")]
    page.close()


def test_a_finished_study_opens_with_its_scores_and_their_intervals(lab, browser):
    run, result = scored(lab)
    page = shown(browser, lab, run)
    results = page.locator(".results")
    results.wait_for()
    merged = next(each for each in result.merges if each.method == "lora" and not each.shared_projection).scores["code"]
    row = results.get_by_role("row", name=re.compile("^code LoRA")).inner_text()
    assert f"{merged.value:.2f} ({merged.low:.2f}–{merged.high:.2f})" in row
    assert results.bounding_box()["y"] < page.locator(".js-plotly-plot").first.bounding_box()["y"]
    assert page.title() == f"✓ {say('runs.title')} · LoRI Lab"
    page.close()


def test_a_name_and_a_note_stay_and_the_table_is_sorted_and_filtered_by_them(lab, browser):
    (one, _), (two, _) = scored(lab, -0.2), scored(lab)
    page = shown(browser, lab, one)
    for run, name in ((one, "zebra <b>"), (two, "apple")):
        place = line(page, lab, run)
        place.get_by_label(say("runs.name_of")).fill(name)
        place.get_by_label(say("runs.note_of")).fill(f"note on {name}")
        place.get_by_label(say("runs.note_of")).press("Enter")
        until(page, lambda run=run, name=name: run.label == (name, f"note on {name}"))
    page.reload()
    page.get_by_label(say("runs.filter")).fill("note on")
    names = page.get_by_label(say("runs.name_of"))
    expect(names).to_have_count(2)
    page.get_by_role("button", name=say("runs.column.name")).click()
    expect(names.first).to_have_value("apple")
    page.get_by_role("button", name=say("runs.column.name")).click()
    expect(names.first).to_have_value("zebra <b>")
    page.get_by_role("button", name=say("runs.column.score")).click()
    expect(names.first).to_have_value("zebra <b>")
    page.close()


def line(page, lab, run):
    """The run's row of the table, which has the newest first."""
    names = [each.path.name for each in list_runs(lab[1] / "runs")]
    rows = page.locator(".runs-table tbody tr")
    expect(rows).to_have_count(len(names) + len(examples()))
    return rows.nth(names.index(run.path.name))


def until(page, condition):
    for _ in range(300):
        if condition():
            return
        page.wait_for_timeout(200)
    raise AssertionError("it never came")


def test_the_title_of_the_tab_tells_how_far_a_study_is(lab, browser, run):
    with run.start():
        run.emit({"kind": "plan", "units": 8, "done": ["base-0"]})
        run.emit({"kind": "unit", "name": "single-lora-0-0", "state": "done"})
        page = shown(browser, lab, run)
        page.wait_for_function("document.title.startsWith('25\u00a0%')")
        page.close()


def test_a_run_that_waits_says_its_place_in_the_queue(tmp_path):
    jobs = Jobs()
    page = Context(Lab(tmp_path, jobs), "en")
    config = StudyConfig(tasks=("math",)).model_dump(mode="json")
    run, first, second = (Run.create(page.workspace.runs, "study", config) for _ in range(3))
    with run.start():  # on the default device, so nothing else may start
        for second_of_day, each in enumerate((first, second)):  # files written at once may have one time
            (each.path / "queued").write_text("")
            os.utime(each.path / "queued", (second_of_day, second_of_day))
        places = [in_queue(page, each) for each in (run, first, second)]
        jobs.close()
    assert places == [[], [(say("runs.place"), "1 of 2")], [(say("runs.place"), "2 of 2")]]


def test_discarding_asks_first_and_leaves_nothing(lab, browser, run):
    page = shown(browser, lab, run)
    discard, really = (page.get_by_role("button", name=say(key), exact=True) for key in ("runs.discard", "runs.yes"))
    discard.click()
    page.get_by_role("button", name=say("leave_it"), exact=True).click()
    really.wait_for(state="hidden")
    assert run.path.exists()
    pick = page.get_by_label(say("runs.pick"), exact=True)
    before = pick.input_value()
    discard.click()
    really.click()
    expect(pick).not_to_have_value(before)  # chosen anew once the run is discarded
    assert not run.path.exists()
    page.close()


def test_only_what_the_state_allows_can_be_pressed(lab, browser, run):
    page = shown(browser, lab, run)
    button(page, "runs.resume", able=True)
    button(page, "runs.stop", able=False)
    with run.start():
        button(page, "runs.stop", able=True)
        button(page, "runs.resume", able=False)
    button(page, "runs.stop", able=False)
    button(page, "runs.resume", able=False)
    page.close()


def test_a_click_on_what_went_on_in_the_meantime_is_refused_in_words(lab, browser, run):
    page = shown(browser, lab, run)
    button(page, "runs.resume", able=True)
    with run.start():
        button(page, "runs.resume", able=False)
        resume = page.get_by_role("button", name=say("runs.resume"), exact=True)
        resume.evaluate("(late) => { late.disabled = false; late.click() }")  # as before the news reached the page
        page.get_by_role("alert").get_by_text(run.path.name).wait_for()
    assert not (run.path / "queued").exists()
    page.close()


def button(page, key, able):
    """Waits until it can be pressed, or cannot."""
    page.get_by_role("button", name=say(key), exact=True, disabled=not able).wait_for()


@pytest.mark.parametrize("name", ["", "runs"])
def test_interrupted_runs_are_offered_for_resuming(lab, browser, run, name):
    run.emit({"kind": "state", "state": "running"})
    page = browser.new_page(locale="ja-JP")
    page.goto(f"{lab[0]}/ja/{name}")
    page.locator(f'.notice a[href$="{run.path.name}"]').click()
    page.wait_for_url(f"**/ja/runs?run={run.path.name}")
    page.get_by_role("button", name=translate("app.runs.resume", "ja"), exact=True, disabled=False).wait_for()
    page.close()


def test_a_figure_is_saved_as_png_svg_and_csv(lab, browser, run):
    emit(run, range(1, 4), loss=0.123456789)
    page = shown(browser, lab, run, "ja")
    saved = {}
    for kind in ("png", "svg", "csv"):
        with page.expect_download() as download:
            page.locator(f"button[data-save={kind}]:visible").first.click()
        assert download.value.suggested_filename.endswith(f".{kind}")
        saved[kind] = Path(download.value.path()).read_bytes()
    assert saved["png"].startswith(b"\x89PNG") and b"<svg" in saved["svg"]
    rows = list(csv.reader(saved["csv"].decode("utf-8-sig").splitlines()))
    assert rows[0] == ["series", "step", "loss"]  # whatever the language; every point, not rounded
    assert rows[1:] == [["math/lori_s/train", str(step), "0.123456789"] for step in range(1, 4)]
    page.close()


@pytest.mark.parametrize("task", ["-2+cmd|x", "=1+1", "@x"])
def test_a_cell_that_a_spreadsheet_would_run_is_text_and_a_negative_number_is_one(lab, browser, run, task):
    run.emit({"kind": "step", "task": task, "stage": "train", "step": 1, "steps": 9, "loss": -0.5e-3})
    page = shown(browser, lab, run)
    page.locator(".summary", has_text=task).first.wait_for()
    with page.expect_download() as download:
        page.locator("button[data-save=csv]:visible").first.click()
    rows = csv.reader(Path(download.value.path()).read_text("utf-8-sig").splitlines())
    assert [f"'{task}/train", "1", "-0.0005"] in list(rows)
    page.close()


def test_the_numbers_of_a_figure_stand_in_a_table_once_it_is_opened_and_follow(lab, browser, run):
    page = shown(browser, lab, run)
    cells = page.locator(".chart-place:visible").first.locator(".table tbody td")
    assert cells.count() == 0
    page.get_by_text(say("chart.numbers"), exact=True).locator("visible=true").first.click()
    cells.get_by_text("3", exact=True).wait_for()
    emit(run, [4])
    cells.get_by_text("4", exact=True).wait_for()
    page.close()


def test_a_loss_that_is_no_number_is_a_gap_and_is_told(lab, browser, run):
    emit(run, [4], loss=float("nan"))
    page = shown(browser, lab, run)
    page.wait_for_function(f"{POINTS} === 4")
    line = page.evaluate("document.querySelector('.js-plotly-plot').data[0]")
    assert line["y"][3] is None and line["connectgaps"] is False
    page.locator(".summary", has_text=translate("figures.losses.diverged", "en").strip()).first.wait_for()
    page.close()


def test_settings_of_an_unknown_field_are_refused_and_nothing_is_queued(lab, browser, run, tmp_path):
    spec = json.loads((run.path / "spec.json").read_text())
    spec["config"]["shell"] = "rm"
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    before = len(list_runs(lab[1] / "runs"))
    page = shown(browser, lab, run)
    page.locator("input[type=file]").set_input_files(tmp_path / "spec.json")
    page.get_by_text("has no setting shell").wait_for()
    assert len(list_runs(lab[1] / "runs")) == before
    page.close()


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "../../etc/passwd", "%00", "x" * 3000])
def test_an_address_that_names_no_run_shows_a_message_and_runs_nothing(lab, browser, name):
    page, alerts = browser.new_page(), []
    page.on("dialog", lambda dialog: alerts.append(dialog.message) or dialog.dismiss())
    page.goto(f"{lab[0]}/en/runs?run={name}")
    page.get_by_text("There is no run").first.wait_for()
    assert alerts == []
    page.close()


def test_charts_and_log_are_back_when_the_app_was_killed_and_started_again(browser, tmp_path):
    process, _ = start(tmp_path)
    run = Run.create(tmp_path / "runs", "study", StudyConfig().model_dump(mode="json"))
    emit(run, range(1, 5))
    run.emit({"kind": "state", "state": "running"})
    (run.path / "log.txt").write_text("a line of the log")
    with process:
        process.send_signal(signal.SIGKILL)
    process, place = start(tmp_path)
    with ending(process):
        page = shown(browser, (place, tmp_path), run)
        page.get_by_text("interrupted, can be resumed").first.wait_for()
        page.get_by_text("What its process wrote").click()
        page.get_by_text("a line of the log").wait_for()
        page.close()


def test_a_browser_that_knows_the_password_follows_runs(browser, tmp_path):
    add(tmp_path / "users", "aiko", "correct horse")
    process, place = start(tmp_path / "lab", "--auth-file", str(tmp_path / "users"))
    run = Run.create(tmp_path / "lab" / "users" / "aiko" / "runs", "study", StudyConfig().model_dump(mode="json"))
    emit(run, range(1, 5))
    with ending(process):
        page = browser.new_page(http_credentials={"username": "aiko", "password": "correct horse"})
        page.goto(f"{place}/en/runs?run={run.path.name}")
        page.wait_for_selector(".js-plotly-plot .main-svg")
        page.close()
