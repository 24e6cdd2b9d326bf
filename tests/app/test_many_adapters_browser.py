"""Page Adapters with more adapters than a browser draws at once: the newest are shown, words find the others."""

import subprocess
import sys

import pytest
from stored import sparse

from app.shelf_views import ROWS
from lori_core.storage.store import AdapterStore


@pytest.fixture(scope="module")
def lab(tmp_path_factory, chromium):
    folder = tmp_path_factory.mktemp("lab")
    store = AdapterStore(folder / "store")
    for number in range(ROWS + 1):
        store.save(sparse("first" if number == 0 else "math", seed=number))
    command = [sys.executable, "-m", "app", "--store", str(folder), "--port", "0", "--no-auth"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def test_the_newest_are_shown_and_words_find_the_others(lab, browser):
    page = browser.new_page()
    page.goto(f"{lab}/en/adapters")
    rows = page.locator("table.shelf tbody tr")
    rows.first.wait_for()
    page.locator(".card h3").first.wait_for()
    assert rows.count() == ROWS and page.get_by_text("first@1").count() == 0
    page.get_by_label("Words").fill("FIRST tiny")
    page.get_by_role("button", name="Find", exact=True).click()
    page.get_by_role("link", name="first@1").wait_for()
    assert rows.count() == 1
    page.close()
