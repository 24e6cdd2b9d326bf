"""Learning rates searched on the validation splits: the same number of rates, steps and examples for all methods.

One rule for every method: of the rates whose mean score is within one standard error of the best, the one with the
smallest update, ‖dW‖ / ‖W‖. LoRI-S is searched under the masks of LoRI-D at its own rate by that rule.
`python -m benchmarks.learning_rates [--base FOLDER --name NAME]` writes results/learning_rates[_NAME].json.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import fmean
from typing import Any

from benchmarks.adapters import TASKS, adapter_config, at_rates, base, score, spread, which_base
from benchmarks.record import record
from lori_core.bases.load import target_modules
from lori_core.config import Method
from lori_core.method.adapter import blank
from lori_core.tasks.mini import mini_task
from lori_core.training.calibrate import calibrate
from lori_core.training.learn import config_of, learn
from lori_core.training.recipes import seeded, training_for

RATES: dict[Method, tuple[float, ...]] = {
    "lora": (1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3, 3.2e-3),
    "lori_d": (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3, 8e-3),
    "lori_s": (1.25e-3, 2.5e-3, 5e-3, 1e-2, 2e-2, 4e-2),
}
SEED = 100  # not one of those that the other benchmarks report
VALIDATION = 150

Job = tuple[Method, str, float | None]  # method, task, LoRI-D's rate for the mask


@dataclass(frozen=True)
class Tried:
    """One task learned at one rate."""

    score: float  # on validation
    update_ratio: float  # ‖dW‖ / ‖W‖


def validate(folder: str, job: Job) -> dict[str, Tried]:
    """rate -> what came of one task learned by one method."""
    method, name, dense_rate = job
    task, config = mini_task(name), adapter_config(SEED)
    training = seeded(training_for("embedded"), SEED)
    masks = None
    if dense_rate:
        start = blank(name, target_modules(base(folder).model), config_of("lori_d", config))
        masks = calibrate(base(folder), task, start, config, training["lori_d"].changed(learning_rate=dense_rate)).masks
    found = {}
    for rate in RATES[method]:
        at_rate = at_rates(training, {method: rate})
        learned = learn(base(folder), task, method, config, at_rate, masks=masks)
        reached = score(task, learned.adapter, "validation", VALIDATION, folder)["value"]
        found[str(rate)] = Tried(reached, learned.update_ratio)
    return found


def smallest_update_of_the_best(tried: Mapping[float, Sequence[Tried]]) -> float:
    """The rate with the smallest update among those whose mean score is within one standard error of the best.

    Args:
        tried: rate -> one entry a task.
    """
    means = {rate: fmean(each.score for each in tasks) for rate, tasks in tried.items()}
    best = max(means.values())
    examples = VALIDATION * len(next(iter(tried.values())))
    error = (best * (1 - best) / examples) ** 0.5
    as_good = [rate for rate, mean in means.items() if mean >= best - error]
    return min(as_good, key=lambda rate: fmean(each.update_ratio for each in tried[rate]))


def main() -> None:
    given = which_base(__doc__)
    results: dict[str, Any] = {}
    best: dict[Method, float] = {}
    for method, rates in RATES.items():
        jobs: list[Job] = [(method, name, best["lori_d"] if method == "lori_s" else None) for name in TASKS]
        found = spread(partial(validate, given.base), jobs, given.processes)
        by_rate = {rate: [by_task[str(rate)] for by_task in found] for rate in rates}
        best[method] = smallest_update_of_the_best(by_rate)
        results[method] = {
            name: {rate: asdict(tried) for rate, tried in by_task.items()}
            for name, by_task in zip(TASKS, found, strict=True)
        }
        for rate, tasks in by_rate.items():
            reached, moved = fmean(each.score for each in tasks), fmean(each.update_ratio for each in tasks)
            print(f"{method} {rate:g}: score {reached:.3f}, update {moved:.3f}", flush=True)
        print(method, "best", best[method], "on the grid's edge" if best[method] in (rates[0], rates[-1]) else "")
    config = {
        "rates": RATES,
        "seed": SEED,
        "validation": VALIDATION,
        "rank": adapter_config(SEED).rank,
        "base": given.base,
    }
    record(f"learning_rates{given.suffix}", config, {"validation": results, "best": best})


if __name__ == "__main__":
    main()
