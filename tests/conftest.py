"""The browser and the real base of those tests that need one; the processor that tests believe they run on."""

import os
import shutil
from typing import Any

import pytest
import torch

from lori_core.bases.download import BASES

PATIENCE = 90_000  # milliseconds that a page of a machine has that is busy with other tests


class Browser:
    """One whose pages wait that long for what a test waits for."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened

    def new_page(self, **options: Any) -> Any:
        page = self._opened.new_page(**options)
        page.set_default_timeout(PATIENCE)
        return page

    def tabs(self, count: int) -> list[Any]:
        """Pages that share what a browser shares between its tabs, connections among it."""
        context = self._opened.new_context()
        context.set_default_timeout(PATIENCE)
        return [context.new_page() for _ in range(count)]


@pytest.fixture(params=[True, False], ids=["bf16", "no_bf16"])
def processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the processor says that it has bf16 arithmetic: a test passes with either answer, whatever the machine.

    Modules on loading, training, scoring and resuming use it for all of their tests.
    """
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": request.param})
    return request.param


@pytest.fixture(scope="session")
def chromium() -> str:
    """Its program. Where there is none the tests are skipped, and in CI they fail."""
    found = shutil.which("chromium")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing; CI has to have it", pytrace=False)
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    return found


@pytest.fixture(scope="session")
def real_base_there() -> None:
    """SmolLM2-135M-Instruct lies on this machine. Where it does not, as the browser."""
    if not (BASES / "smollm2").is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail("SmolLM2 is missing; CI has to have it", pytrace=False)
        pytest.skip("SmolLM2 was not downloaded (make real-base)")


@pytest.fixture(scope="module")
def smollm2(real_base_there):
    """A real language model, in fp32."""
    from lori_core.bases.load import load_base  # seconds that most tests need not wait for

    return load_base("smollm2", device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def browser(chromium):
    """Headless, one a test file: while it is open the process has an event loop, which others must not meet."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
    sync_api.expect.set_options(timeout=PATIENCE)
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield Browser(opened)
        opened.close()
