"""Report, Continual, Adapters and Merge in a real browser, over finished runs that were written down, not trained."""

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import httpx
import pytest
from example_results import example

from app import pages
from app.main import address as address_of
from lori_core.assets import ASSETS
from lori_core.config import METHOD_OPTIONS
from lori_core.report.page import study_page
from lori_core.results import MergeTrial, to_json
from lori_core.study.layout import Layout
from lori_core.study.runs import Run, list_runs
from lori_core.translate import LANGUAGES, translate

RESULT = example()
LEFT = ("AbortError", "Connection errored out")  # gradio logs these when a page is left while it still asks
TEXTS = """() => {
    const left_out = 'script, style, code, pre, iframe, [lang=en]', found = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode())
        if (!walk.currentNode.parentElement.closest(left_out)) found.push(walk.currentNode.textContent.trim());
    for (const each of document.querySelectorAll('[aria-label], [title], [placeholder]'))
        if (!each.closest(left_out))
            found.push(...['aria-label', 'title', 'placeholder'].map(name => each.getAttribute(name) ?? ''));
    return found.filter(text => text);
}"""
PAGES = ("report", "continual", "adapters", "merge")


def finish(root: Path, kind: str, config: dict, result: str) -> Run:
    run = Run.create(root, kind, config)
    with run.start():
        run.save_result(result)
    return run


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium):
    """(address, folder) of a running app with a finished study, sequence and merge."""
    folder = tmp_path_factory.mktemp("lab")
    study = finish(folder / "runs", "study", {"tasks": list(RESULT.tasks)}, to_json(RESULT))
    for language in LANGUAGES:
        Layout(study.path).report(language).write_text(study_page(RESULT, language), encoding="utf-8")
    sequence = RESULT.continual[0]
    finish(folder / "runs", "continual", {"tasks": sequence.order, "method": sequence.method}, to_json(sequence))
    scores = {task: single.score for task in RESULT.tasks for single in RESULT.singles if single.task == task}
    trial = MergeTrial(
        RESULT.tasks, RESULT.tasks, "concat", (1.0,) * 4, {"0.5": 0.7, "1": 0.8}, RESULT.base_scores, scores, scores
    )
    config = {"merge": {"name": "<img src=x onerror=alert(1)>", "method": "concat"}}
    finish(folder / "runs", "merge_trial", config, to_json(trial))
    command = [sys.executable, "-m", "app", "--store", str(folder), "--port", "0", "--no-auth"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), folder
        process.terminate()


@pytest.fixture
def tab(lab, browser):
    """A page that must neither ask another machine, nor complain, nor run what a name holds."""
    page, wrong = browser.new_page(locale="en-US"), []
    allowed = (lab[0], "data:", "blob:", "about:")
    page.on("request", lambda request: request.url.startswith(allowed) or wrong.append(request.url))
    page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    yield page
    page.close()
    assert [each for each in wrong if not any(known in each for known in LEFT)] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_its_contents_fits_a_phone_and_shows_no_raw_key(lab, tab, name, language):
    tab.set_viewport_size({"width": 390, "height": 800})
    tab.goto(f"{lab[0]}/{language}/{name}")
    tab.locator({"report": "iframe.report", "adapters": "table.shelf"}.get(name, ".main-svg")).first.wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    text = tab.locator("body").inner_text()
    assert "app." not in text and "figures." not in text
    assert translate(f"app.{name}.title", language) in text


@pytest.mark.parametrize("name", pages.PAGES)
def test_a_japanese_page_has_no_sentence_in_english(lab, browser, name):
    """Three words in Latin letters in a row, where somebody reads or hears them, are a sentence."""
    tab = browser.new_page(locale="ja-JP")  # gradio's own words follow the browser
    tab.goto(f"{lab[0]}{address_of('ja', name)}")
    tab.locator("h1").first.wait_for()
    closed = tab.locator("button.label-wrap:not(.open):visible")
    while closed.count():
        closed.first.click()
    said = settled(tab)
    tab.close()
    assert sum(len(re.findall("[ぁ-んァ-ヶ一-龠]", text)) for text in said) > 100
    assert [text for text in said if re.search(r"[A-Za-z]{2,}( [a-z]{2,}){2,}", text)] == []


def settled(tab) -> list[str]:
    """All texts of a page, once nothing changes any more."""
    before, now = None, tab.evaluate(TEXTS)
    while before != now:
        tab.wait_for_timeout(1500)
        before, now = now, tab.evaluate(TEXTS)
    return now


