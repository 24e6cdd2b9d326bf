"""Proof of concept: tasks x methods x seeds learned, merged, learned one after another, scored and compared.

Every unit of work (one adapter, one merge, one sequence) is kept in the study's folder as soon as it is done, so a
study that was stopped or killed goes on where it was.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from lori_core import __version__
from lori_core.bases.attach import applied
from lori_core.bases.load import checked_device, default_precision, device_name
from lori_core.config import NEED_FOOTPRINTS, AdapterConfig, Method, Split, TrainConfig
from lori_core.errors import ConfigError, IncompatibleAdapters
from lori_core.evaluation.merge_trial import best_weight, less_loss, retention
from lori_core.evaluation.probe import cross_talk
from lori_core.files import write_atomic
from lori_core.method.adapter import Adapter
from lori_core.method.conditioned import Conditions
from lori_core.method.footprint import Footprint
from lori_core.method.forecast import forecast, untrained
from lori_core.method.merge import MERGE_METHODS, merge
from lori_core.method.metrics import cosine_matrix, mask_overlap
from lori_core.results import (
    Calibration,
    ContinualResult,
    MergedResult,
    Output,
    PairMatrix,
    Score,
    SingleResult,
    StudyResult,
    to_json,
)
from lori_core.study.footprints import check_conditioned, given_footprints, measured_footprints
from lori_core.study.layout import (
    Layout,
    Variant,
    base_unit,
    calibrates,
    calibration_unit,
    interference_unit,
    measures,
    merge_unit,
    planned,
    sequence_unit,
    single_unit,
    stage_of,
    variants,
)
from lori_core.study.machine import machine
from lori_core.study.runs import read_unit
from lori_core.study.same_data import check_data, keep_data
from lori_core.study.specs import StudyConfig
from lori_core.study.units import (
    Work,
    calibrate_unit,
    check_fit,
    check_splits,
    learn_in_sequence,
    learn_unit,
    load_tasks,
    open_work,
)
from lori_core.tasks.task import Task
from lori_core.training.calibrate import Calibrated
from lori_core.training.hooks import Hooks
from lori_core.training.recipes import seeded, training_for

Kept = TypeVar("Kept")
Key = tuple[Variant, str, int]  # variant, task name, seed

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
PACKAGES = ("torch", "transformers", "accelerate", "datasets")


@dataclass(frozen=True, eq=False)
class Study:
    """What every unit of a study needs.

    Attributes:
        given: footprints that a conditioned A shall not read, in place of the other tasks'.
    """

    config: StudyConfig
    work: Work
    training: dict[Method, TrainConfig]
    given: Sequence[Footprint]

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.work.tasks

    def adapter_config(self, index: int, seed: int, variant: Variant) -> AdapterConfig:
        """Of the task at that place; orthogonal projections give each task its own row block."""
        first = self.config.adapter.projection_seed
        if variant.conditioned:
            return self.config.adapter.changed(projection_seed=first + seed, projection="conditioned")
        slots = {"slot": index, "slots": len(self.tasks)} if self.config.adapter.projection == "orthogonal" else {}
        return self.config.adapter.changed(projection_seed=first + seed, shared_projection=variant.shared, **slots)

    @cached_property
    def footprints(self) -> list[Footprint]:
        """What each task feeds into the modules of the bare base, kept, so that a later sitting reads the same ones."""
        return measured_footprints(self.work, self.config.adapter.target_modules, self.config.adapter.directions)

    def conditions(self, variant: Variant, index: int) -> Conditions | None:
        """What the A of the task at that place is conditioned on: footprints that were given, or the other tasks'."""
        if not variant.conditioned:
            return None
        others = [each for place, each in enumerate(self.footprints) if place != index]
        return Conditions(self.footprints[index], self.given or others)

    def training_with(self, seed: int) -> dict[Method, TrainConfig]:
        return seeded(self.training, seed)

    def unit(self, name: str, kind: type[Kept], make: Callable[[], Kept]) -> Kept:
        """The result of one unit of work: from the folder if it was done before, else made, timed and kept."""
        path = self.work.layout.unit(name)
        if not path.exists():
            self.work.hooks.on_event({"kind": "unit", "name": name, "state": "started"})
            start = time.perf_counter()
            result = make()
            write_atomic(self.work.layout.seconds(name), str(time.perf_counter() - start))
            write_atomic(path, to_json(result))
        self.work.hooks.on_event({"kind": "unit", "name": name, "state": "done"})
        return read_unit(path, kind)


