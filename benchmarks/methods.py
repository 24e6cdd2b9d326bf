"""The four mini tasks by every method: alone, merged (two, three, four of them), in sequence; three seeds, n = 500.

`python -m benchmarks.methods` writes results/methods.json. Each seed is one study as `lori study` runs it, kept in
build/methods/, so that a run that was stopped goes on. Beside it: LoRI-S with a random mask, merges of two and three
tasks, and the sequence with overlap excluded.
"""

from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.adapters import TASKS, adapter_config, base, score, spread, under_random_mask
from benchmarks.record import record
from lori_core.adapter import Adapter
from lori_core.adapter_files import load_adapter
from lori_core.config import Method, StudyConfig
from lori_core.continual import learn_sequence
from lori_core.evaluate import evaluate
from lori_core.merge import merge
from lori_core.recipes import Training, seeded, training_for
from lori_core.results import ContinualResult, MergedResult, Score, SingleResult, StudyResult
from lori_core.study import run_study
from lori_core.tasks.mini import mini_task

SEEDS = (0, 1, 2)
SEQUENCE = ("safety", "math", "code", "nlu")
WEIGHTS = (0.15, 0.3, 0.5, 0.8, 1.0)
TEST, VALIDATION = 500, 100
T95 = {2: 12.706, 3: 4.303}  # Student's t, 97.5 %, by number of seeds
FOLDER = Path("build/methods")


def config_of(seed: int) -> StudyConfig:
    return StudyConfig(
        seeds=(seed,),
        adapter=adapter_config(0),
        merge_weights=WEIGHTS,
        validation_examples=VALIDATION,
        test_examples=TEST,
        continual=SEQUENCE,
        device="cpu",
    )


def training(seed: int) -> Training:
    return seeded(training_for("embedded"), seed)


def one_seed(seed: int) -> tuple[StudyResult, dict[str, float], dict[str, Any], ContinualResult]:
    """The study, the scores under random masks, the merges of fewer tasks, the sequence with overlap excluded."""
    folder = FOLDER / str(seed)
    result = run_study(config_of(seed), folder)
    random = {name: under_random_mask("embedded", mini_task(name), training(seed), seed, TEST) for name in TASKS}
    parts: dict[Method, list[Adapter]] = {}
    for method in ("lora", "lori_d", "lori_s"):
        parts[method] = [load_adapter(folder / "adapters" / f"single-{method}-{i}-{seed}") for i in range(len(TASKS))]
    fewer = {
        "+".join(names): {method: merged_few(names, adapters) for method, adapters in parts.items()}
        for count in (2, 3)
        for names in combinations(TASKS, count)
    }
    return result, random, fewer, without_overlap(seed, parts["lori_s"][TASKS.index(SEQUENCE[0])])


def merged_few(names: tuple[str, ...], adapters: list[Adapter]) -> dict[str, Any]:
    """The best weight on validation, and what it gives on test, by task."""
    chosen = [adapters[TASKS.index(name)] for name in names]

    def scores(weight: float, split: str, limit: int) -> dict[str, float]:
        merged = merge(chosen, "concat", [weight] * len(chosen), "merged")
        return {name: score(mini_task(name), merged, split, limit)["value"] for name in names}

    validation = {weight: fmean(scores(weight, "validation", VALIDATION).values()) for weight in (0.5, 1.0)}
    weight = max(validation, key=validation.__getitem__)
    return {"weight": weight, "scores": scores(weight, "test", TEST)}


def without_overlap(seed: int, first: Adapter) -> ContinualResult:
    """LoRI-S in sequence, no mask taking an entry that an earlier one holds."""
    tasks = [mini_task(name) for name in SEQUENCE]
    found = learn_sequence(
        base(),
        tasks,
        "lori_s",
        adapter_config(seed),
        training(seed),
        lambda task: evaluate(base().model, base().tokenizer, task, "test", TEST).score,
        overlap="exclude",
        first=first,
    )
    return found.result


def over_seeds(values: list[float]) -> dict[str, Any]:
    """Mean with the 95 % interval over seeds (Student's t), and each seed's value."""
    half = T95[len(values)] * stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    return {"mean": fmean(values), "plus_minus": half, "seeds": values}


