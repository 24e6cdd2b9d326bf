"""Footprints: merging at weight 1 under a conditioned A, removal from adapters that exist, sequences, costs, controls.

`python -m benchmarks.footprints [PART ...]` measures the parts named, or all, and keeps them in
results/footprints.json; the adapters of a part lie in build/footprints, so that one that was stopped goes on. What
random A give beside, at their best searched weight and with the same seeds, is in results/methods.json.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.adapters import TASKS, adapter_config, base, score, spread
from benchmarks.methods import SEEDS, TEST, VALIDATION, over_seeds
from benchmarks.record import RESULTS, record, results_of
from lori_core.bases.attach import update_ratio
from lori_core.bases.load import target_modules
from lori_core.config import AdapterConfig, Method
from lori_core.embedded.ready_made import Variant, ready_made
from lori_core.evaluation.evaluate import evaluate
from lori_core.evaluation.probe import cross_talk
from lori_core.files import folder_size, write_atomic
from lori_core.method.adapter import Adapter, blank
from lori_core.method.conditioned import Conditions, conditioned
from lori_core.method.footprint import Footprint
from lori_core.method.forecast import forecast, untrained
from lori_core.method.merge import merge
from lori_core.results import Score
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.tasks.mini import USUAL_LEVEL, mini_task
from lori_core.tasks.task import Task
from lori_core.training.beside import learn_beside
from lori_core.training.footprints import task_footprint
from lori_core.training.learn import Learned, learn
from lori_core.training.recipes import seeded, training_for

FOLDER = Path("build/footprints")
METHODS: tuple[Method, ...] = ("lori_d", "lori_s")
ORDER = ("safety", "math", "code", "nlu")
SHORT = 200  # test examples where n = 500 would take hours
Scores = dict[str, float]  # task -> score


@cache
def task_of(name: str, level: int = USUAL_LEVEL) -> Task:
    return mini_task(name, level)


@cache
def footprints_of(names: Sequence[str] = TASKS, level: int = USUAL_LEVEL, examples: int = 128) -> tuple[Footprint, ...]:
    return tuple(task_footprint(base(), task_of(name, level), examples=examples) for name in names)


def conditions_for(index: int, footprints: Sequence[Footprint]) -> Conditions:
    others = [each for place, each in enumerate(footprints) if place != index]
    return Conditions(footprints[index], others)


def scores(adapter: Adapter, names: Sequence[str] = TASKS, limit: int = TEST, level: int = USUAL_LEVEL) -> Scores:
    return {name: score(task_of(name, level), adapter, "test", limit)["value"] for name in names}


def kept(merged: Mapping[str, float], single: Mapping[str, float]) -> dict[str, float]:
    """Share of the single scores, mean and worst task."""
    shares = {task: merged[task] / single[task] for task in single}
    return {"mean": fmean(shares.values()), "worst": min(shares.values())}


# --- a conditioned A, merged at weight 1


def once(name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A row that is kept as soon as it is measured."""
    path = FOLDER / "rows" / f"{name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(make()))
    return json.loads(path.read_text(encoding="utf-8"))


def learned_once(folder: Path, learning: Callable[[], Learned]) -> Adapter:
    """From the folder if it was learned before."""
    if not folder.exists():
        save_adapter(learning().adapter, folder)
    return load_adapter(folder)


def designed_set(
    method: Method, seed: int, footprints: Sequence[Footprint], label: str, level: int = USUAL_LEVEL, **changes: Any
) -> list[Adapter]:
    """The four adapters under conditioned As."""
    config = adapter_config(seed, projection="conditioned", **changes)
    training = seeded(training_for("embedded"), seed)
    return [
        learned_once(
            FOLDER / label / f"{method}-{name}-{seed}",
            partial(
                learn, base(), task_of(name, level), method, config, training, conditions=conditions_for(i, footprints)
            ),
        )
        for i, name in enumerate(TASKS)
    ]


def one_design(job: tuple[Method, int]) -> dict[str, Any]:
    """Singles and the merge at weight 1, n = 500."""
    return once(f"designed-{job[0]}-{job[1]}", partial(_designed, *job))


