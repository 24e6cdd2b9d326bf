"""The proof of concept: tasks x methods x seeds learned, merged, learned one after another, scored and compared.

Every unit of work (one adapter, one merge, one sequence) is kept in the study's folder as soon as it is done, so a
study that was stopped or killed goes on where it was.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from lori_core.bases.attach import applied, update_ratio
from lori_core.bases.load import Base, check_rank, checked_device, default_precision, open_base, target_modules
from lori_core.config import AdapterConfig, Method, StudyConfig, TrainConfig
from lori_core.errors import ConfigError, IncompatibleAdapters
from lori_core.evaluation.evaluate import Evaluation, evaluate
from lori_core.evaluation.probe import cross_talk
from lori_core.files import write_atomic
from lori_core.method.adapter import Adapter, blank
from lori_core.method.masks import Masks
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
    from_json,
    to_json,
)
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.study.pace import planned
from lori_core.tasks.chat import in_chat
from lori_core.tasks.registry import load_task
from lori_core.tasks.task import Task
from lori_core.training.calibrate import calibrate
from lori_core.training.continual import learn_sequence
from lori_core.training.learn import config_of, fine_tune, learn
from lori_core.training.recipes import later_rate, seeded, training_for
from lori_core.training.train import Hooks

Kept = TypeVar("Kept")

SAMPLES = 4  # outputs of each task that are kept for reading
PACKAGES = ("torch", "transformers", "accelerate", "datasets")


@dataclass(frozen=True)
class Variant:
    """How adapters came about: by which method, and whether all tasks share one A (the control)."""

    method: Method
    shared: bool = False

    @property
    def label(self) -> str:
        return f"{self.method}_shared" if self.shared else self.method


@dataclass(frozen=True, eq=False)
class Study:
    """What every unit of work needs."""

    config: StudyConfig
    base: Base
    tasks: tuple[Task, ...]
    training: dict[Method, TrainConfig]
    folder: Path
    hooks: Hooks

    @property
    def variants(self) -> list[Variant]:
        """Those that leave adapters; the control is LoRI-D with one A for all tasks."""
        variants = [Variant(method) for method in self.config.methods if method != "full"]
        several = len(self.tasks) > 1 and self.config.shared_control and variants
        return [*variants, Variant("lori_d", shared=True)] if several else variants

    def score(self, task: Task, split: str = "test") -> Evaluation:
        """base.model as it is now, bare or with an adapter, on one task."""
        limit = self.config.validation_examples if split == "validation" else self.config.test_examples
        return evaluate(self.base.model, self.base.tokenizer, task, split, limit, on_event=self._evaluating)

    def adapter_config(self, index: int, seed: int, shared: bool = False) -> AdapterConfig:
        """Of the task at that place; orthogonal projections give each task its own row block."""
        slots = {"slot": index, "slots": len(self.tasks)} if self.config.adapter.projection == "orthogonal" else {}
        first = self.config.adapter.projection_seed
        return self.config.adapter.changed(projection_seed=first + seed, shared_projection=shared, **slots)

    def training_with(self, seed: int) -> dict[Method, TrainConfig]:
        return seeded(self.training, seed)

    def keep(self, name: str, adapter: Adapter) -> Adapter:
        """The adapter as it comes back from the disk, so that a study that goes on works with the same bits."""
        folder = self.folder / "adapters" / name
        if folder.exists():  # of a sitting that was killed before the unit's result was written
            shutil.rmtree(folder)
        save_adapter(adapter, folder)
        return load_adapter(folder)

    def adapter(self, name: str) -> Adapter:
        return load_adapter(self.folder / "adapters" / name)

    def file_bytes(self, name: str) -> int:
        return sum(path.stat().st_size for path in (self.folder / "adapters" / name).iterdir())

    def checkpoints(self, name: str) -> Path:
        return self.folder / "checkpoints" / name

    def unit(self, name: str, kind: type[Kept], make: Callable[[], Kept]) -> Kept:
        """The result of one unit of work: from the folder if it was done before, else made, timed and kept."""
        path = self.folder / "units" / f"{name}.json"
        if not path.exists():
            self.hooks.on_event({"kind": "unit", "name": name, "state": "started"})
            start = time.perf_counter()
            result = make()
            write_atomic(self.folder / "seconds" / name, str(time.perf_counter() - start))
            write_atomic(path, to_json(result))
        self.hooks.on_event({"kind": "unit", "name": name, "state": "done"})
        return from_json(kind, path.read_text(encoding="utf-8"))

    def seconds(self) -> dict[str, float]:
        """stage -> wall time of all sittings; the stage is the first part of a unit's name."""
        total: dict[str, float] = {}
        for path in sorted((self.folder / "seconds").glob("*")):
            stage = path.name.split("-")[0]
            total[stage] = total.get(stage, 0.0) + float(path.read_text())
        return total

    def _evaluating(self, event: dict) -> None:
        self.hooks.on_event(event)
        self.hooks.check_stop()


