"""Response times of the app in a real browser: a part of it a function, its figures under the part's name.

    python -m benchmarks.app [PART ...] [--keep FOLDER]

All parts take a quarter of an hour; needs Chromium, as the tests do. Figures of parts that are not named stay as they
were. In `updates` a look comes every UPDATE seconds instead of every second; all else is as a user starts it.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated, Any

import httpx
import psutil
import typer
from playwright.sync_api import Browser, Page, sync_playwright

from app.jobs import Jobs
from app.passwords import add
from app.worker import Worker
from benchmarks.record import RESULTS, commit, record
from benchmarks.store import INNER, LAYERS, RANK, SHAPES, random_adapter
from lori_core.config import AdapterConfig, Method, TrainConfig
from lori_core.files import write_atomic
from lori_core.storage.adapter_files import save_adapter
from lori_core.study.runs import Run, list_runs
from lori_core.study.specs import StudyConfig

UPDATES, UPDATE = 600, 0.25  # live updates, seconds between two
READERS, POLL = 20, 1.0  # sessions that poll one run, seconds between two polls of one
NEW_SESSIONS, LATER = 2000, 300  # requests of sessions of their own; seconds until memory is looked at again
WINDOW = 20.0  # seconds in which polls and steps are counted
EVENTS = 1000  # training steps that a page shows which comes back
REST = 1.0  # seconds between two clicks of a reader
CHART = ".js-plotly-plot .main-svg"
FIGURES = "figure.chart:not([hidden])"
FAST = "import typer, app.pages.runs as runs; runs.POLL = {poll}; from app.__main__ import main; typer.run(main)"

FLOOD, PASSWORD = 60, "a right password"
GUESSING = """
import asyncio, httpx

async def guess(client, number):
    count = 0
    while True:
        count += 1
        await client.get("/en/", auth=("user", f"wrong {{number}} {{count}}"))

async def all():
    every = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url="{address}", timeout=None, limits=every) as client:
        await asyncio.gather(*(guess(client, number) for number in range({clients})))

