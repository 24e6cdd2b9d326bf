"""Duration of a study on this machine: of the embedded base's tasks by a yardstick, else by an earlier study.

The yardstick knows what each unit takes beside the others; how fast this machine is, the newest study on it tells, be
it of other tasks and methods, or a short measurement (yardstick.py, slowness.py). Of other bases and tasks, a unit is
taken to last what units of its kind took in an earlier study: to train longer with more steps, to score longer with
more examples. The base, the size of a batch and the length of its examples have to be the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from statistics import fmean

from lori_core.config import BaseConfig
from lori_core.errors import ConfigError
from lori_core.study.layout import Layout, kind_of, planned, stage_of
from lori_core.study.runs import Run
from lori_core.study.specs import StudyConfig
from lori_core.study.unit_times import scored_in, speed_of, steps_of, trained_seconds
from lori_core.study.yardstick import yardstick

TELLING = 5.0  # seconds of units on the example's machine: what took less, says little of a machine's speed
# What a damaged run, or one of another version, raises; it tells nothing.
DAMAGED = (ConfigError, OSError, ValueError, LookupError, TypeError, ArithmeticError)
# A merge is scored on each task; a sequence is scored on all tasks after each of them.
GROWS = {"merge": 1, "continual": 2}  # stage -> with which power of the number of tasks


def expected_seconds(config: StudyConfig, runs: Iterable[Run], slowness: float | None = None) -> float | None:
    """What a study will take, by the first of the runs that is one of the same base and that got far enough to tell.

    Args:
        slowness: of this machine (yardstick.py), where no run tells it.
    """
    if (measure := yardstick(config)) is not None:
        found = _slowness(config, runs) or slowness
        return found and found * measure.whole(config)
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
    if (measure := yardstick(config)) is not None:
        found = _slowness(config, chain([run], earlier))
        return found and max(0.0, found * sum(measure.seconds(unit, config) for unit in left) - under_way)
    seconds = _sum(_until_known(_known(config, chain([run], earlier)), left), left)
    return None if seconds is None else max(0.0, seconds - under_way)


def _slowness(config: StudyConfig, runs: Iterable[Run]) -> float | None:
    """Of this machine, by the first of the runs whose units took long enough to tell."""
    for layout, known in _on_same_terms(config, runs):
        with suppress(*DAMAGED):
            if (measure := yardstick(known)) is None:
                continue
            taken = layout.all_seconds()
            there = sum(measure.seconds(unit, known) for unit in taken)
            if there > TELLING:
                return sum(taken.values()) / there
    return None


def _known(config: StudyConfig, runs: Iterable[Run]) -> Iterator[dict[str, float]]:
    """Of each study on the same terms what its units took, see _taken()."""
    for layout, known in _on_same_terms(config, runs):
        with suppress(*DAMAGED):
            yield _taken(layout, known, config)


def _on_same_terms(config: StudyConfig, runs: Iterable[Run]) -> Iterator[tuple[Layout, StudyConfig]]:
    """The studies of the same base and kind of training."""
    asked = config.model_dump(mode="json", include=set(BaseConfig.model_fields))
    for run in runs:
        if run.kind != "study" or any(run.config.get(field) != value for field, value in asked.items()):
            continue
        with suppress(*DAMAGED):
            known = StudyConfig(**run.config)
            if speed_of(known) == speed_of(config):
                yield Layout(run.path), known


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
        trained = trained_seconds(layout, unit, seconds)
        grown = (_tasks(asked, stage) / _tasks(known, stage)) ** GROWS.get(stage, 0)
        grown *= trained * steps_of(asked, unit) / steps_of(known, unit) + (seconds - trained) * scored_in(
            asked, stage
        ) / scored_in(known, stage)
        for key in {stage, kind_of(unit)}:
            each.setdefault(key, []).append(grown)
    return {key: fmean(seconds) for key, seconds in each.items()}


def _tasks(config: StudyConfig, stage: str) -> int:
    """How many a unit of that stage is about; a sequence may have fewer than the study."""
    return len((stage == "continual" and config.continual) or config.tasks)
