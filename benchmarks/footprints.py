"""Footprints: merging at weight 1 under a conditioned A, removal from adapters that exist, sequences, costs, controls.

`python -m benchmarks.footprints [PART ...]` measures the parts named, or all, and keeps them in
results/footprints.json; adapters and rows lie in build/footprints, so that one that was stopped goes on. What random A
give beside, at their best searched weight and with the same seeds, is in results/methods.json.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from benchmarks.adapters import TASKS, base, spread
from benchmarks.footprint_costs import cost, llama_3_8b
from benchmarks.footprint_rivals import osrm, regmean_pp
from benchmarks.footprint_sequences import METHODS, sequence, twenty
from benchmarks.footprint_sets import (
    ROWS,
    SETS,
    VALIDATION,
    WEIGHTS,
    AdapterSet,
    concat,
    footprint_of,
    kept,
    learned_set,
    measured_set,
    pairs_of,
    scores,
    scores_alone,
)
from benchmarks.footprint_sets import TEST as SHORT
from benchmarks.methods import SEEDS, TEST, over_seeds
from benchmarks.record import RESULTS, once, record_part, results_of
from lori_core.bases.attach import update_ratio
from lori_core.config import Method
from lori_core.embedded.ready_made import Variant, ready_made
from lori_core.files import folder_size
from lori_core.method.merge import merge
from lori_core.storage.adapter_files import load_adapter

# --- a conditioned A, merged at weight 1


def one_design(job: tuple[Method, int]) -> dict[str, Any]:
    """Singles and the merge at weight 1, n = 500."""
    return once(ROWS / f"designed-{job[0]}-{job[1]}.json", partial(_designed, *job))


def _designed(method: Method, seed: int) -> dict[str, Any]:
    adapters = learned_set(AdapterSet(method, seed))
    single = scores_alone(adapters, TASKS, TEST)
    merged = scores(concat(adapters, 1.0), TASKS, limit=TEST)
    return {
        "single": single,
        "merged": merged,
        "kept": kept(merged, single),
        "update_ratio": fmean(update_ratio(base().model, adapter) for adapter in adapters),
    } | pairs_of(adapters, TASKS)


def designed(processes: int) -> dict[str, Any]:
    jobs: list[tuple[Method, int]] = [(method, seed) for seed in SEEDS for method in METHODS]
    rows = dict(zip(jobs, spread(one_design, jobs, processes), strict=True))
    lora = results_of(RESULTS / "methods.json")["single"]["lora"]["mean"]["seeds"]
    found = {}
    for method in METHODS:
        runs = [rows[method, seed] for seed in SEEDS]
        means = [fmean(run["single"].values()) for run in runs]
        kept_folders = [AdapterSet(method, seed).folder / name for name in TASKS for seed in SEEDS]
        found[method] = {
            "single": {name: over_seeds([run["single"][name] for run in runs]) for name in TASKS}
            | {"mean": over_seeds(means)},
            "of_lora": over_seeds([mean / of for mean, of in zip(means, lora, strict=True)]),
            "trained_parameters": load_adapter(kept_folders[0]).trained_parameters,
            "file_bytes": fmean(map(folder_size, kept_folders)),
            "merged": {name: over_seeds([run["merged"][name] for run in runs]) for name in TASKS}
            | {"mean": over_seeds([fmean(run["merged"].values()) for run in runs])},
            "kept_mean": over_seeds([run["kept"]["mean"] for run in runs]),
            "kept_worst": over_seeds([run["kept"]["worst"] for run in runs]),
            "runs": runs,
        }
    return found


# --- removal from adapters that exist


def one_removal(variant: Variant) -> dict[str, Any]:
    adapters = [ready_made(name, variant) for name in TASKS]
    single = scores_alone(adapters, TASKS, TEST)
    ways = {"removal": {"footprints": [footprint_of(name) for name in TASKS]}, "concat": {}}
    found: dict[str, Any] = {"single": single}
    for how, options in ways.items():
        merged = scores(merge(adapters, how, [1.0] * len(adapters), "merged", **options), TASKS, limit=TEST)
        found[how] = {"merged": merged, "kept": kept(merged, single)}
    return found | pairs_of(adapters, TASKS)


def removal(processes: int) -> dict[str, Any]:
    """Of the ready-made adapters, at weight 1, one λ for all."""
    variants: tuple[Variant, ...] = ("lora", "lori_d", "lori_s")
    return dict(zip(variants, spread(one_removal, variants, processes), strict=True))


# --- forecasts beside what was measured


def forecasts(processes: int) -> dict[str, Any]:
    """Over every set of the parts that are measured: rank correlations of the forecasts with the cross-talk, pair by
    pair, and with the share of the single score that a task keeps in the concat at weight 1."""
    results = results_of(RESULTS / "footprints.json")
    random = [row | {"kept": row["concat"]["kept"]} for row in results["removal"].values()]
    designed = [run for method in METHODS for run in results["designed"][method]["runs"]]
    sets = [row for part in SETS for row in results.get(part, {}).values()]
    random += [row for row in sets if row["set"]["projection"] != "conditioned"]
    conditioned = [*designed, *(row for row in sets if row["set"]["projection"] == "conditioned")]
    groups = {"all": [*random, *conditioned], "random_A": random, "conditioned_A": conditioned}
    return {label: agreement(rows) for label, rows in groups.items()}


def agreement(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    before, after, measured = (
        torch.tensor([value for row in rows for value in row[of]])
        for of in ("forecast_before", "forecast_after", "cross_talk")
    )
    shares = torch.tensor([share for row in rows for share in row["kept"]["of"].values()])
    reaching = {
        of: torch.tensor([v for row in rows for v in incoming(row, of)]) for of in ("forecast_before", "forecast_after")
    }
    return {
        "sets": len(rows),
        "pairs": len(measured),
        "spearman_before_training": rank_correlation(before, measured),
        "spearman_after_training": rank_correlation(after, measured),
        "measured": (measured.min().item(), measured.max().item()),
        "tasks": len(shares),
        "spearman_with_kept": {of: rank_correlation(values, shares) for of, values in reaching.items()},
    }


def incoming(row: dict[str, Any], of: str) -> list[float]:
    """For each task that can keep anything, the root of the energy that all others' adapters add on its inputs, as a
    multiple of its own."""
    tasks, off = list(row["single"]), iter(row[of])
    by_source = [[0.0 if s == t else next(off) for t in tasks] for s in tasks]
    reaching = {t: sum(line[i] ** 2 for line in by_source) ** 0.5 for i, t in enumerate(tasks)}
    return [reaching[task] for task in row["kept"]["of"]]


def rank_correlation(left: Tensor, right: Tensor) -> float:
    """Spearman's; equal values share their mean rank."""
    ranks = []
    for each in (left, right):
        _, place, counts = each.unique(return_inverse=True, return_counts=True)
        ranks.append((counts.cumsum(0) - (counts - 1) / 2).double()[place])
    return torch.corrcoef(torch.stack(ranks))[0, 1].item()


# --- the sets of footprint_sets.py


def sets(part: str, processes: int) -> dict[str, Any]:
    """label -> its row."""
    return dict(zip([each.label for each in SETS[part]], spread(measured_set, SETS[part], processes), strict=True))


PARTS: dict[str, Callable[[int], Any]] = {
    "designed": designed,
    "removal": removal,
    "sequence": sequence,
    "twenty": twenty,
    "osrm": osrm,
    "regmean_pp": regmean_pp,
    "cost": cost,
    "llama_3_8b": llama_3_8b,
    **{part: partial(sets, part) for part in SETS},
    "forecasts": forecasts,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="; ".join(PARTS))
    parser.add_argument("--processes", type=int, default=2, help="of one thread each")
    given = parser.parse_args()
    config = {"seeds": SEEDS, "test": TEST, "short": SHORT, "validation": VALIDATION, "weights": WEIGHTS}
    for part in given.parts or PARTS:
        print(part, "written", record_part("footprints", part, PARTS[part](given.processes), config), flush=True)


if __name__ == "__main__":
    main()
