"""Sequence of tasks learned one after another by one adapter, and what is left of the earlier ones.

The first task's A is kept. LoRI-S finds the next task's mask and moves only that mask's entries; LoRI-D and LoRA go on
with all that they train. The paper (arXiv 2504.07448) takes one such step, here any number. Where a mask comes from:

    continued  the entries that a dense run moves most, under the sequence's A, from the B that earlier tasks left
    own_run    the largest entries of the task's own dense run, from B = 0 under its own A, as in the official code
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lori_core.bases.attach import applied
from lori_core.bases.load import Base
from lori_core.config import AdapterConfig, LaterMasks, Method, Overlap, TrainConfig
from lori_core.method.adapter import Adapter, as_parent, blank
from lori_core.method.masks import Masks, overlap_counts
from lori_core.method.metrics import forgetting
from lori_core.results import ContinualResult, Score
from lori_core.tasks.task import Task
from lori_core.training.calibrate import as_dense, calibrate
from lori_core.training.fit import fit
from lori_core.training.hooks import Hooks
from lori_core.training.learn import config_of, learn


@dataclass(frozen=True, eq=False)
class LearnedSequence:
    """adapters: what the one adapter was after each task."""

    adapters: tuple[Adapter, ...]
    result: ContinualResult


def learn_sequence(
    base: Base,
    tasks: Sequence[Task],
    method: Method,
    config: AdapterConfig,
    training: dict[Method, TrainConfig],
    score: Callable[[Task], Score],
    *,
    overlap: Overlap = "allow",
    later_rate: float = 1.0,
    later_masks: LaterMasks = "continued",
    first: Adapter | None = None,
    hooks: Hooks | None = None,
    checkpoints: Path | None = None,
) -> LearnedSequence:
    """Learn the tasks in order and score all of them after each.

    Args:
        score: judges base.model, which carries the adapter while it is called, on one task.
        overlap: "exclude" leaves out of a new mask what earlier masks hold (LoRI-S only).
        later_rate: share of the method's learning rate at which tasks after the first are learned; masks are calibrated
            at LoRI-D's own.
        later_masks: where the masks of tasks after the first come from (LoRI-S only).
        first: the adapter of the first task, where it was learned already by the same method and settings.
    """
    hooks = (hooks or Hooks()).named(method=method)
    later = dict(training)
    later[method] = training[method].changed(learning_rate=later_rate * training[method].learning_rate)
    adapters: list[Adapter] = []
    overlaps: list[float] = []
    scores: list[tuple[Score, ...]] = []
    for number, task in enumerate(tasks):
        stage = hooks.named(task=task.name, after=" → ".join(each.name for each in tasks[:number]))
        folder = checkpoints and checkpoints / f"sequence-{number}"
        if number:
            adapter, shared = _next(
                base, task, adapters[-1], method, config, later, overlap, later_masks, stage, folder
            )
            overlaps.append(shared)
        else:
            adapter = first or learn(base, task, method, config, training, hooks=stage, checkpoints=folder).adapter
        adapters.append(adapter)
        with applied(base.model, adapter):
            scores.append(tuple(score(each) for each in tasks))
    result = sequence_result(
        tasks,
        scores,
        method=method,
        overlap=overlap,
        seed=config.projection_seed,
        mask_overlap=tuple(overlaps),
        later_rate=later_rate,
        later_masks=later_masks,
        learning_rate=later[method].learning_rate,
    )
    return LearnedSequence(tuple(adapters), result)


def sequence_result(tasks: Sequence[Task], scores: Sequence[tuple[Score, ...]], **how: Any) -> ContinualResult:
    """What the scores after each task say, a row a task. how: the other fields of ContinualResult."""
    names = tuple(task.name for task in tasks)
    matrix = tuple(tuple(each.value for each in row) for row in scores)
    return ContinualResult(
        order=names,
        matrix=matrix,
        scores=tuple(scores),
        forgetting=dict(zip(names, forgetting(matrix), strict=True)),
        loss_forgetting=_loss_forgetting(names, scores),
        **how,
    )


def _loss_forgetting(names: Sequence[str], scores: Sequence[Sequence[Score]]) -> dict[str, float]:
    """Nats a token by task; nothing where a score has no loss."""
    rows = [[-each.loss.value for each in row if each.loss] for row in scores]  # negative: more is better
    whole = all(len(row) == len(names) for row in rows)
    return dict(zip(names, forgetting(rows), strict=True)) if whole else {}


def _next(
    base: Base,
    task: Task,
    adapter: Adapter,
    method: Method,
    config: AdapterConfig,
    training: dict[Method, TrainConfig],
    overlap: Overlap,
    later_masks: LaterMasks,
    hooks: Hooks,
    checkpoints: Path | None,
) -> tuple[Adapter, float]:
    """The adapter after one more task, and the share of the new mask's entries that earlier tasks hold."""
    name = f"{adapter.name}+{task.name}"
    parents = {"parents": [as_parent(adapter)]}
    if method != "lori_s":
        start = replace(adapter, name=name, record=parents)
        grown, _ = fit(base, task, start, training[method], hooks=hooks, checkpoints=checkpoints)
        return grown, 1.0
    held = adapter.masks
    calibrated = calibrate(
        base,
        task,
        _DENSE_START[later_masks](adapter, task, config),
        config,
        training["lori_d"],
        exclude=held if overlap == "exclude" else None,
        hooks=hooks,
        checkpoints=checkpoints,
    )
    union = {module: held[module] | mask for module, mask in calibrated.masks.items()}
    start = replace(adapter.with_masks(union), name=name, record=parents)
    grown, _ = fit(
        base, task, start, training["lori_s"], trained=calibrated.masks, hooks=hooks, checkpoints=checkpoints
    )
    return grown, shared_fraction(calibrated.masks, held)


def _own_start(adapter: Adapter, task: Task, config: AdapterConfig) -> Adapter:
    shapes = {module: factors.shape for module, factors in adapter.factors.items()}
    return blank(task.name, shapes, config_of("lori_d", config))


# What the dense run that gives a later mask begins with.
_DENSE_START: dict[LaterMasks, Callable[[Adapter, Task, AdapterConfig], Adapter]] = {
    "continued": lambda adapter, task, config: as_dense(adapter),
    "own_run": _own_start,
}


def shared_fraction(new: Masks, held: Masks) -> float:
    """Share of the new mask's entries that the old one holds; by chance it is the old one's kept fraction."""
    counts = overlap_counts([new, held])
    return float(counts[0, 1] / counts[0, 0])
