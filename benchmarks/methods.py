"""Methods on the four mini tasks, alone and merged, three seeds, n = 500; LoRI-S with a random mask beside.

`python -m benchmarks.methods` writes results/methods.json. Each seed is one study as `lori study` runs it, kept in
build/methods/, so that a run that was stopped goes on, and benchmarks.sequences finds the adapters.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.adapters import TASKS, adapter_config, at_rates, spread, under_random_mask
from benchmarks.record import record
from lori_core.config import Method
from lori_core.results import MergedResult, Score, SingleResult, StudyResult
from lori_core.study.specs import StudyConfig
from lori_core.study.study import run_study
from lori_core.tasks.mini import mini_task
from lori_core.training.recipes import TrainingByMethod, seeded, training_for

SEEDS = (0, 1, 2)
WEIGHTS = (0.2, 0.3, 0.4, 0.5, 0.8)
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
        continual=None,
        device="cpu",
    )


def training(seed: int, rates: Mapping[Method, float] | None = None) -> TrainingByMethod:
    """rates: in place of the recipes' own."""
    return seeded(at_rates(training_for("embedded"), rates or {}), seed)


def one_seed(seed: int) -> tuple[StudyResult, dict[str, float]]:
    """The study, and the scores under random masks."""
    random = {name: under_random_mask("embedded", mini_task(name), training(seed), seed, TEST) for name in TASKS}
    return run_study(config_of(seed), FOLDER / str(seed)), random


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


def without_outcomes(score: Score) -> dict[str, Any]:
    return {key: value for key, value in asdict(score).items() if key != "outcomes"}


def together(studies: list[StudyResult]) -> dict[str, Any]:
    """What the seeds' studies say together."""
    single = singles(studies)
    return {
        "untaught": {task: without_outcomes(score) for task, score in studies[0].base_scores.items()},
        "single": single,
        "merged": merges(studies, single),
    }


def main() -> None:
    rows = spread(one_seed, SEEDS, processes=len(SEEDS))
    studies = [study for study, _ in rows]
    results = together(studies) | {
        "random_mask": {task: over_seeds([random[task] for _, random in rows]) for task in TASKS},
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