asyncio.run(all())
"""


@contextmanager
def served(
    folder: Path, poll: float = POLL, doors: Sequence[str] = ("--no-auth",)
) -> Iterator[tuple[str, psutil.Process, float]]:
    """(address, process, seconds from the command to listening) of an app."""
    began = time.perf_counter()
    command = [sys.executable, "-c", FAST.format(poll=poll), "--store", str(folder), "--port", "0", *doors]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        yield address, psutil.Process(process.pid), time.perf_counter() - began
        process.terminate()


def start(browser: Browser, folder: Path) -> dict[str, float]:
    """From the command to listening; from the request to a button that can be pressed, nothing cached."""
    with served(folder) as (address, _, listening):
        page = browser.new_page()
        began = time.perf_counter()
        page.goto(f"{address}/en/")
        page.locator("button.primary").click(trial=True)
        seconds = time.perf_counter() - began
        page.close()
    return {"command_to_listening_s": listening, "first_page_s": seconds}


def newcomer(browser: Browser, folder: Path) -> dict[str, float]:
    """From the first page to a finished study on the embedded base, by the one button that is offered first."""
    with served(folder) as (address, _, _):
        page = browser.new_page(locale="en-US")
        began = time.perf_counter()
        page.goto(address)
        page.locator("button.primary").click()
        page.wait_for_url("**/runs?run=*")
        page.locator(".links").wait_for(timeout=3_600_000)  # what a finished run offers to look at
        seconds = time.perf_counter() - began
        page.close()
        shutil.rmtree(folder / ".uploads", ignore_errors=True)
    return {"clicks": 1, "seconds": seconds}


def back(browser: Browser, folder: Path) -> dict[str, float]:
    """Until charts and log of a run are there: again after a reload, in a second browser, and once the app was killed.

    The second browser has cached nothing; the app that was killed is listening again.
    """
    run = Run.create(folder / "runs", "study", StudyConfig().model_dump(mode="json"))
    run.emit({"kind": "state", "state": "running"})
    for step in range(1, EVENTS + 1):
        emit(run, step)
    (run.path / "log.txt").write_text("a line of the log\n" * 1000)
    found = {}

    def until_shown(page: Page, come: Callable[[], Any]) -> float:
        began = time.perf_counter()
        come()
        page.wait_for_selector(CHART)
        page.get_by_text("Log", exact=True).click()
        page.get_by_text("a line of the log").first.wait_for()
        return time.perf_counter() - began

    with served(folder) as (address, server, _):
        page, other = (browser.new_context().new_page() for _ in range(2))
        page.goto(place_in(address, run))
        page.wait_for_selector(CHART)
        found["reload_s"] = until_shown(page, page.reload)
        found["second_browser_s"] = until_shown(other, lambda: other.goto(place_in(address, run)))
        server.send_signal(signal.SIGKILL)
        page.close()
        other.close()
    with served(folder) as (address, _, _):
        page = browser.new_context().new_page()
        found["killed_and_started_again_s"] = until_shown(page, lambda: page.goto(place_in(address, run)))
        page.close()
    return found


def place_in(address: str, run: Run) -> str:
    return f"{address}/en/runs?run={run.path.name}"


def cancel(browser: Browser, folder: Path) -> dict[str, float]:
    """From the click that discards a run that trains until no process of it lives, and until the next job runs."""
    config = StudyConfig(tasks=("math",), methods=("lori_d",)).model_dump(mode="json")
    with served(folder) as (address, _, _):
        queue = Jobs()  # only to end what is left: the app's own queue starts the runs
        first, second = (queued(folder, config) for _ in range(2))
        try:
            wait_for_step(first)
            group = [process.pid for process in psutil.process_iter() if os.getpgid(process.pid) == holder(first)]
            page = browser.new_page(locale="en-US")
            page.goto(place_in(address, first))
            page.get_by_role("button", name="Discard", exact=True).click()
            began = time.perf_counter()
            page.get_by_role("button", name="Discard it", exact=True).click()
            while any(map(psutil.pid_exists, group)):
                time.sleep(0.01)
            gone = time.perf_counter() - began
            while second.state() != "running":
                time.sleep(0.01)
            next_runs = time.perf_counter() - began
            page.close()
        finally:
            for run in list_runs(folder / "runs"):
                queue.discard(run)
            queue.close()
    return {"processes": len(group), "gone_s": gone, "next_runs_s": next_runs}


def masks(browser: Browser, folder: Path) -> dict[str, Any]:
    """An adapter of Llama-3-8B's shapes: chosen in the list, one of its B by a click, bits of that by another.

    The process that answers is there already: it answered for the adapter that the page opens with.
    """
    run = Run.create(folder / "runs", "train", {"task": "large"})
    with run.start():
        save_adapter(random_adapter("threshold"), run.path / "adapters" / "trained")
        run.save_result("{}")
    with served(folder) as (address, _, _):
        page = browser.new_page(locale="en-US")
        page.goto(f"{address}/en/masks?adapter=ready/math/lori_s")
        page.wait_for_function(f"document.querySelectorAll('{FIGURES}').length === 2")
        page.get_by_label("Adapter", exact=True).click()
        choice = page.get_by_role("option", name="Run: ").first
        choice.wait_for()
        shown = page.locator(f"{FIGURES}:not(:has([aria-busy=true]))")
        began = time.perf_counter()
        choice.click()
        shown.locator("figcaption", has_text="benchmark").first.wait_for()
        page.wait_for_function(f"document.querySelector('{FIGURES} .plot').data[0].z[0].length === {LAYERS}")
        overview = time.perf_counter() - began
        bits_of_it = shown.locator("figcaption", has_text=re.compile("model.layers.[0-9]{2}.*entry by entry"))
        bits_of_it.wait_for()  # the last that choosing an adapter draws
        time.sleep(REST)
        drill = until_drawn(page, lambda: click_cell(page, 0, 0.515, 0.95), "model.layers.16.mlp.down_proj")
        time.sleep(REST)
        again = until_drawn(page, lambda: click_cell(page, 0, 0.515, 0.05), "model.layers.16.self_attn.q_proj")
        time.sleep(REST)
        before = page.locator(f"{FIGURES} .summary").nth(2).inner_text()
        began = time.perf_counter()
        click_cell(page, 1, 0.5, 0.5)
        shown.nth(2).locator(".summary").filter(has_not_text=before).wait_for()
        bits = time.perf_counter() - began
        page.close()
    found = {"overview_s": overview, "first_drill_down_s": drill, "next_drill_down_s": again, "bits_s": bits}
    worker = Worker(folder / "store", folder / "runs", folder / "exports")  # the same without page and charts
    (reference,) = (each["reference"] for each in worker.ask("contents") if each["reference"].startswith("run/"))
    questions = {"overview": ("mask_layout", {"reference": reference})}
    for name, layer in (("first_drill_down", 16), ("next_drill_down", 17)):
        where = {"references": [reference], "module": f"model.layers.{layer}.mlp.down_proj"}
        questions[name] = ("mask_grid", where)
    for name, (operation, arguments) in questions.items():
        began = time.perf_counter()
        worker.ask(operation, **arguments)
        found[f"{name}_of_the_worker_s"] = time.perf_counter() - began
    worker.close()
    return {"modules": len(SHAPES), "largest_B": [INNER, RANK]} | found


def until_drawn(page: Page, act: Callable[[], None], title: str) -> float:
    """Seconds until a chart of that title is drawn."""
    began = time.perf_counter()
    act()
    page.locator(f"{FIGURES}:not(:has([aria-busy=true])) figcaption", has_text=title).first.wait_for()
    return time.perf_counter() - began


def click_cell(page: Page, chart: int, across: float, down: float) -> None:
    """A cell of the first heatmap of a chart, by where it lies in it."""
    plot = page.locator(FIGURES).nth(chart).locator(".heatmaplayer image").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])


def queued(folder: Path, config: dict[str, Any]) -> Run:
    run = Run.create(folder / "runs", "study", config)
    write_atomic(run.path / "queued", "")
    return run


def wait_for_step(run: Run, step: int = 1) -> None:
    while not any(event["kind"] == "step" and event["step"] >= step for event in run.events()):
        time.sleep(0.2)


def holder(run: Run) -> int:
    return int((run.path / "run.lock").read_text())


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


def updates(browser: Browser, folder: Path) -> dict[str, float]:
    """How browser heap and server memory grow, the first 50 updates, which fill caches, aside."""
    with served(folder, UPDATE) as (address, server, _):
        run = Run.create(folder / "runs", "study", StudyConfig().model_dump(mode="json"))
        emit(run, 1)
        page = browser.new_page()
        page.goto(place_in(address, run))
        page.wait_for_selector(CHART)
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
    """Seconds of each poll of one reader: the call that the page's timer makes, and its answer.

    The first one opens the session, as loading the page does, and takes longer for it.
    """
    taken: list[float] = []
    with httpx.Client(base_url=f"{address}/en", timeout=60) as client:
        known = client.get("/config").json()["dependencies"]
        (tick,) = [each["id"] for each in known if any(target[1] == "tick" for target in each["targets"])]
        session = f"reader{threading.get_ident()}"
        began = time.perf_counter()
        while (since := time.perf_counter() - began) < seconds:
            time.sleep(-since % POLL)  # the page's timer ticks on, however late an answer is
            taken.append(_answered(client, session, {"fn_index": tick, "data": [name, None]}))
    return taken


def _answered(client: httpx.Client, session: str, call: dict[str, Any]) -> float:
    began = time.perf_counter()
    client.post("/gradio_api/run/predict", json=call | {"session_hash": session}).raise_for_status()
    return time.perf_counter() - began


def sessions(browser: Browser, folder: Path) -> dict[str, float]:
    """Memory of the server before and after NEW_SESSIONS requests, each of a session of its own; no browser asks.

    Every second one goes through the queue, and nobody fetches its answer.
    """
    with served(folder) as (address, server, _), httpx.Client(base_url=f"{address}/en", timeout=60) as client:
        known = client.get("/config").json()["dependencies"]
        (tick,) = [each["id"] for each in known if any(target[1] == "tick" for target in each["targets"])]
        opened = [each for each in known if any(target[1] == "load" for target in each["targets"])]
        loads = [each["id"] for each in opened if not each["inputs"]]
        plain = {"fn_index": tick, "data": ["", None]}

        def ask(number: int) -> None:
            queued = {"fn_index": loads[number // 2 % len(loads)], "data": []}
            place, call = ("queue/join", queued) if number % 2 else ("run/predict", plain)
            client.post(f"/gradio_api/{place}", json=call | {"session_hash": f"session{number}"}).raise_for_status()

        for number in range(50):  # they fill caches, and start the process that answers
            ask(number)
        time.sleep(20)
        before = server.memory_info().rss
        for number in range(50, 50 + NEW_SESSIONS):
            ask(number)
        after = server.memory_info().rss
        time.sleep(LATER)
        later = server.memory_info().rss
    sizes = {"before_mb": before, "after_mb": after, f"{LATER}_s_later_mb": later}
    return {name: size / 1e6 for name, size in sizes.items()} | {"sessions": NEW_SESSIONS}


def flood(browser: Browser, folder: Path) -> dict[str, Any]:
    """A user with a password reads pages alone, and while FLOOD clients try wrong ones as fast as they are answered."""
    passwords = folder / "passwords"
    folder.mkdir(parents=True)
    add(passwords, "user", PASSWORD)
    with served(folder / "lab", doors=("--auth-file", str(passwords))) as (address, server, _):
        client = httpx.Client(base_url=address, auth=("user", PASSWORD), timeout=60)
        reading(client, 2)  # warm: the password is hashed, the pages are built
        alone, before = reading(client, WINDOW), server.memory_info().rss
        with subprocess.Popen([sys.executable, "-c", GUESSING.format(address=address, clients=FLOOD)]) as guessing:
            time.sleep(2)
            flooded, peak = reading(client, WINDOW), server.memory_info().rss
            guessing.terminate()
    return {
        "clients": FLOOD,
        "pages": len(flooded),
        "page_median_ms": 1000 * median(flooded),
        "page_p95_ms": 1000 * quantiles(flooded, n=20)[-1],
        "page_longest_ms": 1000 * max(flooded),
        "alone_median_ms": 1000 * median(alone),
        "alone_p95_ms": 1000 * quantiles(alone, n=20)[-1],
        "alone_longest_ms": 1000 * max(alone),
        "server_mb": (peak - before) / 1e6,
    }


def reading(client: httpx.Client, seconds: float) -> list[float]:
    """Seconds that each page took, five of them asked for a second."""
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        client.get("/en/", follow_redirects=True).raise_for_status()
        taken.append(time.perf_counter() - began)
        time.sleep(0.2)
    return taken


def steps_a_second(run: Run, seconds: float) -> float:
    def steps() -> int:
        return sum(event["kind"] == "step" for event in run.events())

    before = steps()
    time.sleep(seconds)
    return (steps() - before) / seconds


def readers(browser: Browser, folder: Path) -> dict[str, Any]:
    """A training on this machine, followed by nobody, by READERS, and by nobody again."""
    train: dict[Method, TrainConfig] = {"lori_d": TrainConfig(learning_rate=1e-3, steps=5000)}
    config = StudyConfig(tasks=("math",), methods=("lori_d",), adapter=AdapterConfig(), train=train)
    with served(folder) as (address, _, _):
        queue = Jobs()  # only to end the run: the app's own queue starts it
        run = queued(folder, config.model_dump(mode="json"))
        try:
            wait_for_step(run, 6)
            alone = steps_a_second(run, WINDOW)
            taken: list[list[float]] = []
            threads = [
                threading.Thread(target=lambda: taken.append(polls(address, run.path.name, WINDOW + 2)))
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
    first, later = [each[0] for each in taken], [seconds for each in taken for seconds in each[1:]]
    return {
        "readers": READERS,
        "polls": len(later),
        "poll_median_ms": 1000 * median(later),
        "poll_p95_ms": 1000 * quantiles(later, n=20)[-1],
        "opening_median_ms": 1000 * median(first),
        "opening_longest_ms": 1000 * max(first),
        "training_slowed_percent": 100 * (1 - followed / unfollowed),
        "steps_a_second_alone": [alone, again],
    }


PARTS: dict[str, Callable[[Browser, Path], dict[str, Any]]] = {
    "start": start,
    "newcomer": newcomer,
    "back": back,
    "cancel": cancel,
    "masks": masks,
    "readers": readers,
    "sessions": sessions,
    "flood": flood,
    "updates": updates,
}


def main(
    parts: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(PARTS)}; default: all.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Where folders of labs stay, to look at.")] = None,
) -> None:
    """Measure parts of the app."""
    program = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    file = RESULTS / "app.json"
    found = json.loads(file.read_text(encoding="utf-8"))["results"] if file.exists() else {}
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for part in parts or PARTS:
            cores = len(os.sched_getaffinity(0))
            found[part] = PARTS[part](browser, (keep or Path(place)) / part) | {"on_cores": cores, "commit": commit()}
            print(part, found[part], flush=True)
        browser.close()
    config = {"updates": UPDATES, "seconds_between": UPDATE, "readers": READERS, "poll_seconds": POLL, "events": EVENTS}
    print(record("app", config, found))


if __name__ == "__main__":
    typer.run(main)
