"""A lab with passwords in a real browser: each name has a workspace of its own."""

import subprocess
import sys
from urllib.error import HTTPError
from urllib.request import HTTPBasicAuthHandler, HTTPPasswordMgrWithDefaultRealm, build_opener

import pytest

from app.passwords import add
from lori_core.study.layout import Layout
from lori_core.study.runs import Run, list_runs
from lori_core.translate import translate

WORDS = {"aiko": "correct horse", "bo": "battery staple"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium):
    """(address, folder) of a running app with a finished run of Aiko's."""
    folder = tmp_path_factory.mktemp("lab")
    for name, password in WORDS.items():
        add(folder / "passwords", name, password)
    run = Run.create(folder / "users" / "aiko" / "runs", "study", {"tasks": ["math"]})
    with run.start():
        Layout(run.path).report("en").write_text("<h1>of Aiko</h1>", encoding="utf-8")
    command = [sys.executable, "-m", "app", "--store", str(folder), "--port", "0"]
    with subprocess.Popen(
        [*command, "--auth-file", str(folder / "passwords")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), folder
        process.terminate()


@pytest.mark.parametrize("name", WORDS)
def test_each_sees_the_runs_that_are_theirs_and_opens_no_other(lab, browser, name):
    address, folder = lab
    (run,) = list_runs(folder / "users" / "aiko" / "runs")
    page = browser.new_page(locale="en-US", http_credentials={"username": name, "password": WORDS[name]})
    page.goto(f"{address}/en/runs?run={run.path.name}")
    if name == "aiko":
        page.locator("dl.facts", has_text=translate("app.state.finished", "en")).wait_for()
    else:
        page.locator(".toast-body", has_text=run.path.name).wait_for()
        assert page.locator("dl.facts").count() == 0
    page.close()


def test_what_one_takes_in_lies_in_their_own_folder(lab, browser):
    address, folder = lab
    page = browser.new_page(locale="en-US", http_credentials={"username": "bo", "password": WORDS["bo"]})
    page.goto(f"{address}/en/adapters")
    page.locator(".card h3").first.wait_for()
    page.get_by_role("tab", name=translate("app.adapters.manage", "en")).click()
    page.get_by_label(translate("app.adapters.keep_name", "en")).fill("mine")
    page.get_by_role("button", name=translate("app.adapters.keep", "en"), exact=True).click()
    page.locator("table.shelf th", has_text="mine@1").first.wait_for()
    page.close()
    assert (folder / "users" / "bo" / "store" / "mine" / "1").is_dir()
    assert not list((folder / "users" / "aiko").glob("store/mine")) and not list(folder.glob("store/*"))


def test_a_report_is_served_to_its_owner_alone(lab):
    address, folder = lab
    (run,) = list_runs(folder / "users" / "aiko" / "runs")
    answers = {}
    for name, password in WORDS.items():
        known = HTTPPasswordMgrWithDefaultRealm()
        known.add_password(None, address, name, password)
        try:
            with build_opener(HTTPBasicAuthHandler(known)).open(f"{address}/report/{run.path.name}/en") as answer:
                answers[name] = answer.read().decode()
        except HTTPError as error:
            with error:
                answers[name] = error.code
    assert answers == {"aiko": "<h1>of Aiko</h1>", "bo": 404}
