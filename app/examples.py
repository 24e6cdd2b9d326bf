"""Examples made again: `python -m app.examples`, in the folder of the source code; some four minutes of one core.

What the two buttons of the first page start, each a run like any other, and a merge of the adapters of the full study.
What ships of them is what pages show: records, and LoRI-S's adapters. A dense run has 0.4 MB, an adapter of LoRA 0.9.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.jobs import environment
from app.pages.home import OFFERS
from lori_core.config import MERGE_WEIGHTS, Config
from lori_core.files import write_atomic
from lori_core.study.examples import EXAMPLES, MADE
from lori_core.study.layout import Layout, single_unit
from lori_core.study.runs import Run
from lori_core.study.specs import MergeJob, MergeTrialJob

RECORDS = ("spec.json", "result.json", "units/single-*.json", "units/calibrate-*.json", "seconds/*")
# Seconds are the processor's, so that what else this machine does counts for none: study/yardstick.py goes by them.
TIMED = "import time; time.perf_counter = time.process_time; from lori_core.commands import app; app()"
DIGITS = 5  # of numbers in events, beside their times


def main() -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    shutil.rmtree(EXAMPLES, ignore_errors=True)
    EXAMPLES.mkdir()
    write_atomic(MADE, json.dumps({"commit": commit.strip()}) + "\n")
    demo, full = (offer.config for offer in OFFERS)
    with TemporaryDirectory() as place:
        ship(made(Path(place), "study", demo), adapters=())
        study = made(Path(place), "study", full)
        kept = tuple(single_unit("lori_s", index, 0) for index in range(len(full.tasks)))
        shipped = Layout(ship(study, (*kept, "continual-lori_s-0")).relative_to(Path.cwd()))
        merge = MergeJob(adapters=tuple(str(shipped.adapter(name)) for name in kept), weights=(1.0,) * len(kept))
        trial = MergeTrialJob(
            merge=merge,
            tasks=full.tasks,
            scales=MERGE_WEIGHTS,
            validation_examples=full.validation_examples,
            test_examples=full.test_examples,
        )
        ship(made(Path(place), "merge_trial", trial), adapters=())


def made(place: Path, kind: str, config: Config) -> Run:
    """A run that has been done there, as the lab does one."""
    run = Run.create(place, kind, config.model_dump(mode="json"))
    subprocess.run([sys.executable, "-c", TIMED, "run", str(run.path)], check=True, env=environment())
    return run


def ship(run: Run, adapters: tuple[str, ...]) -> Path:
    """What of a run ships, put among the examples; its folder there."""
    target = EXAMPLES / run.path.name
    for path in [path for pattern in RECORDS for path in run.path.glob(pattern)]:
        write_atomic(target / path.relative_to(run.path), path.read_bytes())
    for name in adapters:
        shutil.copytree(Layout(run.path).adapter(name), Layout(target).adapter(name))
    write_atomic(target / "events.jsonl", "".join(f"{json.dumps(event)}\n" for event in _shortened(run.events())))
    return target


def _shortened(events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Numbers rounded to what a chart shows, and of what tells how far a scoring is only the last."""

    def about(event: dict[str, Any]) -> tuple[Any, ...]:
        return event["kind"], event.get("task"), event.get("split")

    for (kind, *_), several in groupby(events, about):
        for event in list(several)[-1:] if kind == "evaluate" else several:
            yield event | _rounded(event) | {"time": round(event["time"], 3)}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