@pytest.mark.parametrize(("kind", "page"), [("study", "report"), ("continual", "continual"), ("merge_trial", "merge")])
def test_a_finished_run_leads_to_the_page_of_its_result(lab, tab, kind, page):
    address, folder = lab
    run = next(run for run in list_runs(folder / "runs") if run.kind == kind and run.state() == "finished")
    tab.goto(f"{address}/en/runs?run={run.path.name}")
    tab.get_by_role("link", name=translate(f"app.runs.see.{page}", "en")).click()
    tab.wait_for_url(f"**/en/{page}?run={run.path.name}")
    tab.locator("iframe.report, .main-svg").first.wait_for()


def test_a_report_is_shown_in_both_languages_and_downloaded_whole(lab, tab):
    address, folder = lab
    (study,) = [run for run in list_runs(folder / "runs") if run.kind == "study"]
    tab.goto(f"{address}/en/report")
    tab.locator(".lead").wait_for()
    assert tab.frame_locator("iframe.report").locator("h1").inner_text() == translate("report.title", "en")
    tab.get_by_label(translate("app.language", "ja")).check()
    tab.locator('div[lang="ja"] .lead').wait_for()
    assert tab.frame_locator("iframe.report").locator("h1").inner_text() == translate("report.title", "ja")
    with tab.expect_download() as download:
        tab.locator("a.save").click()
    assert Path(download.value.path()).read_bytes() == Layout(study.path).report("ja").read_bytes()


@pytest.mark.parametrize("path", ["../../etc/en", "x/en", "%3Cscript%3E/en", "{study}/xx", "{study}/..%2Fspec.json"])
def test_only_reports_are_served(lab, path):
    (study,) = [run for run in list_runs(lab[1] / "runs") if run.kind == "study"]
    with pytest.raises(HTTPError) as caught:
        urlopen(f"{lab[0]}/report/{path.format(study=study.path.name)}")
    caught.value.close()
    assert caught.value.code == 404
    with urlopen(f"{lab[0]}/report/{study.path.name}/en") as answer:
        assert "sandbox" in answer.headers["Content-Security-Policy"]


def choose_later_tasks(tab) -> None:
    tab.get_by_label(f"number input for {translate('app.sequence.later_rate', 'en')}").fill("0.1")
    tab.get_by_label(translate("app.sequence.later_masks.own_run", "en")).check()


def test_a_sequence_is_started_in_the_order_that_was_chosen(lab, tab):
    address, folder = lab
    tab.goto(f"{address}/en/continual")
    tab.locator(".main-svg").first.wait_for()
    tab.get_by_label(translate("app.continual.exclude", "en")).check()
    choose_later_tasks(tab)
    tab.get_by_role("button", name=translate("app.continual.go", "en"), exact=True).click()
    tab.wait_for_url("**/en/runs?run=*")
    runs = [run for run in list_runs(folder / "runs") if run.kind == "continual" and "overlap" in run.config]
    assert {run.config["method"] for run in runs} == {"lori_s", "lora"}
    assert all(run.config["tasks"] == ["safety", "nlu", "math"] for run in runs)
    assert all(run.config["overlap"] == "exclude" for run in runs)
    assert all((run.config["later_rate"], run.config["later_masks"]) == (0.1, "own_run") for run in runs)
    stop(folder)


def test_a_study_s_sequence_has_the_same_two_choices(lab, tab):
    address, folder = lab
    before = {run.path for run in list_runs(folder / "runs")}
    tab.goto(f"{address}/en/study")
    tab.get_by_role("button", name=translate("app.advanced.title", "en")).click()
    choose_later_tasks(tab)
    tab.get_by_role("button", name=translate("app.study.start", "en"), exact=True).click()
    tab.wait_for_url("**/en/runs?run=*")
    (run,) = [run for run in list_runs(folder / "runs") if run.path not in before]
    assert (run.config["later_rate"], run.config["later_masks"]) == (0.1, "own_run")
    stop(folder)


def test_an_adapter_goes_out_comes_back_under_a_name_and_is_deleted_after_a_question(lab, tab):
    address, folder = lab
    entries = {path.name: path.read_bytes() for path in (ASSETS / "adapters" / "math" / "lori_s").iterdir()}
    for hostile, name in ((entries | {"../outside": b"x"}, "math2"), (entries, "<img src=x onerror=alert(1)>")):
        upload(tab, address, hostile, name)
        tab.locator(".toast-body").wait_for()
    assert not list((folder / "store").glob("[!.]*")) and not list(folder.rglob("outside"))
    upload(tab, address, entries, "math2")
    tab.locator("table.shelf th", has_text="math2@1").first.wait_for()
    tab.get_by_role("tab", name=say("manage")).click()
    tab.get_by_role("button", name=say("delete"), exact=True).click()
    tab.get_by_role("button", name=translate("app.leave_it", "en"), exact=True).click()
    tab.get_by_role("button", name=say("yes"), exact=True).wait_for(state="hidden")
    assert (folder / "store" / "math2" / "1").exists()
    tab.get_by_role("button", name=say("delete"), exact=True).click()
    tab.get_by_role("button", name=say("yes"), exact=True).click()
    tab.get_by_text(say("deleted")).wait_for()
    assert not (folder / "store" / "math2" / "1").exists()


