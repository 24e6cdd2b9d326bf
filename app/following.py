"""Progress of a run as pages show it: its events, made into loss curves, mask snapshots and what goes on now."""

import threading
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, fields
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

from lori_core.results import Calibration, MaskSnapshot, Training
from lori_core.study.events import Stage, how_far, is_line, learned_in, stage_of
from lori_core.study.layout import is_control
from lori_core.study.runs import Run, size_of

NEWS = 300
LARGEST_COUNT = 2**53  # beyond it a browser does not count exactly
WRONG = (LookupError, TypeError, ValueError, AttributeError, OverflowError)  # what an event of another shape raises


@dataclass(frozen=True)
class Pace:
    """What a training step tells of the stage: seconds left in it, tokens a second, bytes of memory."""

    seconds_left: float
    tokens_per_second: float
    memory_bytes: float


@dataclass
class Following:
    """Attributes:
    losses: stage -> [(step, loss)], None where the loss is not a number.
    looks: task -> its mask as it formed, "safety → math" of a sequence; the masks of the control, where tasks share
        one A, are left out.
    pace: of the newest training step; stage: (which, done, total) of what goes on.
    planned, done: units of a study. unit_since: when the one that goes on began, seconds since 1970.
    device: where the base computes, and in which precision: "cpu, fp32"; empty until it is loaded.
    news: the newest events that a log tells, NEWS at most; a unit that is done has its "place", counted from 1.
    error: the event of the failure, where the run ended in one.
    """

    losses: dict[Stage, list[tuple[int, float | None]]] = field(default_factory=dict)
    looks: dict[str, list[MaskSnapshot]] = field(default_factory=dict)
    pace: Pace | None = None
    stage: tuple[Stage, int, int] | None = None
    planned: int = 0
    unit_since: float | None = None
    device: str = ""
    done: set[str] = field(default_factory=set)
    news: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None


def follow(run: Run) -> Following:
    """What the run's events say so far."""
    return _reader(run.path).read()


def end_of(path: Path, most: int) -> str:
    """The last bytes of a text file; empty where it is not there or nobody can read it."""
    with suppress(OSError):
        if path.is_file():
            with open(path, "rb") as file:
                file.seek(max(0, size_of(path) - most))
                return file.read(most).decode(errors="replace")
    return ""


def forming(run: Run, task: str, looks: list[MaskSnapshot]) -> Calibration:
    """The newest looks in the form that figures take; the training has no end yet."""
    unfinished = Training(looks[-1].step, (), 0, 0.0, 0, 0, 0, 0)
    adapter = run.config.get("adapter")
    sparsity = adapter.get("sparsity") if isinstance(adapter, dict) else 0.0
    sparsity = float(sparsity) if isinstance(sparsity, int | float) else 0.0
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
                with suppress(*WRONG):  # a damaged event is left out, as in Run.events()
                    before = len(self.found.done)
                    _take(self.found, event)
                    if _is_news(event, len(self.found.done) > before):
                        self.found.news.append(event | {"place": len(self.found.done)})
            del self.found.news[:-NEWS]
            return deepcopy(self.found)


@lru_cache(maxsize=64)
def _reader(path: Path) -> _Reader:
    return _Reader(Run.open(path))


def _take(found: Following, event: dict[str, Any]) -> None:
    match event["kind"]:
        case "plan":
            found.planned, found.done = _count(event["units"]), set(map(str, event["done"]))
        case "base":
            found.device = f"{event['device']}, {event['precision']}"
        case "unit" if event["state"] == "done":
            found.done.add(str(event["name"]))
            found.unit_since = None
        case "unit":
            found.unit_since = event["time"]
        case "state":
            found.error = event if event["state"] == "failed" else None
        case "step":
            _take_step(found, event)
        case "evaluate":
            found.stage = _how_far(event)
        case "mask" if not is_control(str(event.get("method", ""))):
            look = _look(event)
            looks = found.looks.setdefault(learned_in(event), [])
            if looks and look.step <= looks[-1].step:  # another seed, or resumed: the newest curve is shown
                looks[:] = [each for each in looks if each.step < look.step]
            looks.append(look)


def _is_news(event: dict[str, Any], one_more: bool) -> bool:
    """Whether a log tells it. one_more: a unit is done that was not before: two others that need it tell it twice."""
    match event["kind"]:
        case "state" | "base" | "left_out":
            return True
        case "unit":
            return one_more
        case "step" | "evaluate":
            return is_line(event)
    return False


def _take_step(found: Following, event: dict[str, Any]) -> None:
    stage, step, loss = _how_far(event), _count(event["step"]), float(event["loss"])
    curve = found.losses.setdefault(stage[0], [])
    if curve and step <= curve[-1][0]:  # resumed from a checkpoint: those steps are done again
        curve[:] = [point for point in curve if point[0] < step]
    curve.append((step, loss if isfinite(loss) else None))
    found.stage, found.pace = stage, None
    found.pace = Pace(*(_finite(event[name.name]) for name in fields(Pace)))


def _look(event: dict[str, Any]) -> MaskSnapshot:
    jaccard = event["jaccard"]
    kept = {str(module): _finite(share) for module, share in event["kept"].items()}
    return MaskSnapshot(_count(event["step"]), None if jaccard is None else _finite(jaccard), kept)


def _how_far(event: dict[str, Any]) -> tuple[Stage, int, int]:
    done, total = how_far(event)
    return stage_of(event), _count(done), _count(total)


def _count(value: Any) -> int:
    if abs(number := int(value)) > LARGEST_COUNT:
        raise ValueError(value)
    return number


def _finite(value: Any) -> float:
    if not isfinite(number := float(value)):
        raise ValueError(value)
    return number
