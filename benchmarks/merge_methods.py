"""Merge methods on the ready-made adapters of two, three and four mini tasks, with the control of random adapters.

`python -m benchmarks.merge_methods` scores every method at the one weight for all adapters that is best on validation,
and concat at weights searched one by one too, and writes results/merge_methods.json. Each merge is kept in
build/merge_methods/ as soon as it is scored, so that a run that was stopped goes on; `--table` writes and prints what
there is.

Control: a random adapter has an adapter's A and mask, and random values of the same norm in every module. "others":
each task's own adapter is merged with random ones in place of the others, which says what a merge of that size costs a
task whatever the others have learned. "all": all are random, which says what the search over weights finds in noise.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch

from benchmarks.adapters import PROCESSES, score, spread
from benchmarks.record import once, record
from lori_core.config import MERGE_BUDGET, Granularity
from lori_core.embedded.ready_made import Variant, ready_made
from lori_core.evaluation.merge_trial import best_weight
from lori_core.evaluation.weight_search import GroupWeights, climb
from lori_core.method.adapter import Adapter
from lori_core.method.masks import GROUP_KEY
from lori_core.method.merge import merge
from lori_core.tasks.mini import mini_task

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
ROWS = (*METHODS, *CONTROLS, *SEARCHES)
WEIGHTS = (0.3, 0.5, 0.8, 1.3)
EXAMPLES = 100  # of each task, for the weight and for the score
FOLDER = Path("build/merge_methods")


class Unit(NamedTuple):
    """One row of the table; how: a key of METHODS or SEARCHES, or one of CONTROLS."""

    variant: Variant
    tasks: tuple[str, ...]
    how: str

    def file(self, examples: int) -> Path:
        return FOLDER / str(examples) / f"{self.variant}-{'+'.join(self.tasks)}-{self.how}.json"


def units() -> Iterator[Unit]:
    for tasks in TASK_SETS:
        for variant in VARIANTS:
            yield from (Unit(variant, tasks, how) for how in ROWS)


def random_values(adapter: Adapter, seed: int = 0) -> Adapter:
    """The control: A and mask stay, the values are drawn anew with the norm that they have in each module."""
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for module, each in adapter.factors.items():
        drawn = torch.randn(each.values.shape, generator=generator)
        factors[module] = replace(each, values=drawn * each.values.norm() / drawn.norm().clamp(min=1e-12))
    return replace(adapter, name=f"random {adapter.name}", factors=factors)


def scores(adapter: Adapter, tasks: Iterable[str], split: str, examples: int) -> dict[str, float]:
    return {task: score(mini_task(task), adapter, split, examples)["value"] for task in tasks}


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
    parts = [ready_made(task, unit.variant) for task in unit.tasks]
    if unit.how in METHODS:
        return at_best_weight(parts, unit.tasks, unit.how, examples)
    if unit.how in SEARCHES:
        return at_searched_weights(parts, unit, examples)
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
    print(shown(found), f"written {record('merge_methods', config, found)}", sep="\n\n")


if __name__ == "__main__":
    main()
