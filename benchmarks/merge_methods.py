"""Merge methods on adapters of two to eight mini tasks, with the control of random adapters.

`python -m benchmarks.merge_methods` scores every method at the one weight for all adapters that is best on validation,
beside removal at weight 1, and concat at weights searched one by one too, and writes results/merge_methods.json. The
adapters are those that are ready-made, and SETS of other seeds, of a conditioned A and of eight tasks. Each merge is
kept in build/merge_methods/ as soon as it is scored, so that a run that was stopped goes on; `--table` writes and
prints what there is.

Control: a random adapter has an adapter's A and mask, and random values of the same norm in every module. "others":
each task's own adapter is merged with random ones in place of the others, which says what a merge of that size costs a
task whatever the others have learned. "all": all are random, which says what the search over weights finds in noise.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, cast

import torch

from benchmarks.adapters import PROCESSES, spread
from benchmarks.footprint_sets import (
    EIGHT,
    WAYS,
    AdapterSet,
    as_file_name,
    footprint_of,
    learned_set,
    scores,
)
from benchmarks.methods import SEEDS, over_seeds
from benchmarks.record import once, record
from lori_core.config import MERGE_BUDGET, Granularity
from lori_core.embedded.ready_made import Variant, ready_made
from lori_core.evaluation.merge_trial import best_weight
from lori_core.evaluation.weight_search import GroupWeights, climb
from lori_core.method.adapter import Adapter
from lori_core.method.masks import GROUP_KEY
from lori_core.method.merge import merge

VARIANTS: tuple[Variant, ...] = ("lori_s", "lora", "lori_d")
TASK_SETS = (("nlu", "math", "code", "safety"), ("nlu", "math"), ("nlu", "math", "code"), ("code", "safety"))
# method -> options: the defaults, but where the published code has others
METHODS: dict[str, dict[str, Any]] = {
    "concat": {},
    "ties": {},
    "core_ties": {},
    "core_magnitude": {},
    "core_dare": {"drop": 0.3},
    "knots_ties": {"keep": 1.0},
    "tsv_m": {},
    "iso_c": {},
    "pico": {},
    "compress_then_merge": {},
    "wudi": {},
}
CONTROLS = ("alone", "others", "all")
SEARCHES: dict[str, Granularity] = {"concat_each": "model", "concat_each_kind": "kind"}  # of each weight by itself
REMOVAL = "removal"  # with the tasks' footprints; its weight is not searched
ROWS = (*METHODS, REMOVAL, *CONTROLS, *SEARCHES)
ROWS_OF_SETS = (*METHODS, REMOVAL, *CONTROLS)
# Of four tasks, one set a seed. A random A's first are the ready-made ones.
KINDS = {
    **{f"{m} conditioned": [AdapterSet(m, seed) for seed in SEEDS] for m in ("lori_d", "lori_s")},
    **{f"{m} random": [AdapterSet(m, s, projection="kaiming_uniform") for s in SEEDS[1:]] for m in VARIANTS},
}
OF_EIGHT = [AdapterSet(tasks=EIGHT, projection=projection) for projection in WAYS]
SETS = {each.label: each for each in chain(*KINDS.values(), OF_EIGHT)}
WEIGHTS = (0.3, 0.5, 0.8, 1.3)
EXAMPLES = 100  # of each task, for the weight and for the score
FOLDER = Path("build/merge_methods")


class Unit(NamedTuple):
    """One row of the table.

    Attributes:
        variant: of ready-made adapters, or a key of SETS.
        how: a key of METHODS or SEARCHES, REMOVAL, or one of CONTROLS.
    """

    variant: str
    tasks: tuple[str, ...]
    how: str

    def file(self, examples: int) -> Path:
        return FOLDER / str(examples) / as_file_name(f"{self.variant}-{'+'.join(self.tasks)}-{self.how}.json")


def units() -> Iterator[Unit]:
    """What says most comes first."""
    first, *smaller = TASK_SETS
    yield from (Unit(variant, first, how) for variant in VARIANTS for how in ROWS)
    yield from (Unit(label, which.tasks, how) for label, which in SETS.items() for how in ROWS_OF_SETS)
    yield from (Unit(variant, tasks, how) for tasks in smaller for variant in VARIANTS for how in ROWS)


def parts_of(unit: Unit) -> list[Adapter]:
    if unit.variant in SETS:
        return learned_set(SETS[unit.variant])
    return [ready_made(task, cast(Variant, unit.variant)) for task in unit.tasks]


def random_values(adapter: Adapter, seed: int = 0) -> Adapter:
    """The control: A and mask stay, the values are drawn anew with the norm that they have in each module."""
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for module, each in adapter.factors.items():
        drawn = torch.randn(each.values.shape, generator=generator)
        factors[module] = replace(each, values=drawn * each.values.norm() / drawn.norm().clamp(min=1e-12))
    return replace(adapter, name=f"random {adapter.name}", factors=factors)


def at_best_weight(parts: list[Adapter], tasks: tuple[str, ...], method: str, examples: int) -> dict[str, Any]:
    """Chosen on validation, scored on test."""

    def merged(weight: float) -> Adapter:
        return merge(parts, method, [weight] * len(parts), "merged", **METHODS[method])

    weight, validation = best_weight(
        WEIGHTS, lambda weight: fmean(scores(merged(weight), tasks, "validation", examples).values())
    )
    return {"weight": weight, "validation": validation, "scores": scores(merged(weight), tasks, "test", examples)}


def each_alone(adapters: Iterable[Adapter], tasks: Iterable[str], examples: int) -> dict[str, float]:
    """Test scores: the first adapter on the first task, and so on."""
    pairs = zip(adapters, tasks, strict=True)
    return {task: scores(adapter, [task], "test", examples)[task] for adapter, task in pairs}


def at_searched_weights(parts: list[Adapter], unit: Unit, examples: int) -> dict[str, Any]:
    """concat, from its best weight on; chosen on validation, scored on test."""
    groups = {module: GROUP_KEY[SEARCHES[unit.how]](module) for module in parts[0].factors}

    def merged(weights: GroupWeights) -> Adapter:
        return merge(parts, "concat", {module: weights[group] for module, group in groups.items()}, "merged")

    def mean(weights: GroupWeights) -> float:
        return fmean(scores(merged(weights), unit.tasks, "validation", examples).values())

    alike, grid = one(examples, unit._replace(how="concat")), (0.0, *WEIGHTS)
    start = alike["weight"], alike["validation"][str(alike["weight"])]
    found = climb(mean, list(dict.fromkeys(groups.values())), len(parts), grid, *start, MERGE_BUDGET)
    return asdict(found) | {"scores": scores(merged(found.weights), unit.tasks, "test", examples)}


def measure(examples: int, unit: Unit) -> dict[str, Any]:
    parts = parts_of(unit)
    if unit.how in METHODS:
        return at_best_weight(parts, unit.tasks, unit.how, examples)
    if unit.how in SEARCHES:
        return at_searched_weights(parts, unit, examples)
    if unit.how == REMOVAL:
        footprints = [footprint_of(task) for task in unit.tasks]
        merged = merge(parts, REMOVAL, [1.0] * len(parts), "merged", footprints)
        return {"weight": 1.0, "scores": scores(merged, unit.tasks, "test", examples)}
    if unit.how == "alone":
        return {"scores": each_alone(parts, unit.tasks, examples)}
    drawn = [random_values(part, seed) for seed, part in enumerate(parts)]
    if unit.how == "all":
        return at_best_weight(drawn, unit.tasks, "concat", examples)
    weight = one(examples, unit._replace(how="concat"))["weight"]
    among = [[*drawn[:i], part, *drawn[i + 1 :]] for i, part in enumerate(parts)]
    merged = [merge(each, "concat", [weight] * len(parts), "merged") for each in among]
    return {"weight": weight, "scores": each_alone(merged, unit.tasks, examples)}


def one(examples: int, unit: Unit) -> dict[str, Any]:
    """One row, from its file if it was measured before."""
    return once(unit.file(examples), lambda: measure(examples, unit))


def table(examples: int) -> dict[str, Any]:
    """variant -> tasks -> each row measured: weight, scores, their mean, the worst, and the mean beside concat's."""
    found: dict[str, Any] = {}
    for unit in filter(lambda unit: unit.file(examples).exists(), units()):
        row = one(examples, unit)
        values = row["scores"].values()
        rows = found.setdefault(unit.variant, {}).setdefault("+".join(unit.tasks), {})
        rows[unit.how] = row | {"mean": fmean(values), "worst": min(values)}
        if "concat" in rows:
            rows[unit.how]["beside_concat"] = rows[unit.how]["mean"] - rows["concat"]["mean"]
    return found


