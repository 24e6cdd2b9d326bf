"""Yardstick: what units of a study of the embedded base take, told from the example that ships (examples.py).

How long a step or an answer of one task takes beside those of another is much the same on all machines; how fast a
machine is, is one number, its slowness: seconds here for a second of the example's. A study here tells it, and before
the first one a short measurement (slowness.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from statistics import fmean

from lori_core.config import BaseConfig
from lori_core.study.examples import examples
from lori_core.study.layout import Layout, kind_of, planned, stage_of
from lori_core.study.specs import StudyConfig
from lori_core.study.unit_times import scored_in, speed_of, steps_of, trained_seconds
from lori_core.tasks.mini import MINI_TASKS
from lori_core.tasks.registry import name_of

AROUND = 7.0  # seconds of the example's machine beside all units: the process starts, the report is written
TERMS = BaseConfig.model_fields.keys() - {"device"}
SEVERAL = ("merge", "continual", "interference")  # stages whose units are about all tasks

Costs = Mapping[tuple[str, str], float]  # (kind of unit, task) -> seconds


@dataclass(frozen=True)
class Yardstick:
    """step, example: seconds of one step of training, of one example that is scored.

    factors: stage of SEVERAL -> what its units took, as a multiple of what their steps and examples say.
    """

    step: Costs
    example: Costs
    factors: Mapping[str, float]

    def whole(self, config: StudyConfig) -> float:
        """Seconds of a study, until its report is there."""
        return AROUND + sum(self.seconds(unit, config) for unit in planned(config))

    def seconds(self, unit: str, config: StudyConfig) -> float:
        """Of one unit."""
        stage = stage_of(unit)
        if stage in SEVERAL:
            return self.factors[stage] * _of_all(self.step, self.example, unit, config)
        kind, task = kind_of(unit), _task(unit, config)
        calibrated = kind.startswith("single-lori_d") and config.adapter.calibration == "dense"  # which trained it
        trained = 0.0 if stage == "base" or calibrated else steps_of(config, unit) * _like(self.step, kind, task)
        return trained + (0.0 if stage == "calibrate" else scored_in(config, stage) * _like(self.example, kind, task))


def yardstick(config: StudyConfig) -> Yardstick | None:
    """None for a study on other terms: of another base, precision or batch, or with tasks of the user's own."""
    ours = all(name_of(task) in MINI_TASKS for task in config.tasks)
    same = all(getattr(config, term) == BaseConfig.model_fields[term].default for term in TERMS)
    return _of_example() if ours and same and speed_of(config) == speed_of(StudyConfig()) else None


@cache
def _of_example() -> Yardstick:
    run = examples()[0]
    layout, config = Layout(run.path), StudyConfig(**run.config)
    step: dict[tuple[str, str], float] = {}
    example: dict[tuple[str, str], float] = {}
    several: dict[str, list[tuple[str, float]]] = {}
    for unit, seconds in layout.all_seconds().items():
        stage, trained = stage_of(unit), trained_seconds(layout, unit, seconds)
        if stage in SEVERAL:
            several.setdefault(stage, []).append((unit, seconds))
            continue
        key = kind_of(unit), _task(unit, config)
        if trained:
            step[key] = trained / steps_of(config, unit)
        if stage != "calibrate":
            example[key] = (seconds - trained) / scored_in(config, stage)
    factors = {
        stage: sum(seconds for _, seconds in units) / sum(_of_all(step, example, unit, config) for unit, _ in units)
        for stage, units in several.items()
    }
    return Yardstick(step, example, factors)


def _of_all(step: Costs, example: Costs, unit: str, config: StudyConfig) -> float:
    """Seconds that steps and examples of a unit take which is about all tasks; of interference, the pairs."""
    stage, tasks = stage_of(unit), [name_of(task) for task in config.tasks]
    if stage == "interference":
        return len(tasks) ** 2
    label = kind_of(unit).rpartition("-")[2]
    single = f"single-{label}"
    if stage == "merge":
        return scored_in(config, stage) * sum(_like(example, single, task) for task in tasks)
    order = config.continual or sorted(tasks, key=lambda task: task != "safety")
    trained = sum(steps_of(config, unit) * _like(step, single, task) for task in order[1:])
    if label.startswith("lori_s"):
        trained += sum(steps_of(config, "calibrate") * _like(step, "calibrate-own", task) for task in order[1:])
    return trained + len(order) * config.test_examples * sum(_like(example, single, task) for task in order)


def _task(unit: str, config: StudyConfig) -> str:
    """Of a unit that is about one."""
    place = unit.removeprefix(f"{kind_of(unit)}-").partition("-")[0]
    return name_of(config.tasks[int(place)])


def _like(costs: Costs, kind: str, task: str) -> float:
    """The mean of those that are most like it; what a task takes tells more than by which method it is learned."""
    of_stage = {key: cost for key, cost in costs.items() if stage_of(key[0]) == stage_of(kind)}
    of_task = {key: cost for key, cost in of_stage.items() if key[1] == task}
    exact = {key: cost for key, cost in of_task.items() if key[0] == kind}
    return fmean((exact or of_task or of_stage).values())