def open_study(config: StudyConfig, folder: Path, hooks: Hooks | None = None) -> Study:
    """Load everything that can be refused before any work begins.

    Raises:
        ConfigError: a task stands twice, the continual order names a task that is not in the study, or the rank is
            too large. IncompatibleAdapters: no merge method of that name. ModelError: no module of that name.
    """
    if wrong := set(config.merge_methods) - MERGE_METHODS.keys():
        raise IncompatibleAdapters("unknown_merge", method=min(wrong), known=", ".join(MERGE_METHODS))
    tasks = tuple(load_task(spec, config.allow_code_execution) for spec in config.tasks)
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        raise ConfigError("same_task_twice", tasks=", ".join(names))
    if unknown := set(config.continual or ()) - set(names):
        raise ConfigError("not_in_study", unknown=", ".join(sorted(unknown)), known=", ".join(names))
    config = config.changed(precision=config.precision or default_precision(checked_device(config.device), config.base))
    base = open_base(config)
    if config.chat:
        base, tasks = in_chat(base, tasks)
    check_rank(target_modules(base.model, config.adapter.target_modules), config.adapter.rank)
    return Study(config, base, tasks, training_for(config.base, config.train), folder, hooks or Hooks())


def run_study(config: StudyConfig, folder: Path, hooks: Hooks | None = None) -> StudyResult:
    """All of it, in the order in which it makes sense to watch.

    Args:
        folder: keeps what is done; a second call with the same config goes on from there.
    """
    study = open_study(config, folder, hooks)
    done = sorted(path.stem for path in (folder / "units").glob("*.json"))
    study.hooks.on_event(study.base.opened)
    study.hooks.on_event({"kind": "plan", "units": len(planned(config)), "done": done})
    base_scores = {task.name: _base_score(study, index) for index, task in enumerate(study.tasks)}
    learned = {
        (variant, task.name, seed): _learn(study, variant, index, seed)
        for seed in config.seeds
        for index, task in enumerate(study.tasks)
        for variant in [*study.variants, *([Variant("full")] if "full" in config.methods else [])]
    }
    singles = {key: single for key, (single, _) in learned.items()}
    adapters = {key: adapter for key, (_, adapter) in learned.items() if adapter}
    several = len(study.tasks) > 1
    merges = [
        _merge_tasks(study, variant, merge_method, seed, adapters, base_scores, singles)
        for seed in config.seeds
        for variant in study.variants
        for merge_method in config.merge_methods
        if several
    ]
    sequences = [
        _learn_in_sequence(study, variant, seed, adapters)
        for seed in config.seeds
        for variant in study.variants
        if several and config.continual is not None and not variant.shared
    ]
    return StudyResult(
        base=config.base,
        tasks=tuple(task.name for task in study.tasks),
        config=study.config.model_dump(mode="json"),
        base_scores=base_scores,
        singles=tuple(single for single in singles.values() if not single.shared_projection),
        controls=tuple(single for single in singles.values() if single.shared_projection),
        merges=tuple(merges),
        continual=tuple(sequences),
        interference=tuple(_interference(study, adapters)) if several else (),
        mask_shapes=_mask_shapes(adapters),
        seconds=study.seconds(),
        samples={task.name: _samples(list(singles.values()), task.name) for task in study.tasks},
        versions={package: version(package) for package in PACKAGES},
        notes=tuple(dict.fromkeys(note for task in study.tasks for note in task.notes)),
    )