def over_kinds(found: dict[str, Any]) -> dict[str, Any]:
    """Method and A of four tasks -> each row that every seed has: mean, worst task, and how far from concat's mean."""
    four, said = "+".join(TASK_SETS[0]), ("mean", "worst", "beside_concat")
    summary: dict[str, Any] = {}
    for kind, sets in KINDS.items():
        method, A = kind.split()
        labels = [*([method] if A == "random" else []), *(each.label for each in sets)]
        for how in ROWS_OF_SETS:
            rows = [row for label in labels if (row := found.get(label, {}).get(four, {}).get(how))]
            if len(rows) == len(labels):
                summary.setdefault(kind, {})[how] = {each: over_seeds([row[each] for row in rows]) for each in said}
    return summary


def shown(found: dict[str, Any]) -> str:
    """The table in Markdown: mean (worst) of the tasks in per cent, by variant and number of tasks."""
    columns = [(variant, tasks) for variant, by_tasks in found.items() for tasks in by_tasks]
    lines = ["| | " + " | ".join(f"{variant}, {tasks}" for variant, tasks in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for how in ROWS:
        rows = [found[variant][tasks].get(how) for variant, tasks in columns]
        cells = [f"{100 * row['mean']:.1f} ({100 * row['worst']:.0f})" if row else "" for row in rows]
        lines.append(f"| {how} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.merge_methods", description=__doc__)
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="of each task and split")
    parser.add_argument("--processes", type=int, default=PROCESSES, help="of one thread each")
    parser.add_argument("--table", action="store_true", help="of what was measured already")
    given = parser.parse_args()
    if not given.table:
        spread(partial(one, given.examples), units(), given.processes)
    found = table(given.examples)
    config = {"examples": given.examples, "weights": WEIGHTS, "options": METHODS, "budget": MERGE_BUDGET}
    content = {"sets": found, "over_seeds": over_kinds(found)}
    print(shown(found), f"written {record('merge_methods', config, content)}", sep="\n\n")


if __name__ == "__main__":
    main()