def open_study(config: StudyConfig, folder: Path, hooks: Hooks | None = None) -> Study:
    """Load everything that can be refused before any work begins.

    Raises:
        ConfigError: a task stands twice, the continual order names a task that is not in the study, the rank is too
            large, or a conditioned A has nothing to be conditioned on.
        RunError: a task has not the examples any more that the study began with.
        IncompatibleAdapters: no merge method of that name, or a footprint of another base. ModelError: no module of
            that name.
    """
    if wrong := set(config.merge_methods) - MERGE_METHODS.keys():
        raise IncompatibleAdapters("unknown_merge", method=min(wrong), known=", ".join(MERGE_METHODS))
    tasks = load_tasks(config.tasks, config.allow_code_execution)
    check_splits(tasks, SPLITS)
    check_conditioned(config)
    names = [task.name for task in tasks]
    if unknown := set(config.continual or ()) - set(names):
        raise ConfigError("not_in_study", unknown=", ".join(sorted(unknown)), known=", ".join(names))
    data = check_data(Layout(folder), tasks, SPLITS)
    device = checked_device(config.device)
    config = config.changed(precision=config.precision or default_precision(device, config.base))
    limits: dict[Split, int | None] = {"validation": config.validation_examples, "test": config.test_examples}
    work = open_work(config, tasks, folder, hooks or Hooks(), limits)
    check_fit(work, config.methods, config.adapter)
    keep_data(work.layout, data)
    return Study(config, work, training_for(config.base, config.train), given_footprints(work, config.footprints))