def _designed(method: Method, seed: int) -> dict[str, Any]:
    adapters = designed_set(method, seed, footprints_of(), "designed")
    single = {a.name: scores(a, [a.name])[a.name] for a in adapters}
    merged = scores(merge(adapters, "concat", [1.0] * len(adapters), "merged"))
    return {
        "single": single,
        "merged": merged,
        "kept": kept(merged, single),
        "update_ratio": fmean(update_ratio(base().model, adapter) for adapter in adapters),
        "cross_talk": cross_talk(base().model, base().tokenizer, adapters, [task_of(n) for n in TASKS]).values,
        "forecast": forecast(adapters, footprints_of()).values,
        "forecast_of_A": forecast(blanks(adapters), footprints_of()).values,
    }


def blanks(adapters: Sequence[Adapter]) -> list[Adapter]:
    """The same As before training."""
    shapes = {module: factors.shape for module, factors in adapters[0].factors.items()}
    return [
        blank(a.name, shapes, a.config.changed(sparsity=0.0), projections={m: f.A for m, f in a.factors.items()})
        for a in adapters
    ]


def designed(processes: int) -> dict[str, Any]:
    jobs: list[tuple[Method, int]] = [(method, seed) for seed in SEEDS for method in METHODS]
    rows = dict(zip(jobs, spread(one_design, jobs, processes), strict=True))
    lora = results_of(RESULTS / "methods.json")["single"]["lora"]["mean"]["seeds"]
    found = {}
    for method in METHODS:
        runs = [rows[method, seed] for seed in SEEDS]
        means = [fmean(run["single"].values()) for run in runs]
        kept_folders = [FOLDER / "designed" / f"{method}-{name}-{seed}" for name in TASKS for seed in SEEDS]
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


def one_ridge(job: tuple[Method, float]) -> dict[str, Any]:
    return once(f"ridge-{job[0]}-{job[1]}", partial(_ridge, *job))


def _ridge(method: Method, ridge: float) -> dict[str, Any]:
    adapters = designed_set(method, 0, footprints_of(), f"ridge-{ridge}", ridge=ridge)
    single = {a.name: scores(a, [a.name], SHORT)[a.name] for a in adapters}
    merged = scores(merge(adapters, "concat", [1.0] * len(adapters), "merged"), limit=SHORT)
    measured = cross_talk(base().model, base().tokenizer, adapters, [task_of(n) for n in TASKS]).values
    apart = [measured[s][t] for s in range(len(TASKS)) for t in range(len(TASKS)) if s != t]
    return {
        "single": single,
        "merged": merged,
        "kept": kept(merged, single),
        "single_mean": fmean(single.values()),
        "cross_talk": fmean(value for value in apart if value is not None),
    }


def ridges(processes: int) -> dict[str, Any]:
    """Price against cross-talk over λ, seed 0; λ = 0.01 is measured again, with as few examples as the others."""
    jobs: list[tuple[Method, float]] = [("lori_s", ridge) for ridge in (0.03, 0.1, 0.01, 0.3, 0.001)]
    for ridge in (0.1, 0.01, 1.0):
        jobs.append(("lori_d", ridge))
    rows = spread(one_ridge, jobs, processes)
    return {f"{method} {ridge:g}": row for (method, ridge), row in zip(jobs, rows, strict=True)}


# --- removal from adapters that exist


def one_removal(variant: Variant) -> dict[str, Any]:
    adapters = [ready_made(name, variant) for name in TASKS]
    single = {a.name: scores(a, [a.name])[a.name] for a in adapters}
    ways = {"removal": {"footprints": footprints_of()}, "concat": {}}
    found: dict[str, Any] = {"single": single}
    for how, options in ways.items():
        merged = scores(merge(adapters, how, [1.0] * len(adapters), "merged", **options))
        found[how] = {"merged": merged, "kept": kept(merged, single)}
    return found


def removal(processes: int) -> dict[str, Any]:
    """Of the ready-made adapters, at weight 1, one λ for all."""
    variants: tuple[Variant, ...] = ("lora", "lori_d", "lori_s")
    return dict(zip(variants, spread(one_removal, variants, processes), strict=True))


# --- forecast against measured cross-talk


def one_forecast(job: tuple[str, int]) -> dict[str, Any]:
    """One set of four: pairs (s, t), s ≠ t, as (forecast of A alone, forecast of the update, measured)."""
    return once(f"forecast-{'-'.join(map(str, job))}", partial(_forecast, *job))


