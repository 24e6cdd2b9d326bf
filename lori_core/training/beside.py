"""Sequence in which earlier adapters stay: each task gets factors of its own, trained with the earlier ones in place.

With a conditioned A the new task's rows do not read what earlier tasks feed into a module, so that learning it leaves
them alone; and since the earlier updates are there while it trains, it learns to live with what they do to it. Of
earlier tasks nothing is needed but their adapters and footprints. One adapter comes out, of rank (tasks · rank).

With a random A for each task it is the control: the same but for what A reads.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from lori_core.bases.attach import applied
from lori_core.bases.load import Base, target_modules
from lori_core.config import AdapterConfig, Method, TrainConfig
from lori_core.method.adapter import Adapter, as_parent, blank
from lori_core.method.conditioned import Conditions
from lori_core.method.footprint import Footprint
from lori_core.method.masks import Masks
from lori_core.method.stack import stacked
from lori_core.results import Score
from lori_core.tasks.task import Task
from lori_core.training.calibrate import calibrate
from lori_core.training.continual import LearnedSequence, sequence_result
from lori_core.training.fit import fit
from lori_core.training.footprints import task_footprint
from lori_core.training.hooks import Hooks
from lori_core.training.learn import config_of, learn, projections_of


def learn_beside(
    base: Base,
    tasks: Sequence[Task],
    method: Method,
    config: AdapterConfig,
    training: Mapping[Method, TrainConfig],
    score: Callable[[Task], Score],
    *,
    first: Adapter | None = None,
    hooks: Hooks | None = None,
    checkpoints: Path | None = None,
) -> LearnedSequence:
    """Learn the tasks in order, each at its whole rate, and score all of them after each.

    Args:
        method: "lori_d" or "lori_s"; a trained A would not stay blind.
        config: of each task's own factors; projection "conditioned" is on the footprints of the earlier tasks, taken
            with their adapters in place, and the first task has a random A.
        score: judges base.model, which carries the adapter while it is called, on one task.
        first: the adapter of the first task, where it was learned already by the same method and settings.
    """
    conditioned = config.projection == "conditioned"
    label = f"{method}_conditioned" if conditioned else method
    hooks = (hooks or Hooks()).named(method=label)
    alone = config.changed(projection="kaiming_uniform") if conditioned else config
    adapters: list[Adapter] = []
    footprints: list[Footprint] = []
    scores: list[tuple[Score, ...]] = []
    for number, task in enumerate(tasks):
        stage = hooks.named(task=task.name, after=" → ".join(each.name for each in tasks[:number]))
        folder = checkpoints and checkpoints / f"sequence-{number}"
        if number:
            adapter = _next(base, task, adapters[-1], footprints, method, config, training, stage, folder)
        else:
            adapter = first or learn(base, task, method, alone, training, hooks=stage, checkpoints=folder).adapter
        adapters.append(adapter)
        if conditioned and number < len(tasks) - 1:  # no later A has to leave the last task alone
            footprints.append(_footprint(base, task, config, adapter))
        with applied(base.model, adapter):
            scores.append(tuple(score(each) for each in tasks))
    result = sequence_result(
        tasks,
        scores,
        method=label,
        overlap="exclude",
        seed=config.projection_seed,
        mask_overlap=(),
        learning_rate=training[method].learning_rate,
        beside=True,
    )
    return LearnedSequence(tuple(adapters), result)


def _next(
    base: Base,
    task: Task,
    earlier: Adapter,
    footprints: Sequence[Footprint],
    method: Method,
    config: AdapterConfig,
    training: Mapping[Method, TrainConfig],
    hooks: Hooks,
    checkpoints: Path | None,
) -> Adapter:
    """The earlier factors as they were, and beside them those of one more task, its A as the settings say."""
    conditions = None
    if config.projection == "conditioned":
        conditions = Conditions(_footprint(base, task, config, earlier), footprints)
    projections = projections_of(config, target_modules(base.model, config.target_modules), conditions)
    return learn_under(base, task, earlier, projections, method, config, training, hooks=hooks, checkpoints=checkpoints)


def learn_under(
    base: Base,
    task: Task,
    earlier: Adapter,
    projections: Mapping[str, Tensor] | None,
    method: Method,
    config: AdapterConfig,
    training: Mapping[Method, TrainConfig],
    *,
    hooks: Hooks | None = None,
    checkpoints: Path | None = None,
) -> Adapter:
    """One more task beside an adapter that stays as it is, under an A that is given.

    Args:
        projections: module -> A (rank, in_features); None: drawn for the task.
        method, config, training: as learn_beside() has them.
    """
    shapes = target_modules(base.model, config.target_modules)
    new = blank(task.name, shapes, config_of("lori_d", config), projections=projections)
    start, moves = stacked(earlier, new)
    if method == "lori_s":
        masks = _own_masks(base, task, start, moves, config, training["lori_d"], hooks, checkpoints)
        new = blank(task.name, shapes, config_of(method, config), masks, projections)
        start, moves = stacked(earlier, new)
    adapter, _ = fit(base, task, start, training[method], trained=moves, hooks=hooks, checkpoints=checkpoints)
    adapter.record["parents"] = [as_parent(earlier)]
    return adapter


def _footprint(base: Base, task: Task, config: AdapterConfig, adapter: Adapter) -> Footprint:
    return task_footprint(base, task, config.target_modules, adapter=adapter, directions=config.directions)


def _own_masks(
    base: Base,
    task: Task,
    start: Adapter,
    moves: Masks,
    config: AdapterConfig,
    training: TrainConfig,
    hooks: Hooks | None,
    checkpoints: Path | None,
) -> dict[str, Tensor]:
    """module -> mask (out_features, rank) of the new task's own columns, calibrated with the earlier ones in place."""
    # of all entries, so that the share of the new columns' is the one asked for
    among_all = config.changed(sparsity=1 - (1 - config.sparsity) * config.rank / start.config.rank)
    others = {module: ~mask for module, mask in moves.items()}
    found = calibrate(
        base,
        task,
        start,
        among_all,
        training,
        exclude=others,
        trained=moves,
        hooks=hooks,
        checkpoints=checkpoints,
    )
    return {module: mask[:, -config.rank :].clone() for module, mask in found.masks.items()}