# --- units of work ---------------------------------------------------------------------------------------------------

Key = tuple[Variant, str, int]  # variant, task name, seed


def _base_score(study: Study, index: int) -> Score:
    return study.unit(f"base-{index}", Score, lambda: study.score(study.tasks[index]).score)


def _learn(study: Study, variant: Variant, index: int, seed: int) -> tuple[SingleResult, Adapter | None]:
    """One task learned by one method, and the adapter, which is kept beside the result."""
    name = f"single-{variant.label}-{index}-{seed}"
    make = _fine_tuned if variant.method == "full" else _adapted
    single = study.unit(name, SingleResult, lambda: make(study, variant, index, seed, name))
    return single, None if variant.method == "full" else study.adapter(name)


def _adapted(study: Study, variant: Variant, index: int, seed: int, name: str) -> SingleResult:
    task = study.tasks[index]
    learning = partial(
        learn,
        study.base,
        task,
        variant.method,
        study.adapter_config(index, seed, variant.shared),
        study.training_with(seed),
        hooks=study.hooks.named(task=task.name, method=variant.label),
        checkpoints=study.checkpoints(name),
    )
    calibration = None
    if variant.method == "lora":
        learned = learning()
        adapter, training = learned.adapter, learned.training
    else:
        calibration, adapter, masks = _calibrated(study, variant, index, seed)
        training = calibration.training
        if variant.method == "lori_s":
            learned = learning(masks=masks)
            adapter, training = learned.adapter, learned.training
    adapter = study.keep(name, adapter)
    with applied(study.base.model, adapter):
        test, validation = study.score(task), study.score(task, "validation")
    return SingleResult(
        task=task.name,
        method=variant.method,
        seed=seed,
        score=test.score,
        validation=validation.score,
        trained_parameters=adapter.trained_parameters,
        file_bytes=study.file_bytes(name),
        seconds=training.seconds + (calibration.training.seconds if variant.method == "lori_s" and calibration else 0),
        update_ratio=update_ratio(study.base.model, adapter),
        training=training,
        calibration=calibration if variant.method == "lori_s" else None,
        shared_projection=variant.shared,
        samples=test.outputs[:SAMPLES],
    )


def _calibrated(study: Study, variant: Variant, index: int, seed: int) -> tuple[Calibration, Adapter, Masks]:
    """The dense run of one task: it is LoRI-D, and it gives LoRI-S its mask. Done once for both."""
    name = f"calibrate-{'shared' if variant.shared else 'own'}-{index}-{seed}"
    task, config = study.tasks[index], study.adapter_config(index, seed, variant.shared)
    shapes = target_modules(study.base.model, config.target_modules)

    def make() -> Calibration:
        calibrated = calibrate(
            study.base,
            task,
            blank(task.name, shapes, config_of("lori_d", config)),
            config,
            study.training_with(seed)["lori_d"],
            hooks=study.hooks.named(task=task.name, method=variant.label, stage="calibrate"),
            checkpoint=study.checkpoints(name) / "calibrate.pt",
        )
        study.keep(f"{name}-dense", calibrated.dense)
        study.keep(f"{name}-mask", calibrated.dense.with_masks(calibrated.masks))
        return calibrated.report

    calibration = study.unit(name, Calibration, make)
    return calibration, study.adapter(f"{name}-dense"), study.adapter(f"{name}-mask").masks


def _fine_tuned(study: Study, variant: Variant, index: int, seed: int, name: str) -> SingleResult:
    task = study.tasks[index]
    hooks = study.hooks.named(task=task.name, method="full")
    config = study.training_with(seed)["full"]
    tuned, training = fine_tune(study.base, task, config, hooks=hooks, checkpoints=study.checkpoints(name))
    tuned_study = replace(study, base=tuned)
    test, validation = tuned_study.score(task), tuned_study.score(task, "validation")
    return SingleResult(
        task=task.name,
        method="full",
        seed=seed,
        score=test.score,
        validation=validation.score,
        trained_parameters=training.trained_parameters,
        file_bytes=None,
        seconds=training.seconds,
        update_ratio=None,
        training=training,
        samples=test.outputs[:SAMPLES],
    )


