"""Where methods differ: how much tasks conflict, and how much of them the base knows already.

`python -m benchmarks.dials conflict` measures the three settings of the mini tasks' option on the shipped base;
`python -m benchmarks.dials base NAME` measures a base that `benchmarks.bases` made, at rates that
`benchmarks.learning_rates --base build/bases/NAME --name NAME` searched: single scores, random masks, four-task merges.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.adapters import TASKS, Given, spread, under_random_mask
from benchmarks.methods import WEIGHTS, together
from benchmarks.record import record
from lori_core.config import Method, StudyConfig
from lori_core.recipes import Training, seeded, training_for
from lori_core.results import StudyResult
from lori_core.study import run_study
from lori_core.tasks.mini import CONFLICTS
from lori_core.tasks.registry import load_task

SEEDS = (0, 1, 2)
TEST, VALIDATION = 300, 100
FOLDER = Path("build/dials")


@dataclass(frozen=True)
class Setting:
    """One position of a dial."""

    name: str
    base: str
    conflict: str
    rates: dict[Method, float]

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(f"{task}?conflict={self.conflict}" for task in TASKS)

    def training(self) -> Training:
        known = training_for("embedded")
        for method, rate in self.rates.items():
            known[method] = known[method].changed(learning_rate=rate)
        return known


def one_seed(job: tuple[Setting, int]) -> tuple[StudyResult, dict[str, float]]:
    setting, seed = job
    config = StudyConfig(
        base=setting.base,
        tasks=setting.tasks,
        seeds=(seed,),
        train=setting.training(),
        merge_weights=WEIGHTS,
        validation_examples=VALIDATION,
        test_examples=TEST,
        continual=None,
        device="cpu",
    )
    random = {
        task.name: under_random_mask(setting.base, task, seeded(setting.training(), seed), seed, TEST)
        for task in map(load_task, setting.tasks)
    }
    return run_study(config, FOLDER / setting.name / str(seed)), random


def measure(setting: Setting) -> dict[str, Any]:
    return together(spread(one_seed, [(setting, seed) for seed in SEEDS])) | {"rates": setting.rates}


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.dials", description=__doc__)
    arguments.add_argument("dial", choices=("conflict", "base"))
    arguments.add_argument("name", nargs="?", help="of the base")
    given = arguments.parse_args()
    config = {"seeds": SEEDS, "test": TEST, "validation": VALIDATION, "weights": WEIGHTS}
    if given.dial == "conflict":
        settings = [Setting(f"conflict_{conflict}", "embedded", conflict, {}) for conflict in CONFLICTS]
        results = {setting.conflict: measure(setting) for setting in settings}
        print("written", record("conflict", config, results))
    else:
        folder = f"build/bases/{given.name}"
        setting = Setting(given.name, folder, "none", Given(folder, f"_{given.name}").rates())
        print("written", record(f"base_{given.name}", config | {"base": folder}, measure(setting)))


if __name__ == "__main__":
    main()