def _forecast(label: str, seed: int) -> dict[str, Any]:
    if seed < 0:
        adapters = [ready_made(name, cast("Variant", label)) for name in TASKS]
    else:
        adapters = [load_adapter(FOLDER / "designed" / f"{label}-{name}-{seed}") for name in TASKS]
    footprints = footprints_of()
    before = forecast([untrained(each) for each in adapters], footprints).values
    after = forecast(adapters, footprints).values
    measured = cross_talk(base().model, base().tokenizer, adapters, [task_of(name) for name in TASKS]).values
    places = [(s, t) for s in range(len(TASKS)) for t in range(len(TASKS)) if s != t]
    return {"pairs": [(before[s][t], after[s][t], measured[s][t]) for s, t in places]}


def forecasts(processes: int) -> dict[str, Any]:
    """The ready-made adapters (seed -1), and those of the part "designed"; rank correlations over all pairs."""
    jobs = [(label, -1) for label in ("lora", "lori_d", "lori_s", "lori_d_shared")]
    jobs += [(method, seed) for seed in SEEDS for method in METHODS]
    rows = dict(zip(jobs, spread(one_forecast, jobs, processes), strict=True))
    random = [row for (_, seed), row in rows.items() if seed < 0]
    conditioned = [row for (_, seed), row in rows.items() if seed >= 0]
    return {
        "all": agreement([*random, *conditioned]),
        "random_A": agreement(random),
        "conditioned_A": agreement(conditioned),
        "rows": {f"{label} {seed}": row["pairs"] for (label, seed), row in rows.items()},
    }


