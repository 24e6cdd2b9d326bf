"""What following a run in the browser costs: start, first page, memory over 600 live updates, 20 readers of one run.

`python -m benchmarks.app`, a few minutes; needs Chromium, as the tests do. Updates come every UPDATE seconds instead of
every second: the app is started with a shorter poll, all else is as a user starts it.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from app.jobs import Jobs
from benchmarks.record import record
from lori_core.config import AdapterConfig, Method, StudyConfig, TrainConfig
from lori_core.files import write_atomic
from lori_core.runs import Run

UPDATES, UPDATE = 600, 0.25  # live updates, seconds between two
READERS, POLL = 20, 1.0  # sessions that poll one run, seconds between two polls of one
WINDOW = 20.0  # seconds in which polls and steps are counted
FAST = "import typer, app.pages.runs as runs; runs.POLL = {poll}; from app.__main__ import main; typer.run(main)"


@contextmanager
def served(folder: Path, poll: float = POLL) -> Iterator[tuple[str, psutil.Process, float]]:
    """(address, process, seconds from the command to listening) of an app."""
    began = time.perf_counter()
    command = [sys.executable, "-c", FAST.format(poll=poll), "--store", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        yield address, psutil.Process(process.pid), time.perf_counter() - began
        process.terminate()


def first_page(browser: Browser, address: str) -> float:
    """Seconds from the request to a button that can be pressed, nothing cached."""
    page = browser.new_page()
    began = time.perf_counter()
    page.goto(f"{address}/en/")
    page.locator("button.primary").click(trial=True)
    seconds = time.perf_counter() - began
    page.close()
    return seconds


def emit(run: Run, step: int) -> None:
    event = {"kind": "step", "task": "math", "method": "lori_s", "stage": "train", "step": step, "steps": 10_000}
    run.emit(event | {"loss": 1 / step, "seconds_left": 1.0, "tokens_per_second": 1.0, "memory_bytes": 1})


def heap(page: Page) -> int:
    """Bytes of the page's objects once nothing is left to collect."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return int(used)


def live_updates(browser: Browser, folder: Path) -> dict[str, float]:
    """How browser heap and server memory grow, the first 50 updates, which fill caches, aside."""
    with served(folder, UPDATE) as (address, server, _):
        run = Run.create(folder / "runs", "study", StudyConfig().model_dump(mode="json"))
        emit(run, 1)
        page = browser.new_page()
        page.goto(f"{address}/en/runs?run={run.path.name}")
        page.wait_for_selector(".js-plotly-plot .main-svg")
        before, seen = (0, 0), 0
        for number in range(2, UPDATES + 52):
            if number == 52:
                before = heap(page), server.memory_info().rss
            emit(run, number)
            page.wait_for_function(f"document.querySelector('.js-plotly-plot').data[0].x.length === {number}")
            seen += 1
        after = heap(page), server.memory_info().rss
        page.close()
    return {
        "updates": seen - 50,
        "browser_heap_growth_mb": (after[0] - before[0]) / 1e6,
        "server_memory_growth_mb": (after[1] - before[1]) / 1e6,
    }


def polls(address: str, name: str, seconds: float) -> list[float]:
    """Seconds of each poll of one reader: the call that the page's timer makes, and its answer."""
    taken: list[float] = []
    with httpx.Client(base_url=f"{address}/en", timeout=60) as client:
        known = client.get("/config").json()["dependencies"]
        (tick,) = [each["id"] for each in known if any(target[1] == "tick" for target in each["targets"])]
        session = f"reader{threading.get_ident()}"
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            began = time.perf_counter()
            taken.append(_answered(client, session, {"fn_index": tick, "data": [name, None, "", None]}))
            time.sleep(max(0.0, POLL - (time.perf_counter() - began)))
    return taken


def _answered(client: httpx.Client, session: str, call: dict[str, Any]) -> float:
    began = time.perf_counter()
    client.post("/gradio_api/run/predict", json=call | {"session_hash": session}).raise_for_status()
    return time.perf_counter() - began


def steps_a_second(run: Run, seconds: float) -> float:
    def steps() -> int:
        return sum(event["kind"] == "step" for event in run.events())

    before = steps()
    time.sleep(seconds)
    return (steps() - before) / seconds


def readers(folder: Path) -> dict[str, Any]:
    """A training on this machine, followed by nobody, by READERS, and by nobody again."""
    train: dict[Method, TrainConfig] = {"lori_d": TrainConfig(learning_rate=1e-3, steps=5000)}
    config = StudyConfig(tasks=("math",), methods=("lori_d",), adapter=AdapterConfig(), train=train)
    with served(folder) as (address, _, _):
        queue = Jobs()  # only to end the run: the app's own queue starts it
        run = Run.create(folder / "runs", "study", config.model_dump(mode="json"))
        write_atomic(run.path / "queued", "")
        try:
            while not any(event["kind"] == "step" and event["step"] > 5 for event in run.events()):
                time.sleep(0.5)
            alone = steps_a_second(run, WINDOW)
            taken: list[float] = []
            threads = [
                threading.Thread(target=lambda: taken.extend(polls(address, run.path.name, WINDOW + 2)))
                for _ in range(READERS)
            ]
            for thread in threads:
                thread.start()
                time.sleep(POLL / READERS)  # browsers do not tick together
            followed = steps_a_second(run, WINDOW - 2)
            for thread in threads:
                thread.join()
            again = steps_a_second(run, WINDOW)
        finally:
            queue.discard(run)
            queue.close()
    unfollowed = (alone + again) / 2
    return {
        "readers": READERS,
        "polls": len(taken),
        "poll_p95_ms": 1000 * quantiles(taken, n=20)[-1],
        "training_slowed_percent": 100 * (1 - followed / unfollowed),
        "steps_a_second_alone": [alone, again],
    }


def main() -> None:
    program = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        with served(Path(place) / "start") as (address, _, seconds):
            found["command_to_listening_s"] = seconds
            found["first_page_s"] = first_page(browser, address)
        found |= readers(Path(place) / "readers")
        found |= live_updates(browser, Path(place) / "updates")
        browser.close()
    config = {"updates": UPDATES, "seconds_between": UPDATE, "readers": READERS, "poll_seconds": POLL}
    print(record("app", config, found))


if __name__ == "__main__":
    main()
