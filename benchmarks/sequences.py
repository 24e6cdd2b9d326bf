"""Sequences of tasks (LoRA, LoRI-D, LoRI-S with overlap allowed and excluded), and merges of two and three tasks.

`python -m benchmarks.sequences`, after benchmarks.methods, whose adapters it takes; writes results/sequences.json.
"""

from itertools import combinations
from statistics import fmean
from typing import Any

from benchmarks.adapters import TASKS, adapter_config, base, score, spread
from benchmarks.methods import FOLDER, SEEDS, TEST, VALIDATION, over_seeds, training
from benchmarks.record import record
from lori_core.config import Method, Overlap
from lori_core.evaluation.evaluate import evaluate
from lori_core.evaluation.merge_trial import best_weight
from lori_core.method.adapter import Adapter
from lori_core.method.merge import merge
from lori_core.results import ContinualResult
from lori_core.storage.adapter_files import load_adapter
from lori_core.tasks.mini import mini_task
from lori_core.training.continual import learn_sequence
from lori_core.training.recipes import TrainingByMethod

SEQUENCE = ("safety", "math", "code", "nlu")
METHODS: tuple[Method, ...] = ("lora", "lori_d", "lori_s")
WAYS: tuple[tuple[Method, Overlap], ...] = (
    ("lora", "allow"),
    ("lori_d", "allow"),
    ("lori_s", "allow"),
    ("lori_s", "exclude"),
)


def one_seed(seed: int) -> tuple[list[ContinualResult], dict[str, Any]]:
    """The sequences, and the merges of fewer tasks than four."""
    found: dict[Method, list[Adapter]] = {}
    for method in METHODS:
        folders = [FOLDER / str(seed) / "adapters" / f"single-{method}-{i}-{seed}" for i in range(len(TASKS))]
        found[method] = [load_adapter(folder) for folder in folders]
    ways = [
        in_sequence(training(seed), seed, method, overlap, found[method][TASKS.index(SEQUENCE[0])])
        for method, overlap in WAYS
    ]
    fewer = {
        "+".join(names): {method: merged_few(names, found[method]) for method in METHODS}
        for count in (2, 3)
        for names in combinations(TASKS, count)
    }
    return ways, fewer


def in_sequence(
    training: TrainingByMethod,
    seed: int,
    method: Method,
    overlap: Overlap,
    first: Adapter,
    later_rate: float = 1.0,
    test: int = TEST,
) -> ContinualResult:
    found = learn_sequence(
        base(),
        [mini_task(name) for name in SEQUENCE],
        method,
        adapter_config(seed),
        training,
        lambda task: evaluate(base().model, base().tokenizer, task, "test", test).score,
        overlap=overlap,
        later_rate=later_rate,
        first=first,
    )
    return found.result


def merged_few(names: tuple[str, ...], adapters: list[Adapter]) -> dict[str, Any]:
    """The best weight on validation, and what it gives on test, by task."""
    chosen = [adapters[TASKS.index(name)] for name in names]

    def scores(weight: float, split: str, limit: int) -> dict[str, float]:
        merged = merge(chosen, "concat", [weight] * len(chosen), "merged")
        return {name: score(mini_task(name), merged, split, limit)["value"] for name in names}

    weight, _ = best_weight((0.5, 1.0), lambda each: fmean(scores(each, "validation", VALIDATION).values()))
    return {"weight": weight, "scores": scores(weight, "test", TEST)}


def fewer_tasks(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """tasks -> method -> mean over seeds of the merged scores, and the worst task."""
    found: dict[str, Any] = {}
    for tasks in rows[0]:
        found[tasks] = {}
        for method in rows[0][tasks]:
            scores = [row[tasks][method]["scores"] for row in rows]
            means = [fmean(score.values()) for score in scores]
            found[tasks][method] = over_seeds(means) | {
                "worst_task": min(fmean(score[task] for score in scores) for task in tasks.split("+")),
                "weights": [row[tasks][method]["weight"] for row in rows],
            }
    return found


def sequences(results: list[list[ContinualResult]]) -> dict[str, Any]:
    """method and overlap -> both axes: what is left of the earlier tasks, and what was learned of the new ones."""
    found: dict[str, Any] = {}
    for of_seeds in zip(*results, strict=True):
        first = of_seeds[0]
        label = first.method + (f"_{first.overlap}" if first.method == "lori_s" else "")
        last = len(first.order) - 1
        found[label] = {
            "old_kept": over_seeds([fmean(r.matrix[last][i] for i in range(last)) for r in of_seeds]),
            "new_learned": over_seeds([fmean(r.matrix[i][i] for i in range(1, last + 1)) for r in of_seeds]),
            "first_task": [over_seeds([result.matrix[stage][0] for result in of_seeds]) for stage in range(last + 1)],
            "forgetting": {task: over_seeds([r.forgetting[task] for r in of_seeds]) for task in first.forgetting},
            "matrix": [
                [fmean(result.matrix[i][j] for result in of_seeds) for j in range(last + 1)] for i in range(last + 1)
            ],
            "mask_overlap": [fmean(column) for column in zip(*(r.mask_overlap for r in of_seeds), strict=True)],
        }
    return found


def main() -> None:
    rows = spread(one_seed, SEEDS, processes=len(SEEDS))
    results = {"order": SEQUENCE, "sequences": sequences([row[0] for row in rows])}
    results["merged_fewer"] = fewer_tasks([row[1] for row in rows])
    print("written", record("sequences", {"seeds": SEEDS, "test": TEST, "validation": VALIDATION}, results))


if __name__ == "__main__":
    main()
