"""Progress of a run as pages show it: its events, made into loss curves, mask snapshots and what goes on now."""

import threading
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

from lori_core.results import Calibration, MaskSnapshot, Training
from lori_core.study.events import Stage, how_far, stage_of
from lori_core.study.layout import is_control
from lori_core.study.runs import Run

LOG = 20_000  # bytes of the end of a log


@dataclass
class Following:
    """Attributes:
    losses: stage -> [(step, loss)], None where the loss is not a number.
    looks: task -> its mask as it formed; the masks of the control, where tasks share one A, are left out.
    step: the newest training step's event; stage: (which, done, total) of what goes on.
    units: (done, planned) of a study.
    """

    losses: dict[Stage, list[tuple[int, float | None]]] = field(default_factory=dict)
    looks: dict[str, list[MaskSnapshot]] = field(default_factory=dict)
    step: dict[str, Any] | None = None
    stage: tuple[Stage, int, int] | None = None
    planned: int = 0
    done: set[str] = field(default_factory=set)
    error: dict[str, Any] | None = None


def follow(run: Run) -> Following:
    """What the run's events say so far."""
    return _reader(run.path).read()


def log_of(run: Run) -> str:
    """The end of what its process wrote."""
    try:
        with open(run.path / "log.txt", "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def forming(run: Run, task: str, looks: list[MaskSnapshot]) -> Calibration:
    """The newest looks in the form that figures take; the training has no end yet."""
    unfinished = Training(looks[-1].step, (), 0, 0.0, 0, 0, 0, 0)
    sparsity = run.config.get("adapter", {}).get("sparsity", 0.0)
    return Calibration(task, sparsity, tuple(looks), unfinished, False, looks[-1].kept)


class _Reader:
    """Reads what is new only: a run of hours has a hundred thousand events."""

    def __init__(self, run: Run) -> None:
        self.run, self.place, self.found = run, 0, Following()
        self.lock = threading.Lock()

    def read(self) -> Following:
        with self.lock:
            events, self.place = self.run.events_from(self.place)
            for event in events:
                _take(self.found, event)
            return deepcopy(self.found)


@lru_cache(maxsize=64)
def _reader(path: Path) -> _Reader:
    return _Reader(Run.open(path))


def _take(found: Following, event: dict[str, Any]) -> None:
    match event["kind"]:
        case "plan":
            found.planned, found.done = event["units"], set(event["done"])
        case "unit" if event["state"] == "done":
            found.done.add(event["name"])
        case "state":
            found.error = event if event["state"] == "failed" else None
        case "step":
            _take_step(found, event)
        case "evaluate":
            found.stage = (stage_of(event), *how_far(event))
        case "mask" if not is_control(str(event.get("method", ""))):
            looks = found.looks.setdefault(event.get("task", ""), [])
            if looks and event["step"] <= looks[-1].step:  # another seed, or resumed: the newest curve is shown
                looks[:] = [look for look in looks if look.step < event["step"]]
            looks.append(MaskSnapshot(event["step"], event["jaccard"], event["kept"]))


def _take_step(found: Following, event: dict[str, Any]) -> None:
    stage = stage_of(event)
    found.step, found.stage = event, (stage, *how_far(event))
    curve = found.losses.setdefault(stage, [])
    if curve and event["step"] <= curve[-1][0]:  # resumed from a checkpoint: those steps are done again
        curve[:] = [point for point in curve if point[0] < event["step"]]
    loss = event["loss"]
    curve.append((event["step"], loss if isfinite(loss) else None))
