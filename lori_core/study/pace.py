"""Duration of a study on this machine: its units of work, and what units of that kind took in an earlier study."""

from collections.abc import Iterable
from statistics import fmean
from typing import Any

from lori_core.config import BaseConfig
from lori_core.study.layout import Layout, kind_of, planned, stage_of
from lori_core.study.runs import Run
from lori_core.study.specs import StudyConfig

SAME = (*BaseConfig.model_fields, "train")  # settings without which two studies are not equally fast
# A merge is scored on each task; a sequence is scored on all tasks after each of them.
GROWS = {"merge": 1, "continual": 2}  # stage -> with which power of the number of tasks


def expected_seconds(config: StudyConfig, runs: Iterable[Run]) -> float | None:
    """What a study will take, by the first of the runs that is one of the same base and that got far enough to tell."""
    asked = config.model_dump(mode="json")
    for run in runs:
        if run.kind != "study" or any(run.config.get(field) != asked[field] for field in SAME):
            continue
        try:
            taken = _taken(run, asked)
        except (OSError, ValueError, LookupError, TypeError, ArithmeticError):  # a damaged run tells nothing
            continue
        found = [taken.get(kind_of(name)) or taken.get(stage_of(name)) for name in planned(config)]
        known = [seconds for seconds in found if seconds is not None]
        if len(known) == len(found):
            return sum(known)
    return None


def _taken(run: Run, asked: dict[str, Any]) -> dict[str, float]:
    """Mean seconds of a unit, by kind and by stage, as they would be with as many tasks as are asked for."""
    each: dict[str, list[float]] = {}
    for unit, seconds in Layout(run.path).all_seconds().items():
        stage = stage_of(unit)
        grown = (_tasks(asked, stage) / _tasks(run.config, stage)) ** GROWS.get(stage, 0)
        for key in {stage, kind_of(unit)}:
            each.setdefault(key, []).append(seconds * grown)
    return {key: fmean(seconds) for key, seconds in each.items()}


def _tasks(config: dict[str, Any], stage: str) -> int:
    """How many a unit of that stage is about; a sequence may have fewer than the study."""
    return len((stage == "continual" and config["continual"]) or config["tasks"])
