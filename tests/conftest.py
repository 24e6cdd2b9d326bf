"""The browser of those tests that need one."""

import os
import shutil

import pytest


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
        yield opened
        opened.close()
