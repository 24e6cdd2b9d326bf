"""The browser of those tests that need one."""

import os
import shutil
from typing import Any

import pytest

PATIENCE = 90_000  # milliseconds that a page of a machine has that is busy with other tests


class Browser:
    """One whose pages wait that long for what a test waits for."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened

    def new_page(self, **options: Any) -> Any:
        page = self._opened.new_page(**options)
        page.set_default_timeout(PATIENCE)
        return page


@pytest.fixture(scope="session")
def chromium() -> str:
    """Its program. Where there is none the tests are skipped, and in CI they fail."""
    found = shutil.which("chromium")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing; CI has to have it", pytrace=False)
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    return found


@pytest.fixture(scope="module")
def browser(chromium):
    """Headless, one a test file: while it is open the process has an event loop, which others must not meet."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield Browser(opened)
        opened.close()