def label(result: SingleResult | MergedResult) -> str:
    return result.method + ("_shared" if result.shared_projection else "")


def singles(studies: list[StudyResult]) -> dict[str, Any]:
    """variant -> task -> score over seeds; "mean" is the mean of the tasks."""
    found: dict[str, Any] = {}
    variants = dict.fromkeys(label(single) for study in studies for single in (*study.singles, *study.controls))
    for variant in variants:
        rows = [
            [single for single in (*study.singles, *study.controls) if label(single) == variant] for study in studies
        ]
        by_task = {task: [r.score for row in rows for r in row if r.task == task] for task in studies[0].tasks}
        found[variant] = {task: over_seeds([score.value for score in scores]) for task, scores in by_task.items()}
        found[variant]["mean"] = over_seeds([fmean(single.score.value for single in row) for row in rows])
        found[variant]["update_ratio"] = fmean(single.update_ratio or 0 for row in rows for single in row)
        found[variant]["seconds"] = fmean(single.seconds for row in rows for single in row)
        found[variant]["trained_parameters"] = rows[0][0].trained_parameters
        found[variant]["file_bytes"] = fmean(single.file_bytes or 0 for row in rows for single in row)
    for variant in variants:
        against = zip(found[variant]["mean"]["seeds"], found["lora"]["mean"]["seeds"], strict=True)
        found[variant]["of_lora"] = over_seeds([value / lora for value, lora in against])
    return found


def merges(studies: list[StudyResult], single: dict[str, Any]) -> dict[str, Any]:
    """variant -> merged scores over seeds, and the share of the single adapters' mean that they keep."""
    found: dict[str, Any] = {}
    for variant in dict.fromkeys(label(merged) for study in studies for merged in study.merges):
        rows = [next(merged for merged in study.merges if label(merged) == variant) for study in studies]
        means = [fmean(score.value for score in row.scores.values()) for row in rows]
        found[variant] = {task: over_seeds([row.scores[task].value for row in rows]) for task in rows[0].scores}
        found[variant]["mean"] = over_seeds(means)
        alone = single[variant]["mean"]["seeds"]
        found[variant]["of_single"] = over_seeds([m / s for m, s in zip(means, alone, strict=True)])
        found[variant]["weights"] = [row.weight for row in rows]
        found[variant]["validation"] = [row.validation for row in rows]
    return found


def fewer_tasks(rows: list[dict[str, Any]], single: dict[str, Any]) -> dict[str, Any]:
    """tasks -> method -> mean over seeds of the merged scores, their share of the single ones, the worst task."""
    found: dict[str, Any] = {}
    for tasks in rows[0]:
        found[tasks] = {}
        for method in rows[0][tasks]:
            scores = [row[tasks][method]["scores"] for row in rows]
            alone = fmean(single[method][task]["mean"] for task in tasks.split("+"))
            means = [fmean(score.values()) for score in scores]
            found[tasks][method] = over_seeds(means) | {
                "of_single": fmean(means) / alone,
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


def without_outcomes(score: Score) -> dict[str, Any]:
    return {key: value for key, value in asdict(score).items() if key != "outcomes"}


def main() -> None:
    rows = spread(one_seed, SEEDS)
    studies = [row[0] for row in rows]
    single = singles(studies)
    results = {
        "untaught": {task: without_outcomes(score) for task, score in studies[0].base_scores.items()},
        "single": single,
        "random_mask": {task: over_seeds([row[1][task] for row in rows]) for task in TASKS},
        "merged": merges(studies, single),
        "merged_fewer": fewer_tasks([row[2] for row in rows], single),
        "sequence": {"order": SEQUENCE} | sequences([[*row[0].continual, row[3]] for row in rows]),
        "interference": [
            {"variant": variant, "seed": seed} | {k: v for k, v in asdict(matrix).items() if k != "by_module"}
            for seed, study in zip(SEEDS, studies, strict=True)
            for variant, matrix in study.interference
        ],
        "seconds": [study.seconds for study in studies],
    }
    print("written", record("methods", config_of(0).model_dump(mode="json") | {"seeds": SEEDS}, results))


if __name__ == "__main__":
    main()
