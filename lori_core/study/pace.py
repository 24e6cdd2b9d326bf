"""How long a study will take here: its units of work, and what units of that kind took in an earlier study."""

import re
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

from lori_core.config import BaseConfig, StudyConfig
from lori_core.study.runs import Run

SAME = (*BaseConfig.model_fields, "train")  # settings without which two studies are not equally fast
# A merge is scored on each task; a sequence is scored on all tasks after each of them.
GROWS = {"merge": 1, "continual": 2}  # stage -> with which power of the number of tasks


def planned(config: StudyConfig) -> list[str]:
    """The names of all units of work of a study, as they are called in its folder."""
    tasks, seeds = range(len(config.tasks)), config.seeds
    own = [method for method in config.methods if method != "full"]
    several = len(tasks) > 1
    control = ["lori_d_shared"] if several and config.shared_control and own else []
    dense = [*(["own"] if set(own) - {"lora"} else []), *(["shared"] if control else [])]
    learned = [*own, *control, *(["full"] if "full" in config.methods else [])]
    places = [f"{task}-{seed}" for seed in seeds for task in tasks]
    names = [f"base-{task}" for task in tasks]
    names += [f"calibrate-{whose}-{place}" for whose in dense for place in places]
    names += [f"single-{label}-{place}" for label in learned for place in places]
    if several:
        variants = [*own, *control]
        names += [f"merge-{how}-{label}-{seed}" for how in config.merge_methods for label in variants for seed in seeds]
        if config.continual is not None:
            names += [f"continual-{label}-{seed}" for label in own for seed in seeds]
        for label in variants:
            measures = ["cosine", "function", *(["masks"] if label == "lori_s" else [])]
            names += [f"interference-{label}-{measure}" for measure in measures]
    return names


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
        found = [taken.get(_kind(name)) or taken.get(_stage(name)) for name in planned(config)]
        known = [seconds for seconds in found if seconds is not None]
        if len(known) == len(found):
            return sum(known)
    return None


def _taken(run: Run, asked: dict[str, Any]) -> dict[str, float]:
    """Mean seconds of a unit, by kind and by stage, as they would be with as many tasks as are asked for."""
    each: dict[str, list[float]] = {}
    for path in (run.path / "seconds").glob("*"):
        stage = _stage(path.name)
        grown = (_tasks(asked, stage) / _tasks(run.config, stage)) ** GROWS.get(stage, 0)
        for key in {stage, _kind(path.name)}:
            each.setdefault(key, []).append(_seconds(path) * grown)
    return {key: fmean(seconds) for key, seconds in each.items()}


def _tasks(config: dict[str, Any], stage: str) -> int:
    """How many a unit of that stage is about; a sequence may have fewer than the study."""
    return len((stage == "continual" and config["continual"]) or config["tasks"])


def _seconds(path: Path) -> float:
    return float(path.read_text(encoding="utf-8"))


def _kind(name: str) -> str:
    """ "single-lori_s-0-0" is of the kind "single-lori_s"."""
    return re.sub(r"(-\d+)+$", "", name)


def _stage(name: str) -> str:
    return name.partition("-")[0]
