"""Duration of a study on this machine: its units of work, and what units of that kind took in an earlier study.

What a unit took to train grows with the steps, what it took to score with the examples; the base, the size of a batch
and the length of its examples have to be the same.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from statistics import fmean
from typing import Any

from lori_core.config import BaseConfig, Method
from lori_core.errors import ConfigError
from lori_core.study.layout import Layout, kind_of, planned, stage_of
from lori_core.study.runs import Run
from lori_core.study.specs import StudyConfig
from lori_core.training.recipes import mask_run, training_for

FREE = {"steps", "learning_rate", "seed"}  # settings of a training that leave a step as fast as it is
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
    """Of each study of the same base and kind of training what its units took, see _taken()."""
    asked = config.model_dump(mode="json", include=set(BaseConfig.model_fields))
    for run in runs:
        if run.kind != "study" or any(run.config.get(field) != value for field, value in asked.items()):
            continue
        # a damaged run, or one of another version, tells nothing
        with suppress(ConfigError, OSError, ValueError, LookupError, TypeError, ArithmeticError):
            known = StudyConfig(**run.config)
            if _speed(known) == _speed(config):
                yield _taken(Layout(run.path), known, config)


def _speed(config: StudyConfig) -> dict[Method, dict[str, Any]]:
    """By method, what else a step's time depends on than on the base."""
    training = training_for(config.base, config.train)
    return {method: each.model_dump(exclude=FREE) for method, each in training.items()}


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


def _taken(layout: Layout, known: StudyConfig, asked: StudyConfig) -> dict[str, float]:
    """Mean seconds of a unit, by kind and by stage, as they would be with the tasks, steps and examples asked for."""
    each: dict[str, list[float]] = {}
    for unit, seconds in layout.all_seconds().items():
        stage = stage_of(unit)
        trained = _training_seconds(layout, unit, seconds)
        grown = (_tasks(asked, stage) / _tasks(known, stage)) ** GROWS.get(stage, 0)
        grown *= trained * _steps(asked, unit) / _steps(known, unit) + (seconds - trained) * _examples(
            asked, stage
        ) / _examples(known, stage)
        for key in {stage, kind_of(unit)}:
            each.setdefault(key, []).append(grown)
    return {key: fmean(seconds) for key, seconds in each.items()}


def _tasks(config: StudyConfig, stage: str) -> int:
    """How many a unit of that stage is about; a sequence may have fewer than the study."""
    return len((stage == "continual" and config.continual) or config.tasks)


def _training_seconds(layout: Layout, unit: str, seconds: float) -> float:
    """What of a unit's time is training: all of a calibration, and nearly all of a sequence."""
    match stage_of(unit):
        case "calibrate" | "continual":
            return seconds
        case "single":
            with suppress(OSError, ValueError, LookupError, TypeError):
                return min(seconds, float(json.loads(layout.unit(unit).read_bytes())["training"]["seconds"]))
            return seconds
    return 0.0


def _steps(config: StudyConfig, unit: str) -> int:
    """Of one training in it; a calibration takes those of LoRI-D, or a share of them."""
    label = kind_of(unit).partition("-")[2]
    training = training_for(config.base, config.train)
    named = [each.steps for method, each in training.items() if label.startswith(method)]
    return named[0] if named else mask_run(config.adapter, training["lori_d"]).steps


def _examples(config: StudyConfig, stage: str) -> int:
    """How many of a task are scored in a unit of that stage; 1 where their number does not matter."""
    test, validation = config.test_examples, config.validation_examples
    scored = {
        "base": test,
        "single": test + validation,
        "merge": test + len(config.merge_weights) * validation,
    }
    return scored.get(stage, 1)
