"""Learning rates searched on the validation splits: the same number of rates, steps and examples for all methods.

LoRI-S is searched under the masks of LoRI-D at its own best rate. `python -m benchmarks.learning_rates [--base FOLDER
--name NAME]` writes results/learning_rates[_NAME].json.
"""

from functools import partial
from statistics import fmean

from benchmarks.adapters import TASKS, adapter_config, base, score, spread, which_base
from benchmarks.record import record
from lori_core.bases.load import target_modules
from lori_core.config import Method
from lori_core.method.adapter import blank
from lori_core.tasks.mini import mini_task
from lori_core.training.calibrate import calibrate
from lori_core.training.learn import config_of, learn
from lori_core.training.recipes import seeded, training_for

RATES: dict[Method, tuple[float, ...]] = {
    "lora": (2e-4, 4e-4, 8e-4, 1.6e-3),
    "lori_d": (5e-4, 1e-3, 2e-3, 4e-3),
    "lori_s": (2.5e-3, 5e-3, 1e-2, 2e-2),
}
SEED = 100  # not one of those that the other benchmarks report
VALIDATION = 150

Job = tuple[Method, str, float | None]  # method, task, LoRI-D's rate for the mask


def validate(folder: str, job: Job) -> dict[str, float]:
    """rate -> validation score of one task learned by one method."""
    method, name, dense_rate = job
    task, config = mini_task(name), adapter_config(SEED)
    training = seeded(training_for("embedded"), SEED)
    masks = None
    if dense_rate:
        start = blank(name, target_modules(base(folder).model), config_of("lori_d", config))
        masks = calibrate(base(folder), task, start, config, training["lori_d"].changed(learning_rate=dense_rate)).masks
    found = {}
    for rate in RATES[method]:
        at_rate = training.copy()
        at_rate[method] = training[method].changed(learning_rate=rate)
        learned = learn(base(folder), task, method, config, at_rate, masks=masks)
        found[str(rate)] = score(task, learned.adapter, "validation", VALIDATION, folder)["value"]
    return found


def smallest_of_the_best(means: dict[float, float]) -> float:
    """The smallest rate whose mean score is within one standard error of the best: smaller updates merge better."""
    best = max(means.values())
    error = (best * (1 - best) / (VALIDATION * len(TASKS))) ** 0.5
    return min(rate for rate, mean in means.items() if mean >= best - error)


def main() -> None:
    given = which_base(__doc__)
    results: dict[str, dict[str, dict[str, float]]] = {}
    best: dict[Method, float] = {}
    for method, rates in RATES.items():
        jobs: list[Job] = [(method, name, best["lori_d"] if method == "lori_s" else None) for name in TASKS]
        results[method] = dict(zip(TASKS, spread(partial(validate, given.base), jobs), strict=True))
        means = {rate: fmean(by_rate[str(rate)] for by_rate in results[method].values()) for rate in rates}
        best[method] = smallest_of_the_best(means)
        print(method, "best", best[method], {rate: round(mean, 3) for rate, mean in means.items()}, flush=True)
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
