"""Control of merging: a task's adapter merged with random ones, beside the same merge with the other tasks' adapters.

`python -m benchmarks.random_adapters` takes the ready-made adapters of all four tasks, concat at the weight that is
best on validation, and writes results/random_adapters.json. Random others have the A, the mask and in every module the
norm of the adapters that they stand for (merge_methods.random_values); DRAWS of them give the interval. What the merge
loses beside them is the content of the others; what they lose beside the single adapter is weight and noise.
"""

from statistics import fmean
from typing import Any

from benchmarks.adapters import TASKS, spread
from benchmarks.merge_methods import at_best_weight, each_alone, random_values
from benchmarks.methods import over_seeds
from benchmarks.record import record
from lori_core.embedded.ready_made import Variant, ready_made
from lori_core.method.merge import merge

VARIANTS: tuple[Variant, ...] = ("lora", "lori_d", "lori_s")
DRAWS = 3
TEST = 200  # of each task


def one(variant: Variant) -> dict[str, Any]:
    parts = [ready_made(task, variant) for task in TASKS]
    merged = at_best_weight(parts, TASKS, "concat", TEST)
    weights = [merged["weight"]] * len(parts)
    among = []
    for draw in range(DRAWS):
        drawn = [random_values(part, len(parts) * draw + place) for place, part in enumerate(parts)]
        sets = [[*drawn[:place], part, *drawn[place + 1 :]] for place, part in enumerate(parts)]
        merges = [merge(each, "concat", weights, "merged") for each in sets]
        among.append(each_alone(merges, TASKS, TEST))
    alone = each_alone(parts, TASKS, TEST)
    return {
        "weight": merged["weight"],
        "alone": alone,
        "merged": merged["scores"],
        "with_random_others": {task: over_seeds([scores[task] for scores in among]) for task in TASKS},
        "content_of_the_others": over_seeds([fmean(s[t] - merged["scores"][t] for t in TASKS) for s in among]),
        "weight_and_noise": over_seeds([fmean(alone[t] - s[t] for t in TASKS) for s in among]),
    }


def main() -> None:
    found = dict(zip(VARIANTS, spread(one, VARIANTS), strict=True))
    print("written", record("random_adapters", {"draws": DRAWS, "test": TEST, "tasks": TASKS}, found))


if __name__ == "__main__":
    main()
