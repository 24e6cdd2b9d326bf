"""Sets of adapters, one a task, each under an A of its own, merged at weight 1: parts of benchmarks.footprints.

Adapters and rows lie in build/footprints as soon as they are there, so that a run that was stopped goes on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import torch

from benchmarks.adapters import TASKS, adapter_config, base, score
from benchmarks.methods import SEEDS
from benchmarks.record import once
from lori_core.config import Method
from lori_core.embedded.corpus import texts
from lori_core.evaluation.merge_trial import best_weight
from lori_core.evaluation.probe import cross_talk
from lori_core.method.adapter import Adapter
from lori_core.method.conditioned import Conditions
from lori_core.method.footprint import Footprint
from lori_core.method.forecast import forecast, untrained
from lori_core.method.merge import merge
from lori_core.results import PairMatrix
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.tasks.registry import load_task
from lori_core.tasks.task import Task
from lori_core.training import footprints as measuring
from lori_core.training.footprints import EXAMPLES, task_footprint, text_footprint
from lori_core.training.learn import Learned, learn
from lori_core.training.recipes import seeded, training_for

FOLDER = Path("build/footprints")
ROWS = FOLDER / "rows"
WEIGHTS = (0.3, 0.5, 0.8, 1.0)  # among which a random A gets its best, on validation
TEST, VALIDATION = 200, 100
Projection = Literal["conditioned", "kaiming_uniform"]
Blind = Literal["others", "text", "one_unknown", "exchanged", "shuffled"]
Scores = dict[str, float]  # task -> score


@dataclass(frozen=True)
class AdapterSet:
    """One adapter for each task.

    Attributes:
        tasks: specs.
        blind_to: what each A is conditioned against: the "others"; general "text" alone; the others but the next one
            ("one_unknown"). Controls that must fail: own task and first other "exchanged"; features "shuffled".
        directions: m; None: the whole C.
    """

    method: Method = "lori_d"
    seed: int = 0
    tasks: tuple[str, ...] = TASKS
    projection: Projection = "conditioned"
    blind_to: Blind = "others"
    examples: int = EXAMPLES
    directions: int | None = None
    ridge: float = 0.01

    @property
    def label(self) -> str:
        """What differs from the usual."""
        values = [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default]
        return " ".join(f"{name}={'+'.join(v) if isinstance(v, tuple) else v}" for name, v in values) or "usual"

    @property
    def folder(self) -> Path:
        return FOLDER / "sets" / as_file_name(self.label)


def as_file_name(label: str) -> str:
    return label.replace(" ", ",").replace("?", "-").replace("&", "-")


def level(value: int) -> tuple[str, ...]:
    return tuple(f"{name}?level={value}" for name in TASKS)


def conflict(kind: str) -> tuple[str, ...]:
    return tuple(f"{name}?conflict={kind}" for name in TASKS)


EIGHT = (*TASKS, "math_ja", "math?level=5", "code?level=5", "nlu?conflict=form")
WAYS: tuple[Projection, ...] = ("conditioned", "kaiming_uniform")
SETS: dict[str, list[AdapterSet]] = {
    "controls": [AdapterSet(seed=seed, blind_to=wrong) for seed in SEEDS for wrong in ("exchanged", "shuffled")],
    "others": [
        *(AdapterSet(seed=seed, blind_to=blind) for seed in SEEDS for blind in ("text", "one_unknown")),
        *(AdapterSet("lori_s", blind_to=blind) for blind in ("text", "one_unknown")),
    ],
    "levels": [
        *(AdapterSet(tasks=level(value), projection=p) for value in (2, 5) for p in WAYS),
        *(AdapterSet("lori_s", tasks=level(5), projection=p) for p in WAYS),
    ],
    "conflicts": [
        AdapterSet(tasks=conflict(kind), projection=projection) for kind in ("form", "answer") for projection in WAYS
    ],
    "sizes": [
        AdapterSet(tasks=tasks, projection=projection)
        for tasks in (TASKS[:2], TASKS[2:], TASKS[:3], EIGHT)
        for projection in WAYS
    ],
    "examples": [AdapterSet(examples=count) for count in (8, 32, EXAMPLES, 512)],
    "directions": [AdapterSet(directions=count) for count in (48, 64, 128)],
    "ridges": [
        *(AdapterSet(ridge=ridge) for ridge in (0.0001, 0.001, 0.1, 1.0)),
        *(AdapterSet("lori_s", ridge=ridge) for ridge in (0.001, 0.01, 0.1, 1.0)),
    ],
}


@cache
def task_of(spec: str) -> Task:
    """Named after its spec: two forms of one task must not draw the same A."""
    return replace(load_task(spec), name=spec.replace("?", "-").replace("&", "-"))


@cache
def footprint_of(spec: str, examples: int = EXAMPLES, directions: int | None = None) -> Footprint:
    """directions: of these narrow inputs too, to see what so few would do."""
    whole, measuring.EXACT = measuring.EXACT, measuring.EXACT if directions is None else 0
    try:
        return task_footprint(base(), task_of(spec), examples=examples, directions=directions or 256)
    finally:
        measuring.EXACT = whole


@cache
def text_read(examples: int) -> Footprint:
    return text_footprint(base(), "text", texts(examples))


def conditions_of(which: AdapterSet, index: int) -> Conditions | None:
    if which.projection != "conditioned":
        return None
    every = [footprint_of(spec, which.examples, which.directions) for spec in which.tasks]
    own, others = every[index], [*every[index + 1 :], *every[:index]]  # the next task comes first
    match which.blind_to:
        case "others":
            return Conditions(own, others)
        case "text":
            return Conditions(own, [text_read(which.examples)])
        case "one_unknown":
            return Conditions(own, others[1:])
        case "exchanged":
            return Conditions(others[0], [own, *others[1:]])
        case "shuffled":
            return Conditions(shuffled(own, index), [shuffled(each, place) for place, each in enumerate(others)])


def shuffled(footprint: Footprint, seed: int) -> Footprint:
    """The same moments with the features of each input in another order, one for each task."""
    moved = {}
    for module, moments in footprint.moments.items():
        order = torch.randperm(len(moments.factor), generator=torch.Generator().manual_seed(seed))
        # P L is a factor of P C Pᵀ; it need not be triangular to be used
        moved[module] = type(moments)(moments.factor[order], moments.in_features, moments.energy)
    return Footprint(footprint.name, footprint.inputs, moved, footprint.tokens)


def learned_once(folder: Path, learning: Callable[[], Learned]) -> Adapter:
    """From the folder if it was learned before."""
    if not folder.exists():
        save_adapter(learning().adapter, folder)
    return load_adapter(folder)


def learned_set(which: AdapterSet) -> list[Adapter]:
    config = adapter_config(which.seed, projection=which.projection, ridge=which.ridge)
    training = seeded(training_for("embedded"), which.seed)
    return [
        learned_once(
            which.folder / task_of(spec).name,
            lambda spec=spec, index=index: learn(
                base(), task_of(spec), which.method, config, training, conditions=conditions_of(which, index)
            ),
        )
        for index, spec in enumerate(which.tasks)
    ]


def scores(adapter: Adapter, tasks: Sequence[str], split: str = "test", limit: int = TEST) -> Scores:
    return {spec: score(task_of(spec), adapter, split, limit)["value"] for spec in tasks}


def kept(merged: Mapping[str, float], single: Mapping[str, float]) -> dict[str, Any]:
    """Share of the single scores: mean, worst task, and of each."""
    shares = {task: merged[task] / single[task] for task in single if single[task]}
    return {"mean": fmean(shares.values()), "worst": min(shares.values()), "of": shares}


def off_diagonal(matrix: PairMatrix) -> list[float | None]:
    tasks = range(len(matrix.values))
    return [matrix.values[s][t] for s in tasks for t in tasks if s != t]


def measured_set(which: AdapterSet) -> dict[str, Any]:
    """From the folder if it was measured before.

    single: scores of the adapters; merged, kept: of their concat at weight 1; best: the same at the weight that is best
    on validation; forecasts and the measured cross-talk of all pairs s ≠ t, row by row.
    """
    return once(which.folder / "row.json", lambda: _measured(which))


def _measured(which: AdapterSet) -> dict[str, Any]:
    adapters = learned_set(which)
    single = scores_alone(adapters, which.tasks)
    merged = scores(concat(adapters, 1.0), which.tasks)
    found = {
        "set": asdict(which),
        "single": single,
        "single_mean": fmean(single.values()),
        "merged": merged,
        "kept": kept(merged, single),
    } | pairs_of(adapters, which.tasks)
    if which.projection != "conditioned":
        found["best"] = at_best_weight(adapters, which.tasks, single, merged)
    return found


def scores_alone(adapters: Sequence[Adapter], tasks: Sequence[str], limit: int = TEST) -> Scores:
    """Each adapter's on its own task."""
    return {spec: scores(a, [spec], limit=limit)[spec] for spec, a in zip(tasks, adapters, strict=True)}