def agreement(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rank correlations of both forecasts with what was measured, over the pairs of these sets."""
    before, after, measured = (
        torch.tensor(each) for each in zip(*(p for row in rows for p in row["pairs"]), strict=True)
    )
    return {
        "sets": len(rows),
        "pairs": len(measured),
        "spearman_before_training": rank_correlation(before, measured),
        "spearman_after_training": rank_correlation(after, measured),
        "measured": (measured.min().item(), measured.max().item()),
    }


def rank_correlation(left: Tensor, right: Tensor) -> float:
    """Spearman's, no ties."""
    ranks = [each.argsort().argsort().double() for each in (left, right)]
    return torch.corrcoef(torch.stack(ranks))[0, 1].item()


# --- a sequence at the whole rate


def one_sequence(job: tuple[Method, str, int]) -> dict[str, Any]:
    return once(f"sequence-{'-'.join(map(str, job))}", partial(_sequence, *job))


def _sequence(method: Method, projection: str, seed: int) -> dict[str, Any]:
    def judged(task: Task) -> Score:
        return evaluate(base().model, base().tokenizer, task, "test", SHORT).score

    learned = learn_beside(
        base(),
        [task_of(name) for name in ORDER],
        method,
        adapter_config(seed, projection=projection),
        seeded(training_for("embedded"), seed),
        judged,
    )
    matrix = learned.result.matrix
    just_learned = [row[i] for i, row in enumerate(matrix)]
    return {
        "matrix": matrix,
        "old_kept": fmean(end / then for end, then in zip(matrix[-1][:-1], just_learned[:-1], strict=True)),
        "worst_kept": min(end / then for end, then in zip(matrix[-1][:-1], just_learned[:-1], strict=True)),
        "new_learned": fmean(just_learned[1:]),
    }


def sequence(processes: int) -> dict[str, Any]:
    """Conditioned, and the control: a random A for each task, earlier adapters frozen beside it all the same."""
    ways = [("conditioned", seed) for seed in SEEDS] + [("kaiming_uniform", 0)]
    jobs: list[tuple[Method, str, int]] = [(method, *way) for way in ways for method in METHODS]
    rows = dict(zip(jobs, spread(one_sequence, jobs, processes), strict=True))
    found: dict[str, Any] = {}
    for method, projection, _ in rows:
        runs = [row for job, row in rows.items() if job[:2] == (method, projection)]
        measures = ("old_kept", "worst_kept", "new_learned")
        found[f"{method} {projection}"] = {m: over_seeds([run[m] for run in runs]) for m in measures} | {"runs": runs}
    return found


# --- controls that must fail, and what a footprint needs and costs


def one_control(wrong: str) -> dict[str, Any]:
    """LoRI-D whose As are conditioned on the wrong thing; singles and the merge at weight 1."""
    footprints, config = footprints_of(), adapter_config(0, projection="conditioned")
    training, adapters = seeded(training_for("embedded"), 0), []
    for i, name in enumerate(TASKS):
        right = conditions_for(i, footprints)
        given = {
            "exchanged": Conditions(right.others[0], [right.own, *right.others[1:]]),
            "shuffled": Conditions(shuffled(right.own, i), [shuffled(each, j) for j, each in enumerate(right.others)]),
        }[wrong]
        learning = partial(learn, base(), task_of(name), "lori_d", config, training, conditions=given)
        adapters.append(learned_once(FOLDER / wrong / name, learning))
    single = {a.name: scores(a, [a.name], SHORT)[a.name] for a in adapters}
    merged = scores(merge(adapters, "concat", [1.0] * len(adapters), "merged"), limit=SHORT)
    return {"single": single, "merged": merged, "kept": kept(merged, single)}


def shuffled(footprint: Footprint, seed: int) -> Footprint:
    """The same moments with the features of each input in another order, one for each task."""
    moved = {}
    for module, moments in footprint.moments.items():
        order = torch.randperm(len(moments.factor), generator=torch.Generator().manual_seed(seed))
        # P L is a factor of P C Pᵀ; it need not be triangular to be used
        moved[module] = type(moments)(moments.factor[order], moments.in_features, moments.energy)
    return Footprint(footprint.name, footprint.inputs, moved, footprint.tokens)


def controls(processes: int) -> dict[str, Any]:
    wrong = ("exchanged", "shuffled")
    return dict(zip(wrong, spread(one_control, wrong, processes), strict=True))


def one_count(examples: int) -> dict[str, Any]:
    """LoRI-D conditioned on footprints of so many examples, seed 0."""
    adapters = designed_set("lori_d", 0, footprints_of(examples=examples), f"examples-{examples}")
    single = {a.name: scores(a, [a.name], SHORT)[a.name] for a in adapters}
    merged = scores(merge(adapters, "concat", [1.0] * len(adapters), "merged"), limit=SHORT)
    return {"single": single, "merged": merged, "kept": kept(merged, single)}


def examples(processes: int) -> dict[str, Any]:
    counts = (8, 32, 512)  # 128 is the part "designed"
    return dict(zip(map(str, counts), spread(one_count, counts, processes), strict=True))


def one_level(level: int) -> dict[str, Any]:
    """LoRI-D, seed 0, tasks less or more of which have to be taught; random A beside in results/level.json."""
    adapters = designed_set("lori_d", 0, footprints_of(level=level), f"level-{level}", level)
    single = {name: scores(a, [name], SHORT, level)[name] for name, a in zip(TASKS, adapters, strict=True)}
    merged = scores(merge(adapters, "concat", [1.0] * len(adapters), "merged"), limit=SHORT, level=level)
    return {"single": single, "merged": merged, "kept": kept(merged, single)}


def levels(processes: int) -> dict[str, Any]:
    chosen = (2, 5)
    return dict(zip(map(str, chosen), spread(one_level, chosen, processes), strict=True))


def cost(processes: int) -> dict[str, Any]:
    """Seconds of the pass beside one training, on one core."""
    task, config = task_of("math"), AdapterConfig()
    start = time.perf_counter()
    own = task_footprint(base(), task)
    measured = time.perf_counter()
    conditioned(Conditions(own, [own]), target_modules(base().model), config.rank, config.ridge)
    made = time.perf_counter()
    learned = learn(base(), task, "lori_d", config)
    return {
        "pass_s": measured - start,
        "conditioning_s": made - measured,
        "training_s": learned.training.seconds,
        "footprint_bytes": sum(m.factor.numel() + len(m.factor) for m in own.moments.values()),  # 2 B, half of it
    }


PARTS: dict[str, Callable[[int], Any]] = {
    "designed": designed,
    "ridges": ridges,
    "removal": removal,
    "forecasts": forecasts,
    "sequence": sequence,
    "cost": cost,
    "controls": controls,
    "levels": levels,
    "examples": examples,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="; ".join(PARTS))
    parser.add_argument("--processes", type=int, default=2, help="of one thread each")
    given = parser.parse_args()
    config = {"seeds": SEEDS, "test": TEST, "short": SHORT, "validation": VALIDATION}
    for part in given.parts or PARTS:
        found = PARTS[part](given.processes)
        results = results_of(RESULTS / "footprints.json") | {part: found}
        print(part, "written", record("footprints", config, results), flush=True)


if __name__ == "__main__":
    main()
