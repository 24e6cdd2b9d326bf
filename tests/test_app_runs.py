"""The page Runs in a real browser, on run folders that the tests write themselves: nothing is trained here."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from app.passwords import add
from lori_core.config import AdapterConfig, StudyConfig
from lori_core.runs import Run, list_runs


def start(folder, *options):
    command = [sys.executable, "-m", "app", "--store", str(folder), "--port", "0", *options]
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


def emit(run, steps):
    for step in steps:
        event = {"kind": "step", "task": "math", "method": "lori_s", "stage": "train", "step": step, "steps": 99}
        run.emit(event | {"loss": 1 / step, "seconds_left": 1.0, "tokens_per_second": 1.0, "memory_bytes": 1})


def shown(browser, lab, run, language="en"):
    page = browser.new_page()
    page.goto(f"{lab[0]}/{language}/runs?run={run.path.name}")
    page.wait_for_selector(".js-plotly-plot .main-svg")
    return page


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


def test_a_pinned_run_is_compared_by_curves_and_settings(lab, browser, run):
    config = run.config | {"adapter": run.config["adapter"] | {"rank": 8}}
    other = Run.create(lab[1] / "runs", "study", config)
    emit(other, range(1, 3))
    page = shown(browser, lab, run)
    page.get_by_text("Compare with a pinned run").click()
    page.get_by_label("Pinned run").fill(other.path.name)
    page.get_by_label("Pinned run").press("Enter")
    page.get_by_role("row", name="adapter.rank 8 4").wait_for()
    page.get_by_text("pinned: math").first.wait_for()
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
        page.get_by_text("Log", exact=True).click()
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