def run_study(config: StudyConfig, folder: Path, hooks: Hooks | None = None) -> StudyResult:
    """All of it, in the order in which it makes sense to watch.

    Args:
        folder: keeps what is done; a second call with the same config goes on from there.
    """
    study = open_study(config, folder, hooks)
    layout = study.work.layout
    study.work.hooks.on_event({"kind": "plan", "units": len(planned(config)), "done": layout.done()})
    adapted, several = variants(config), len(study.tasks) > 1
    base_scores = {task.name: _base_score(study, index) for index, task in enumerate(study.tasks)}
    singles = {
        (variant, task.name, seed): _learn(study, variant, index, seed)
        for seed in config.seeds
        for index, task in enumerate(study.tasks)
        for variant in [*adapted, *([Variant("full")] if "full" in config.methods else [])]
    }
    adapters = {
        (variant, task.name, seed): study.work.adapter(single_unit(variant.label, index, seed))
        for seed in config.seeds
        for index, task in enumerate(study.tasks)
        for variant in adapted
    }
    merges = [
        _merge_tasks(study, variant, merge_method, seed, adapters, base_scores, singles)
        for seed in config.seeds
        for variant in adapted
        for merge_method in config.merge_methods
        if several
    ]
    sequences = [
        _learn_in_sequence(study, variant, seed, adapters)
        for seed in config.seeds
        for variant in adapted
        if several and config.continual is not None and not variant.shared
    ]
    seconds: dict[str, float] = {}
    interference = tuple(_interference(study, adapters)) if several else ()
    for unit, taken in layout.all_seconds().items():
        seconds[stage_of(unit)] = seconds.get(stage_of(unit), 0.0) + taken
    return StudyResult(
        base=config.base,
        tasks=tuple(task.name for task in study.tasks),
        config=study.config.model_dump(mode="json"),
        base_scores=base_scores,
        singles=tuple(single for single in singles.values() if not single.shared_projection),
        controls=tuple(single for single in singles.values() if single.shared_projection),
        merges=tuple(merges),
        continual=tuple(sequences),
        interference=interference,
        mask_shapes=_mask_shapes(adapters),
        seconds=seconds,
        samples={task.name: _samples(list(singles.values()), task.name) for task in study.tasks},
        versions={"lori_core": __version__} | {package: version(package) for package in PACKAGES},
        left_out={task.name: task.left_out for task in study.tasks if task.left_out},
        notes=tuple(dict.fromkeys(note for task in study.tasks for note in task.notes)),
        machine=machine(device_name(study.work.base.model.device), str(study.work.base.opened["precision"])),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


# --- units of work ---------------------------------------------------------------------------------------------------


def _base_score(study: Study, index: int) -> Score:
    return study.unit(base_unit(index), Score, lambda: study.work.score(study.tasks[index]).score)


def _learn(study: Study, variant: Variant, index: int, seed: int) -> SingleResult:
    """One task learned by one method, and the adapter, which is kept beside the result."""
    name = single_unit(variant.label, index, seed)
    given: dict[str, Any] = {}
    if variant.method not in ("lora", "full") and not study.work.layout.unit(name).exists():
        given = {"conditions": study.conditions(variant, index)}
        # before this unit begins: its time would count that of the calibration, a unit of its own, once more
        if calibrates(study.config, variant):
            given |= {"calibrated": _calibrated(study, variant, index, seed)}

    def make() -> SingleResult:
        return learn_unit(
            study.work,
            study.tasks[index],
            variant,
            study.adapter_config(index, seed, variant),
            study.training_with(seed),
            seed,
            name,
            study.work.layout.checkpoints(name),
            **given,
        )

    return study.unit(name, SingleResult, make)


def _calibrated(study: Study, variant: Variant, index: int, seed: int) -> Calibrated:
    """The run of one task that gives LoRI-S its mask; a whole dense one is LoRI-D too, and done once for both."""
    name = calibration_unit(variant.projection, index, seed)
    run, config = study.work.layout.dense_run(name), study.adapter_config(index, seed, variant)

    def make() -> Calibration:
        training = study.training_with(seed)["lori_d"]
        conditions = study.conditions(variant, index)
        return calibrate_unit(study.work, study.tasks[index], variant, config, training, run, conditions)

    return study.work.calibrated(run, study.unit(name, Calibration, make))


def _merge_tasks(
    study: Study,
    variant: Variant,
    merge_method: str,
    seed: int,
    adapters: Mapping[Key, Adapter],
    base_scores: Mapping[str, Score],
    singles: Mapping[Key, SingleResult],
) -> MergedResult:
    """All tasks' adapters merged at one weight, the one that was best on the validation split, and at weight 1."""
    parts = [adapters[variant, task.name, seed] for task in study.tasks]

    def scores(weight: float, split: Split) -> dict[str, Score]:
        footprints = study.footprints if merge_method in NEED_FOOTPRINTS else None
        merged = merge(parts, merge_method, [weight] * len(parts), "merged", footprints)
        with applied(study.work.base.model, merged):
            return {task.name: study.work.score(task, split).score for task in study.tasks}

    def make() -> MergedResult:
        best, means = best_weight(
            study.config.merge_weights, lambda w: fmean(score.value for score in scores(w, "validation").values())
        )
        tested = scores(best, "test")
        at_one = tested if best == 1 else scores(1.0, "test")
        singly = {task.name: singles[variant, task.name, seed].score for task in study.tasks}
        return MergedResult(
            tasks=tuple(task.name for task in study.tasks),
            method=variant.study_method,
            merge=merge_method,
            shared_projection=variant.shared,
            seed=seed,
            weight=best,
            validation={str(weight): mean for weight, mean in means.items()},
            scores=tested,
            retention=retention(base_scores, singly, tested),
            loss_retention=retention(base_scores, singly, tested, less_loss),
            scores_at_one=at_one,
            retention_at_one=retention(base_scores, singly, at_one),
        )

    return study.unit(merge_unit(merge_method, variant.label, seed), MergedResult, make)


def _learn_in_sequence(study: Study, variant: Variant, seed: int, adapters: Mapping[Key, Adapter]) -> ContinualResult:
    name = sequence_unit(variant.label, seed)
    tasks = _sequence_of(study)

    random = replace(variant, conditioned=False)  # a sequence under a conditioned A begins with a random one

    def make() -> ContinualResult:
        learned = learn_in_sequence(
            study.work,
            tasks,
            variant.method,
            study.adapter_config(study.tasks.index(tasks[0]), seed, variant),
            study.training_with(seed),
            study.work.layout.checkpoints(name),
            first=adapters.get((random, tasks[0].name, seed)),
            overlap=study.config.overlap,
            later_rate=study.config.later_rate,
            later_masks=study.config.later_masks,
        )
        study.work.keep(name, learned.adapters[-1])
        return replace(learned.result, seed=seed)

    return study.unit(name, ContinualResult, make)


def _sequence_of(study: Study) -> list[Task]:
    """The order asked for; without one, safety first, since not to lose it is what people ask for."""
    order = study.config.continual
    if order:
        return [next(task for task in study.tasks if task.name == name) for name in order]
    return sorted(study.tasks, key=lambda task: task.scorer != "refusal")


def _interference(study: Study, adapters: Mapping[Key, Adapter]) -> Iterator[tuple[str, PairMatrix]]:
    """How the first seed's adapters overlap: their updates, their masks, and what they do to each other's inputs."""
    base, adapted = study.work.base, variants(study.config)
    seed = study.config.seeds[0]
    by_variant = {variant: [adapters[variant, task.name, seed] for task in study.tasks] for variant in adapted}
    control = by_variant.get(Variant("lori_d", shared=True))
    for variant, parts in by_variant.items():
        shared = None if variant.shared else control
        made: dict[str, Callable[[], PairMatrix]] = {
            "cosine": partial(cosine_matrix, parts, shared),
            "masks": partial(mask_overlap, parts),
            "function": partial(cross_talk, base.model, base.tokenizer, parts, study.tasks),
            "forecast": lambda parts=parts: forecast([untrained(part) for part in parts], study.footprints),
        }
        for measure in measures(study.config, variant):
            yield variant.label, study.unit(interference_unit(variant.label, measure), PairMatrix, made[measure])


def _mask_shapes(adapters: Mapping[Key, Adapter]) -> dict[str, tuple[int, int]]:
    """module -> (out_features, rank), the same for all adapters of a study."""
    for adapter in adapters.values():
        return {module: (mask.shape[0], mask.shape[1]) for module, mask in adapter.masks.items()}
    return {}


def _samples(singles: Sequence[SingleResult], task: str) -> tuple[Output, ...]:
    """A few outputs for reading, of the sparse adapter where there is one."""
    of_task = [single for single in singles if single.task == task]
    return max(of_task, key=lambda single: single.method == "lori_s").samples if of_task else ()
