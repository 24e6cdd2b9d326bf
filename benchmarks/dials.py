"""Dials along which methods differ: how much tasks conflict, and how much of them an adapter has to teach.

`python -m benchmarks.dials conflict` and `... level` measure settings of the mini tasks on the shipped base, beside the
usual one that benchmarks.methods measures; levels 2 and 5 lie wholly within and wholly beyond what it practised.
`python -m benchmarks.dials base NAME` measures a base that `benchmarks.bases` made, single scores and four-task merges,
at rates that `benchmarks.learning_rates --base build/bases/NAME --name NAME` searched, and the tasks in
sequence, as benchmarks.sequences does.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.adapters import TASKS, at_rates, searched_rates, spread
from benchmarks.methods import WEIGHTS, together
from benchmarks.record import record
from benchmarks.sequences import SEQUENCE, sequences
from lori_core.config import Method
from lori_core.results import StudyResult
from lori_core.study.specs import StudyConfig
from lori_core.study.study import run_study
from lori_core.training.recipes import TrainingByMethod, training_for

SEEDS = (0, 1)  # a process each
DIALS = {"conflict": ("form", "answer"), "level": ("2", "5")}  # settings of the mini tasks beside the usual one
TEST, VALIDATION = 300, 100
FOLDER = Path("build/dials")


@dataclass(frozen=True)
class Setting:
    """One position of a dial."""

    name: str
    base: str
    option: str  # of the mini tasks, as "conflict=form"
    rates: dict[Method, float]
    sequence: tuple[str, ...] | None = None  # None: single adapters and merges alone

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(f"{task}?{self.option}" for task in TASKS)

    def training(self) -> TrainingByMethod:
        return at_rates(training_for("embedded"), self.rates)


def one_seed(job: tuple[Setting, int]) -> StudyResult:
    setting, seed = job
    config = StudyConfig(
        base=setting.base,
        tasks=setting.tasks,
        seeds=(seed,),
        train=setting.training(),
        merge_weights=WEIGHTS,
        shared_control=False,
        validation_examples=VALIDATION,
        test_examples=TEST,
        continual=setting.sequence,
        later_rate=1.0,
        device="cpu",
    )
    return run_study(config, FOLDER / setting.name / str(seed))


def measure(setting: Setting) -> dict[str, Any]:
    rates = {method: each.learning_rate for method, each in setting.training().items()}
    studies = spread(one_seed, [(setting, seed) for seed in SEEDS])
    learned = {"sequences": sequences([list(study.continual) for study in studies])} if setting.sequence else {}
    return together(studies) | learned | {"rates": rates}


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.dials", description=__doc__)
    arguments.add_argument("dial", choices=(*DIALS, "base"))
    arguments.add_argument("name", nargs="?", help="of the base")
    given = arguments.parse_args()
    config = {"seeds": SEEDS, "test": TEST, "validation": VALIDATION, "weights": WEIGHTS}
    if given.dial in DIALS:
        results = {}
        for place in DIALS[given.dial]:
            results[place] = measure(Setting(f"{given.dial}_{place}", "embedded", f"{given.dial}={place}", {}))
            print("written", record(given.dial, config, results))
    else:
        folder = f"build/bases/{given.name}"
        setting = Setting(given.name, folder, "conflict=none", searched_rates(given.name), SEQUENCE)
        print("written", record(f"base_{given.name}", config | {"base": folder}, measure(setting)))


if __name__ == "__main__":
    main()
