"""Sequences on footprints: four tasks at the whole rate, and twenty, to see where the space runs out."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from benchmarks.adapters import adapter_config, base, spread
from benchmarks.footprint_sets import ROWS, TEST, Projection, footprint_of, task_of
from benchmarks.methods import SEEDS, over_seeds
from benchmarks.record import once
from lori_core.bases.load import target_modules
from lori_core.config import AdapterConfig, Method
from lori_core.evaluation.evaluate import evaluate
from lori_core.method.conditioned import Conditions, conditioned
from lori_core.method.projection import draw
from lori_core.results import Score
from lori_core.tasks.task import Task
from lori_core.training.beside import learn_beside
from lori_core.training.recipes import seeded, training_for

ORDER = ("safety", "math", "code", "nlu")
NAMES = ("safety", "math", "code", "nlu", "math_ja")
TWENTY = tuple(f"{n}?level={level}&conflict={c}" for c in ("none", "form") for level in (4, 5) for n in NAMES)
RANKS = (32, 8)  # of each of the twenty; an input here has 256 features, or 512
METHODS: tuple[Method, ...] = ("lori_d", "lori_s")


def learned(
    tasks: Sequence[str], method: Method, config: AdapterConfig, limit: int = TEST
) -> tuple[tuple[float, ...], ...]:
    """Score of each task (column) after each was learned (row)."""

    def judged(task: Task) -> Score:
        return evaluate(base().model, base().tokenizer, task, "test", limit).score

    training = seeded(training_for("embedded"), config.projection_seed)
    return learn_beside(base(), [task_of(each) for each in tasks], method, config, training, judged).result.matrix


def figures(matrix: Sequence[Sequence[float]]) -> dict[str, Any]:
    """old_kept: score at the end over that just after it was learned, mean and worst of the earlier tasks."""
    just_learned = [row[i] for i, row in enumerate(matrix)]
    kept = [end / then for end, then in zip(matrix[-1][:-1], just_learned[:-1], strict=True) if then]
    return {
        "matrix": matrix,
        "old_kept": fmean(kept),
        "worst_kept": min(kept),
        "new_learned": fmean(just_learned[1:]),
    }


def one_sequence(job: tuple[Method, Projection, int]) -> dict[str, Any]:
    method, projection, seed = job
    config = adapter_config(seed, projection=projection)
    return once(ROWS / f"sequence-{'-'.join(map(str, job))}.json", lambda: figures(learned(ORDER, method, config)))


def sequence(processes: int) -> dict[str, Any]:
    """Conditioned, and the control: a random A for each task, earlier adapters frozen beside it all the same."""
    ways: list[tuple[Projection, int]] = [(p, seed) for p in ("conditioned", "kaiming_uniform") for seed in SEEDS]
    jobs: list[tuple[Method, Projection, int]] = [(method, *way) for way in ways for method in METHODS]
    rows = dict(zip(jobs, spread(one_sequence, jobs, processes), strict=True))
    found: dict[str, Any] = {}
    for method, projection, _ in rows:
        runs = [row for job, row in rows.items() if job[:2] == (method, projection)]
        measures = ("old_kept", "worst_kept", "new_learned")
        found[f"{method} {projection}"] = {m: over_seeds([run[m] for run in runs]) for m in measures} | {"runs": runs}
    return found


def one_twenty(job: tuple[Projection, int]) -> dict[str, Any]:
    """LoRI-D, seed 0, 100 test examples of each task after each."""
    projection, rank = job
    config = adapter_config(0, projection=projection, rank=rank)
    found = once(ROWS / f"twenty-{projection}-{rank}.json", lambda: figures(learned(TWENTY, "lori_d", config, 100)))
    return found | {"forecast": let_through(projection, rank)}


def let_through(projection: Projection, rank: int) -> list[float]:
    """For the tasks after the first, before anything is trained: how much of the earlier tasks' inputs the new task's A
    lets through, as a multiple of what it lets through of its own; amplitudes, of footprints of the bare base."""
    shapes, found = target_modules(base().model), []
    for number, spec in enumerate(TWENTY[1:], start=1):
        own, earlier = footprint_of(spec), [footprint_of(each) for each in TWENTY[:number]]
        config = adapter_config(0, projection=projection, rank=rank)
        if projection == "conditioned":
            A = conditioned(Conditions(own, earlier), shapes, rank, config.ridge)
        else:
            A = {module: draw(config, task_of(spec).name, module, width) for module, (_, width) in shapes.items()}
        energies = [sum(each.of(m).through(rows) for m, rows in A.items()) for each in (own, *earlier)]
        found.append((fmean(energies[1:]) / energies[0]) ** 0.5)
    return found


def twenty(processes: int) -> dict[str, Any]:
    """Twenty tasks one after another: five mini tasks at two levels, in two prompt forms."""
    jobs: list[tuple[Projection, int]] = [*(("conditioned", rank) for rank in RANKS), ("kaiming_uniform", RANKS[0])]
    rows = dict(zip(jobs, spread(one_twenty, jobs, processes), strict=True))
    return {"order": TWENTY} | {f"{projection} rank {rank}": row for (projection, rank), row in rows.items()}