def concat(adapters: Sequence[Adapter], weight: float) -> Adapter:
    return merge(adapters, "concat", [weight] * len(adapters), "merged")


def at_best_weight(
    adapters: Sequence[Adapter], tasks: Sequence[str], single: Scores, at_one: Scores, limit: int = TEST
) -> dict[str, Any]:
    """Their concat at the one of WEIGHTS that is best on validation. at_one: its scores at weight 1."""
    weight, tried = best_weight(
        WEIGHTS, lambda w: fmean(scores(concat(adapters, w), tasks, "validation", VALIDATION).values())
    )
    merged = at_one if weight == 1.0 else scores(concat(adapters, weight), tasks, limit=limit)
    return {"weight": weight, "validation": tried, "merged": merged, "kept": kept(merged, single)}


def pairs_of(adapters: Sequence[Adapter], tasks: Sequence[str]) -> dict[str, Any]:
    """Of all s ≠ t, row by row: both forecasts, and the cross-talk that was measured."""
    footprints = [footprint_of(spec) for spec in tasks]
    measured = cross_talk(base().model, base().tokenizer, adapters, [task_of(spec) for spec in tasks])
    return {
        "forecast_before": off_diagonal(forecast([untrained(each) for each in adapters], footprints)),
        "forecast_after": off_diagonal(forecast(adapters, footprints)),
        "cross_talk": off_diagonal(measured),
    }
