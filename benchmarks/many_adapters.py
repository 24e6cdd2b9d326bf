"""Many adapters: a store of 5,000 versions, and footprints and cross-talk forecasts of up to 64 tasks.

    python -m benchmarks.many_adapters [PART ...]

`store` needs Chromium and takes a minute or two. A forecast of 64 tasks at Llama-3-8B's
shapes is measured on one of its 32 layers, whose modules and inputs are those of every other. Beside wall time stands
the processor's: other work on the machine lengthens the one alone.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import psutil
import torch
from playwright.sync_api import sync_playwright

from benchmarks.app import served
from benchmarks.record import RESULTS, commit, record, results_of
from benchmarks.store import MODULES, RANK
from lori_core.config import AdapterConfig
from lori_core.embedded.ready_made import READY_MADE
from lori_core.method.footprint import EXACT, Footprint, Moments
from lori_core.method.forecast import forecast_before
from lori_core.service.shelf import Shelf
from lori_core.storage.adapter_files import load_adapter
from lori_core.storage.footprint_files import load_footprint, save_footprint
from lori_core.storage.store import AdapterStore

VERSIONS, NAMES = 5000, 250
TASKS = (8, 64)
DIRECTIONS = AdapterConfig().directions
SHARED = {"k_proj": "q_proj", "v_proj": "q_proj", "up_proj": "gate_proj"}  # module -> the one whose input it reads
Seconds = dict[str, float]


def timed(work: Callable[[], Any]) -> tuple[Any, Seconds]:
    wall, processor = time.perf_counter(), time.process_time()
    made = work()
    return made, {"seconds": time.perf_counter() - wall, "processor_seconds": time.process_time() - processor}


def store() -> dict[str, Any]:
    """Of each name one version is saved, the others are copies of its folder, which the index then reads.

    Then the list as a command and as an answer to the app; then the page.
    """
    adapter = load_adapter(READY_MADE / "math" / "lori_s")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        versions = AdapterStore(root / "store")
        _, saving = timed(lambda: [versions.save(adapter, f"task-{number}") for number in range(NAMES)])
        for name, number in product(range(NAMES), range(2, VERSIONS // NAMES + 1)):
            shutil.copytree(versions.root / f"task-{name}" / "1", versions.root / f"task-{name}" / str(number))
        found: dict[str, Any] = {"save_each": {key: value / NAMES for key, value in saving.items()}}
        found["reindex"] = timed(versions.reindex)[1]
        found["list_command"] = listed(versions.root)
        shelf = Shelf(versions.root, root / "runs", root / "exports")
        found["contents"] = timed(shelf.contents)[1]
        return found | {"page": page(root)}


def listed(root: Path) -> Seconds:
    """`lori store list` from the command to its end."""
    wall, before = time.perf_counter(), os.times()
    command = [sys.executable, "-m", "lori_core", "store", "list", "--store", str(root)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == VERSIONS + 1
    after = os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": time.perf_counter() - wall, "processor_seconds": processor}


def page(folder: Path) -> Seconds:
    """Adapters, from the address to the table and to the first adapter's card, in a lab that has answered once."""
    with sync_playwright() as playwright, served(folder) as (address, server, _):
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        found: Seconds = {}
        try:
            for _ in range(2):
                tab = browser.new_page(locale="en-US")
                tab.set_default_timeout(600_000)
                before, began = used(server), time.perf_counter()
                tab.goto(f"{address}/en/adapters")
                tab.locator("table.shelf tbody tr").first.wait_for()
                found["table_seconds"] = time.perf_counter() - began
                tab.locator(".card h3").first.wait_for()
                found["card_seconds"] = time.perf_counter() - began
                found["server_processor_seconds"] = used(server) - before
                tab.close()
        finally:
            server.terminate()
        return found


def used(server: psutil.Process) -> float:
    """Seconds of the processor that the app and the processes which it asks have used."""
    every = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return sum(times.user + times.system for times in every)


def tasks_of(shapes: Mapping[str, tuple[int, int]], count: int) -> list[Footprint]:
    """Of random inputs, some directions of which have far more energy than others, as real ones do."""
    generator = torch.Generator().manual_seed(0)

    def moments(width: int) -> Moments:
        size = width if width <= EXACT else DIRECTIONS
        falling = torch.logspace(0, -3, size).sqrt().unsqueeze(0)
        factor = torch.linalg.qr(torch.randn(size, size, generator=generator) * falling).R.T
        return Moments((factor / factor.norm()).half(), width, 1.0)

    places = [(module, *module.rsplit(".", 1)) for module in shapes]
    inputs = {module: f"{layer}.{SHARED.get(name, name)}" for module, layer, name in places}
    return [
        Footprint(f"task{n}", inputs, {source: moments(shapes[source][1]) for source in set(inputs.values())}, 1000)
        for n in range(count)
    ]


def footprints() -> dict[str, Any]:
    """Kept and loaded each, and forecast before training, under random and conditioned As."""
    header = json.loads((READY_MADE / "math" / "lori_d" / "adapter.json").read_bytes())
    embedded = {name: (each["out_features"], each["in_features"]) for name, each in header["modules"].items()}
    found: dict[str, Any] = {}
    for base, shapes in (("embedded", embedded), ("llama_3_8b_layer", MODULES)):
        for count in TASKS:
            every = tasks_of(shapes, count)
            row: dict[str, Any] = {"modules": len(shapes)}
            with tempfile.TemporaryDirectory() as folder:
                row["save_each"] = timed(lambda: save_footprint(every[0], Path(folder) / "it"))[1]  # noqa: B023
                row["load_each"] = timed(lambda: load_footprint(Path(folder) / "it"))[1]
            for projection in ("kaiming_uniform", "conditioned"):
                config = AdapterConfig(rank=RANK, sparsity=0, projection=projection)
                row[f"forecast_{projection}"] = timed(lambda: forecast_before(every, config))[1]  # noqa: B023
            found.setdefault(base, {})[str(count)] = row
            print(base, count, row, flush=True)
    return found


PARTS = {"store": store, "footprints": footprints}


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or PARTS:
        found = {"commit": commit(), "load": os.getloadavg()[0], "found": PARTS[name]()}
        results = results_of(RESULTS / "many_adapters.json") | {name: found}
        config = {"versions": VERSIONS, "names": NAMES, "rank": RANK, "directions": DIRECTIONS, "threads": 1}
        print(record("many_adapters", config, {part: results[part] for part in PARTS if part in results}))


if __name__ == "__main__":
    main()