def test_a_file_of_a_gigabyte_is_refused_and_leaves_nothing_behind(lab, browser, tmp_path):
    (address, folder), tab = lab, browser.new_page(locale="en-US")  # its console tells of the refusal
    before = stored(folder)
    with (tmp_path / "huge.zip").open("wb") as file:
        file.truncate(2**30)  # a hole: it takes no room here
    open_import(tab, address)
    choose(tab, tmp_path / "huge.zip")
    tab.locator(".toast-body").first.wait_for()
    tab.close()
    with (tmp_path / "huge.zip").open("rb") as file:  # past the browser, which looks at the size first
        answer = httpx.post(f"{address}/en/gradio_api/upload", files={"files": file}, timeout=120)
    assert answer.status_code == 413
    assert stored(folder) == before


def stored(folder: Path) -> int:
    """Bytes in the lab's folder; runs, which other tests may have started, aside."""
    places = [place for place in folder.iterdir() if place.name != "runs"]
    return sum(path.stat().st_size for place in places for path in place.rglob("*") if path.is_file())


def test_a_merge_of_the_ready_made_ones_becomes_a_job_with_the_weights_of_the_sliders(lab, tab):
    address, folder = lab
    tab.goto(f"{address}/en/merge")
    label = translate("app.merge.weight", "en", adapter="Ready-made: math · LoRI-S")
    weight = tab.get_by_label(f"number input for {label}")
    weight.fill("0.5")
    weight.press("Tab")
    tab.get_by_label(translate("app.merge.search", "en")).check()
    tab.get_by_label(translate("app.merge.each", "en")).click()
    tab.get_by_role("option", name=translate("app.merge.each.kind", "en"), exact=True).click()
    tab.get_by_role("button", name=translate("app.merge.score", "en")).click()
    tab.wait_for_url("**/en/runs?run=*")
    (run,) = [run for run in list_runs(folder / "runs") if run.kind == "merge_trial" and "tasks" in run.config]
    assert run.config["tasks"] == ["nlu", "math", "code", "safety"] and len(run.config["scales"]) > 1
    assert run.config["groups"] == "kind"
    assert run.config["merge"]["weights"] == [1, 0.5, 1, 1] and len(run.config["merge"]["adapters"]) == 4
    stop(folder)


def test_the_page_knows_every_merge_method_and_its_options():
    code = (
        "import json; from lori_core.config import MergeOptions; from lori_core.method.merge import MERGE_METHODS; "
        "print(json.dumps([list(MERGE_METHODS), list(MergeOptions.model_fields)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    methods, fields = json.loads(done.stdout)
    assert methods == list(METHOD_OPTIONS)
    assert {option for options in METHOD_OPTIONS.values() for option in options} == set(fields)
    for language in LANGUAGES:
        assert all(translate(f"app.merge.method.{method}", language) for method in methods)


def say(key: str) -> str:
    return translate(f"app.adapters.{key}", "en")


def upload(tab, address: str, entries: dict[str, bytes], name: str) -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for entry, data in entries.items():
            archive.writestr(entry, data)
    open_import(tab, address)
    choose(tab, {"name": "one.zip", "mimeType": "application/zip", "buffer": written.getvalue()})
    tab.locator('td.filename[aria-label="one.zip"]').wait_for()  # .file-name is shown while it uploads only
    tab.get_by_label(say("name")).fill(name)
    tab.get_by_role("button", name=say("take_in"), exact=True).click()


def open_import(tab, address: str) -> None:
    tab.goto(f"{address}/en/adapters")
    tab.locator(".card h3").first.wait_for()  # what loads last
    tab.get_by_role("button", name=say("import")).click()
    tab.get_by_role("button", name=say("take_in"), exact=True).wait_for()


def choose(tab, file: Path | dict) -> None:
    """As a person does: a file that is set before the page listens is lost."""
    with tab.expect_file_chooser() as chooser:
        tab.locator("button:has(input[type=file])").first.click()
    chooser.value.set_files(file)


def stop(folder: Path) -> None:
    """Nothing that a test started is worth its time."""
    for run in list_runs(folder / "runs"):
        (run.path / "queued").unlink(missing_ok=True)
        if run.state() == "running":
            run.request_stop()
