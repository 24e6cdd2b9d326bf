"""The example runs that ship: every page shows them, nobody changes them, and they stand below a reader's own."""

from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from gradio_client import Client
from playwright.sync_api import expect
from served import serving

from app.lab import Workspace
from app.pages.home import OFFERS, SHOWN
from lori_core.assets import ASSETS
from lori_core.errors import RunError
from lori_core.files import folder_size
from lori_core.service.shelf import Shelf
from lori_core.study.examples import EXAMPLES, examples, is_example, made_at
from lori_core.study.runs import Run, list_runs
from lori_core.study.specs import JOBS, StudyConfig
from lori_core.translate import LANGUAGES, translate

FILLED = {  # page of a run -> what is there once it shows something of it
    "runs": ".results table",
    "report": "iframe.report",
    "masks": "figure.chart:not([hidden]) .main-svg",
    "interference": "figure.chart:not([hidden]) .main-svg",
    "continual": "figure.chart:not([hidden]) .main-svg",
    "merge": "figure.chart:not([hidden]) .main-svg",
    "try": ".expected code",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium):
    """(address, folder) of a lab that starts nothing."""
    folder = tmp_path_factory.mktemp("lab")
    with serving(folder, idle=True) as place:
        yield place, folder


def test_they_are_what_the_first_page_starts_and_a_merge_and_small():
    demo, full = (offer.config for offer in OFFERS)
    assert [StudyConfig(**run.config) for run in examples()[:2]] == [full, demo]
    assert [run.kind for run in examples()] == ["study", "study", "merge_trial"]
    assert all(run.state() == "finished" for run in examples())
    assert all(JOBS[run.kind](**run.config) for run in examples())
    assert folder_size(EXAMPLES) < 1_500_000


def test_nothing_in_them_names_a_folder_of_a_machine():
    for path in EXAMPLES.rglob("*.json*"):
        text = path.read_text(encoding="utf-8")
        assert '"/' not in text, path.relative_to(ASSETS)
    merge = examples()[2].config["merge"]
    assert all((ASSETS.parent / folder / "adapter.json").is_file() for folder in merge["adapters"])


def test_a_workspace_shows_them_last_and_never_counts_them_among_its_own(tmp_path):
    here = Workspace(tmp_path / "lab", tmp_path / "exports")
    assert here.shown_runs() == examples()
    own = Run.create(here.runs, "study", StudyConfig().model_dump(mode="json"))
    assert here.shown_runs() == [own, *examples()] and list_runs(here.runs) == [own]
    assert here.own_run(own.path.name) == own
    for run in examples():
        assert is_example(here.run(run.path.name))
        with pytest.raises(RunError, match="example"):
            here.own_run(run.path.name)


def test_adapters_of_an_example_are_on_the_shelf_last_can_be_kept_and_not_removed(tmp_path):
    shelf = Shelf(tmp_path / "store", tmp_path / "runs", tmp_path)
    references = [entry["reference"] for entry in shelf.contents()]
    own = [reference for reference in references if reference.startswith("example/")]
    assert references[-len(own) :] == own and len(own) == 4  # LoRI-S of three tasks, and of their sequence
    shelf.verify(own[0])
    assert shelf.keep(own[0], "kept") == "store/kept@1"
    with pytest.raises(Exception, match="not in the store"):
        shelf.delete(own[0])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", SHOWN)
def test_the_first_page_leads_to_each_page_of_a_finished_study(lab, browser, language, name):
    page = browser.new_page()
    page.goto(f"{lab[0]}/{language}/")
    said = translate(f"app.home.example.{name}", language)
    page.locator(f"a[href^='/{language}/{name}?run=']", has_text=said).click()
    page.locator(f"{FILLED[name]} >> visible=true").first.wait_for()
    chosen = translate("app.runs.example", language)
    picked = page.locator("input, .token").evaluate_all("all => all.map((each) => each.value || each.innerText)")
    assert any(str(each).strip().startswith(chosen) for each in picked), picked
    page.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_runs_page_says_that_it_is_an_example_and_offers_no_way_to_change_it(lab, browser, language):
    page = browser.new_page()
    page.goto(f"{lab[0]}/{language}/runs")
    page.locator(".hint code", has_text=made_at()).wait_for()
    for action in ("stop", "resume", "discard"):
        expect(page.get_by_role("button", name=translate(f"app.runs.{action}", language), exact=True)).to_be_disabled()
    row = page.locator(".runs-table tbody tr[aria-current]")
    expect(row).to_contain_text(translate("app.runs.example", language))
    assert row.locator("input[type=text]").count() == 0
    page.close()


def test_a_reader_s_own_run_stands_above_the_examples_however_the_table_is_sorted(lab, browser):
    run = Run.create(lab[1] / "runs", "study", StudyConfig(tasks=("code",)).model_dump(mode="json"))
    page = browser.new_page()
    page.goto(f"{lab[0]}/en/runs")
    rows = page.locator(".runs-table tbody tr")
    rows.first.wait_for()
    for _ in range(2):
        expect(rows).to_have_count(1 + len(examples()))
        expect(rows.first).to_contain_text("code")
        page.locator("th[data-column=what] button").click()
    (run.path / "spec.json").unlink()
    page.close()


def test_two_examples_are_compared_by_two_ticks(lab, browser):
    page = browser.new_page()
    page.goto(f"{lab[0]}/en/runs")
    boxes = page.locator(".runs-table tbody input[type=checkbox]")
    boxes.first.wait_for()
    for row in ("study: nlu, math, safety", "study: nlu, safety"):
        page.locator(".runs-table tbody tr", has_text=row).first.locator("input[type=checkbox]").check()
    page.get_by_role("heading", name=translate("app.compare.title", "en")).wait_for()
    page.get_by_text(translate("app.results.difference_note", "en")).wait_for()
    page.close()


def test_its_report_is_served_in_both_languages_and_no_other_file_of_it(lab):
    name = examples()[0].path.name
    for language in LANGUAGES:
        with urlopen(f"{lab[0]}/report/{name}/{language}") as answer:
            assert f'lang="{language}"'.encode() in answer.read()
    for path in (f"{examples()[2].path.name}/en", f"{name}/fr", "made.json/en"):
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{lab[0]}/report/{path}")
        assert refused.value.code == 404
        refused.value.close()  # it holds the connection


def test_a_program_reads_an_example_as_any_run(lab):
    client = Client(f"{lab[0]}/en/", verbose=False)
    name = examples()[0].path.name
    assert client.predict(name, api_name="/state")["state"] == "finished"
    assert client.predict(name, api_name="/result")["tasks"] == ["nlu", "math", "safety"]
