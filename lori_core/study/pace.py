"""Duration of a study on this machine: its units of work, and what units of that kind took in an earlier study."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from statistics import fmean
from typing import Any

from lori_core.config import BaseConfig
from lori_core.errors import ConfigError
from lori_core.study.layout import Layout, kind_of, planned, stage_of
from lori_core.study.runs import Run
from lori_core.study.specs import StudyConfig

SAME = (*BaseConfig.model_fields, "train")  # settings without which two studies are not equally fast
# A merge is scored on each task; a sequence is scored on all tasks after each of them.
GROWS = {"merge": 1, "continual": 2}  # stage -> with which power of the number of tasks


def expected_seconds(config: StudyConfig, runs: Iterable[Run]) -> float | None:
    """What a study will take, by the first of the runs that is one of the same base and that got far enough to tell."""
    whole = (_sum([taken], planned(config)) for taken in _known(config, runs))
    return next((seconds for seconds in whole if seconds is not None), None)


def seconds_left(run: Run, earlier: Iterable[Run], under_way: float = 0.0) -> float | None:
    """What a study still takes: by what its own units took, and where it has none of a kind yet, those of earlier ones.

    Args:
        under_way: seconds that the unit takes already which goes on now.
    """
    try:
        config = StudyConfig(**run.config)
    except ConfigError:  # of another version
        return None
    done = set(Layout(run.path).done())
    left = [unit for unit in planned(config) if unit not in done]
    seconds = _sum(_until_known(_known(config, chain([run], earlier)), left), left)
    return None if seconds is None else max(0.0, seconds - under_way)


def _known(config: StudyConfig, runs: Iterable[Run]) -> Iterator[dict[str, float]]:
    """Of each study of the same base and training what its units took, see _taken()."""
    asked = config.model_dump(mode="json")
    for run in runs:
        if run.kind != "study" or any(run.config.get(field) != asked[field] for field in SAME):
            continue
        with suppress(OSError, ValueError, LookupError, TypeError, ArithmeticError):  # a damaged run tells nothing
            yield _taken(run, asked)


def _until_known(known: Iterable[dict[str, float]], units: Sequence[str]) -> list[dict[str, float]]:
    """No more of them than it takes to have each unit's kind: a page asks every second, and runs are many."""
    read: list[dict[str, float]] = []
    missing = {kind_of(unit) for unit in units}
    for taken in known:
        read.append(taken)
        missing -= taken.keys()
        if not missing:
            break
    return read


def _sum(known: Sequence[dict[str, float]], units: Iterable[str]) -> float | None:
    """Of the units by the first of what is known that has their kind, else the first that has their stage."""
    each = [
        next((taken[key] for key in (kind_of(unit), stage_of(unit)) for taken in known if key in taken), None)
        for unit in units
    ]
    return None if None in each else sum(seconds for seconds in each if seconds is not None)


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