def _merge_tasks(
    study: Study,
    variant: Variant,
    merge_method: str,
    seed: int,
    adapters: Mapping[Key, Adapter],
    base_scores: Mapping[str, Score],
    singles: Mapping[Key, SingleResult],
) -> MergedResult:
    """All tasks' adapters merged at one weight, the one that was best on the validation split."""
    parts = [adapters[variant, task.name, seed] for task in study.tasks]

    def scores(weight: float, split: str) -> dict[str, Score]:
        merged = merge(parts, merge_method, [weight] * len(parts), "merged")
        with applied(study.base.model, merged):
            return {task.name: study.score(task, split).score for task in study.tasks}

    def make() -> MergedResult:
        weights = study.config.merge_weights
        means = {w: fmean(score.value for score in scores(w, "validation").values()) for w in weights}
        best = max(weights, key=means.__getitem__)
        tested = scores(best, "test")
        singly = {task.name: singles[variant, task.name, seed].score for task in study.tasks}
        return MergedResult(
            tasks=tuple(task.name for task in study.tasks),
            method=variant.method,
            merge=merge_method,
            shared_projection=variant.shared,
            seed=seed,
            weight=best,
            validation={str(weight): mean for weight, mean in means.items()},
            scores=tested,
            retention=_retention(base_scores, singly, tested),
        )

    return study.unit(f"merge-{merge_method}-{variant.label}-{seed}", MergedResult, make)


def _retention(base: Mapping[str, Score], single: Mapping[str, Score], merged: Mapping[str, Score]) -> dict[str, float]:
    """(merged - base) / (single - base) of each task on which the single adapter gained anything."""
    gains = {task: single[task].value - base[task].value for task in single}
    return {task: (merged[task].value - base[task].value) / gain for task, gain in gains.items() if gain > 0}


def _learn_in_sequence(study: Study, variant: Variant, seed: int, adapters: Mapping[Key, Adapter]) -> ContinualResult:
    name = f"continual-{variant.label}-{seed}"
    tasks = _sequence_of(study)

    def make() -> ContinualResult:
        learned = learn_sequence(
            study.base,
            tasks,
            variant.method,
            study.adapter_config(study.tasks.index(tasks[0]), seed),
            study.training_with(seed),
            lambda task: study.score(task).score,
            overlap=study.config.overlap,
            later_rate=later_rate(study.config.base, variant.method, study.config.later_rate),
            first=adapters[variant, tasks[0].name, seed],
            hooks=study.hooks,
            checkpoints=study.checkpoints(name),
        )
        study.keep(name, learned.adapters[-1])
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
    by_variant = {
        variant: [adapters[variant, task.name, study.config.seeds[0]] for task in study.tasks]
        for variant in study.variants
    }
    control = by_variant.get(Variant("lori_d", shared=True))
    for variant, parts in by_variant.items():
        shared = None if variant.shared else control
        measures: dict[str, Callable[[], PairMatrix]] = {"cosine": partial(cosine_matrix, parts, shared)}
        if variant.method == "lori_s":  # a mask that keeps everything overlaps wholly and says nothing
            measures["masks"] = partial(mask_overlap, parts)
        measures["function"] = partial(cross_talk, study.base.model, study.base.tokenizer, parts, study.tasks)
        for measure, make in measures.items():
            yield variant.label, study.unit(f"interference-{variant.label}-{measure}", PairMatrix, make)


def _mask_shapes(adapters: Mapping[Key, Adapter]) -> dict[str, tuple[int, int]]:
    """module -> (out_features, rank), the same for all adapters of a study."""
    for adapter in adapters.values():
        return {module: (mask.shape[0], mask.shape[1]) for module, mask in adapter.masks.items()}
    return {}


def _samples(singles: Sequence[SingleResult], task: str) -> tuple[Output, ...]:
    """A few outputs for reading, of the sparse adapter where there is one."""
    of_task = [single for single in singles if single.task == task]
    return max(of_task, key=lambda single: single.method == "lori_s").samples if of_task else ()
