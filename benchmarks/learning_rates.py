"""Search each method's learning rate on the validation splits: the same number of rates, steps and examples for all.

LoRI-S is searched under the masks of LoRI-D at its own best rate. `python -m benchmarks.learning_rates`
"""

from statistics import fmean

from benchmarks.adapters import adapter_config, base, score, spread
from benchmarks.record import record
from lori_core.config import Method
from lori_core.pipeline import learn
from lori_core.recipes import training_for
from lori_core.tasks.mini import MINI_TASKS, mini_task

RATES: dict[Method, tuple[float, ...]] = {
    "lora": (5e-4, 1e-3, 2e-3, 4e-3, 8e-3),
    "lori_d": (2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2),
    "lori_s": (5e-3, 1e-2, 2e-2, 4e-2, 8e-2),
}
SEED = 100  # not one of those that the other benchmarks report
VALIDATION = 200

Job = tuple[Method, float, str, float | None]  # method, its rate, task, LoRI-D's rate for the mask


def validate(job: Job) -> float:
    """Validation score of one task learned at one rate."""
    method, rate, name, dense_rate = job
    task = mini_task(name)
    training = training_for("embedded")
    training |= {method: training[method].changed(learning_rate=rate, seed=SEED)}
    if dense_rate:
        training |= {"lori_d": training["lori_d"].changed(learning_rate=dense_rate, seed=SEED)}
    learned = learn(base(), task, method, adapter_config(SEED), training)
    return score(task, learned.adapter, "validation", VALIDATION)["value"]


def main() -> None:
    results: dict[str, dict[str, dict[str, float]]] = {}
    best: dict[Method, float] = {}
    for method, rates in RATES.items():
        jobs: list[Job] = [(method, rate, name, best.get("lori_d")) for rate in rates for name in MINI_TASKS]
        values = dict(zip(jobs, spread(validate, jobs), strict=True))
        results[method] = {
            str(rate): {name: values[method, rate, name, best.get("lori_d")] for name in MINI_TASKS} for rate in rates
        }
        best[method] = max(rates, key=lambda rate: fmean(results[method][str(rate)].values()))
        print(method, "best", best[method], {r: round(fmean(v.values()), 3) for r, v in results[method].items()})
    config = {"rates": RATES, "seed": SEED, "validation": VALIDATION, "rank": adapter_config(SEED).rank}
    record("learning_rates", config, {"validation": results, "best": best})


if __name__ == "__main__":
    main()
