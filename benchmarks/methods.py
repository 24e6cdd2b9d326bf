"""The four mini tasks by every method, alone and merged, with three seeds. `python -m benchmarks.methods`

Each seed is one study as `lori study` runs it; what they say together is written to results/methods.json.
"""

from dataclasses import asdict
from pathlib import Path
from statistics import fmean, stdev
from tempfile import mkdtemp
from typing import Any

from benchmarks.adapters import adapter_config, spread
from benchmarks.record import record
from lori_core.config import StudyConfig
from lori_core.results import MergedResult, Score, SingleResult, StudyResult, to_json
from lori_core.study import run_study

SEEDS = (0, 1, 2)
T95 = 4.303  # Student's t, two degrees of freedom, 97.5 %


def config_of(seed: int) -> StudyConfig:
    return StudyConfig(
        seeds=(seed,),
        adapter=adapter_config(0),
        merge_weights=(0.3, 0.5, 0.8, 1.0),
        validation_examples=100,
        test_examples=300,
        continual=None,
        device="cpu",
    )


def one_seed(job: tuple[int, str]) -> StudyResult:
    seed, folder = job
    result = run_study(config_of(seed), Path(folder) / str(seed))
    (Path(folder) / f"{seed}.json").write_text(to_json(result), encoding="utf-8")
    return result


def over_seeds(values: list[float]) -> dict[str, Any]:
    """Mean with the 95 % interval over seeds (Student's t), and each seed's value."""
    half = T95 * stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
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
    for variant in dict.fromkeys(label(merge) for study in studies for merge in study.merges):
        rows = [next(merge for merge in study.merges if label(merge) == variant) for study in studies]
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


def main() -> None:
    folder = mkdtemp(prefix="lori-methods-")
    studies = spread(one_seed, [(seed, folder) for seed in SEEDS], processes=len(SEEDS))
    single = singles(studies)
    results = {
        "untaught": {task: without_outcomes(score) for task, score in studies[0].base_scores.items()},
        "single": single,
        "merged": merges(studies, single),
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
