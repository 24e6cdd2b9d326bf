"""Units of work: one task calibrated, learned, kept and scored. A training job is one of them, a study many."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState

from lori_core.bases.attach import applied
from lori_core.bases.load import Base, check_rank, default_device, open_base, target_modules
from lori_core.config import NEED_FOOTPRINTS, AdapterConfig, BaseConfig, Method, Split, StudyMethod, TrainConfig
from lori_core.errors import AdapterError, ConfigError, IncompatibleAdapters, TaskError
from lori_core.evaluation.evaluate import Evaluation, evaluate
from lori_core.files import folder_size
from lori_core.method.adapter import Adapter, blank
from lori_core.method.conditioned import Conditions
from lori_core.method.footprint import EXACT
from lori_core.method.masks import kept_count
from lori_core.processes import base_is_shared, process_count
from lori_core.results import Calibration, Score, SingleResult
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.storage.store import checked_name
from lori_core.study.layout import DenseRun, Layout, Variant, variant_of, variants
from lori_core.study.specs import ContinualJob, StudyConfig
from lori_core.tasks.chat import in_chat
from lori_core.tasks.registry import load_task
from lori_core.tasks.task import Task
from lori_core.training.beside import learn_beside
from lori_core.training.calibrate import Calibrated, calibrate
from lori_core.training.continual import LearnedSequence, learn_sequence
from lori_core.training.hooks import Hooks
from lori_core.training.learn import config_of, fine_tune, learn, projections_of

SAMPLES = 4  # outputs of each task that are kept for reading


@dataclass(frozen=True, eq=False)
class Work:
    """What units of work share. limits: split -> how many examples are scored, None: all."""

    base: Base
    tasks: tuple[Task, ...]
    layout: Layout
    hooks: Hooks
    limits: Mapping[Split, int | None]

    def score(self, task: Task, split: Split = "test", base: Base | None = None, **how: Any) -> Evaluation:
        """The base as it is now, bare or with an adapter, on one task. how: options of evaluate()."""

        def on_event(event: dict[str, Any]) -> None:
            self.hooks.on_event(event)
            self.hooks.check_stop()

        base = base or self.base
        return evaluate(base.model, base.tokenizer, task, split, self.limits[split], on_event=on_event, **how)

    def keep(self, name: str, adapter: Adapter) -> Adapter:
        return keep(self.layout, name, adapter)

    def adapter(self, name: str) -> Adapter:
        return load_adapter(self.layout.adapter(name))

    def calibrated(self, run: DenseRun, report: Calibration) -> Calibrated:
        """A dense run that was kept."""
        return Calibrated(self.adapter(run.dense), self.adapter(run.mask).masks, report)


def keep(layout: Layout, name: str, adapter: Adapter) -> Adapter:
    """The adapter as it comes back from the disk: what is scored, merged and gone on with is what was kept."""
    folder = layout.adapter(name)
    if folder.exists():  # of a sitting that was killed before the unit's result was written
        shutil.rmtree(folder)
    save_adapter(adapter, folder)
    return load_adapter(folder)


def load_tasks(specs: Sequence[str], allow_code_execution: bool) -> tuple[Task, ...]:
    """The tasks of a study or a job; raises ConfigError where one stands twice."""
    tasks = tuple(load_task(spec, allow_code_execution) for spec in specs)
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        raise ConfigError("same_task_twice", tasks=", ".join(names))
    return tasks


def check_splits(tasks: Sequence[Task], splits: Sequence[Split]) -> None:
    """Raises TaskError, before any work, where a task has no examples in a split that will be needed."""
    for task in tasks:
        for split in splits:
            if not task.examples(split):
                raise TaskError("empty_split", task=task.name, split=split)


def open_work(
    config: BaseConfig, tasks: tuple[Task, ...], folder: Path, hooks: Hooks, limits: Mapping[Split, int | None]
) -> Work:
    """The base is loaded, once all processes of a launch have met, and what wraps prompts is put around the tasks.

    Raises:
        StorageError: a store could not take what a sequence leaves. IncompatibleAdapters: a study's merge cannot work.
    """
    if isinstance(config, ContinualJob) and config.store is not None:
        _check_names(tasks)
    if process_count() > 1:
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"  # else transformers fills the base of others with zeros
        PartialState(cpu=(config.device or default_device()) == "cpu")  # from now on "cuda" is the process's own GPU
    base = open_base(config, process_count() if base_is_shared() else 1)
    if isinstance(config, StudyConfig):
        _check_removal(config, base)
    hooks.on_event(base.opened)
    for task in tasks:
        if task.left_out:
            hooks.on_event({"kind": "left_out", "task": task.name, "rows": task.left_out})
    if config.chat:
        base, tasks = in_chat(base, tasks)
    return Work(base, tasks, Layout(folder), hooks, limits)


def _check_names(tasks: Sequence[Task]) -> None:
    """After each task a store takes a version, named by all tasks so far; raises StorageError."""
    for count in range(1, len(tasks) + 1):
        checked_name("+".join(task.name for task in tasks[:count]))


def _check_removal(config: StudyConfig, base: Base) -> None:
    """Of a wide input a footprint knows some random directions, which no A reads alone but one conditioned on them.

    Raises:
        IncompatibleAdapters: a study would train adapters that its merge method cannot take.
    """
    merges = [method for method in config.merge_methods if method in NEED_FOOTPRINTS and len(config.tasks) > 1]
    random = [variant.label for variant in variants(config) if not variant.conditioned]
    if not merges or not random:
        return
    known = config.adapter.directions
    for module, (_, width) in target_modules(base.model, config.adapter.target_modules).items():
        if width > max(EXACT, known):
            found = {"module": module, "width": width, "directions": known}
            raise IncompatibleAdapters("removal_of_wide_input", merge=merges[0], method=random[0], **found)


def check_fit(work: Work, methods: Sequence[StudyMethod], config: AdapterConfig) -> None:
    """Refuses what would show only once a dense run has been trained, too.

    Raises:
        ConfigError: the methods and the settings contradict each other, or the base is too narrow.
        AdapterError: the mask of LoRI-S would keep nothing.
    """
    shapes = target_modules(work.base.model, config.target_modules)
    entries = sum(out_features for out_features, _ in shapes.values()) * config.rank
    for method in methods:
        if method == "full":
            continue
        learned = config_of(variant_of(method).method, config)
        if learned.method == "lori_s" and kept_count(entries, learned.sparsity) == 0:
            raise AdapterError("mask_keeps_nothing", sparsity=learned.sparsity, entries=entries)
    check_rank(shapes, config.rank)


def calibrate_unit(
    work: Work,
    task: Task,
    variant: Variant,
    config: AdapterConfig,
    training: TrainConfig,
    run: DenseRun,
    conditions: Conditions | None = None,
) -> Calibration:
    """The run and its mask, both kept as adapters; returns the report, which the caller keeps."""
    shapes = target_modules(work.base.model, config.target_modules)
    kept = config_of("lori_d", config).changed(calibration=config.calibration)  # so that the mask tells its origin
    made = calibrate(
        work.base,
        task,
        blank(task.name, shapes, kept, projections=projections_of(config, shapes, conditions)),
        config,
        training,
        hooks=work.hooks.named(task=task.name, method=variant.label),
        checkpoints=run.checkpoints,
    )
    work.keep(run.dense, made.dense)
    work.keep(run.mask, made.dense.with_masks(made.masks))
    return made.report


def learn_unit(
    work: Work,
    task: Task,
    variant: Variant,
    config: AdapterConfig,
    training: Mapping[Method, TrainConfig],
    seed: int,
    name: str,
    checkpoints: Path,
    **given: Any,
) -> SingleResult:
    """One adapter learned, kept under the name, and scored.

    Args:
        given: what was made earlier: `calibrated`, `masks` or `conditions` of learn().
    """
    if variant.method == "full":
        return _fine_tune_unit(work, task, training["full"], seed, checkpoints)
    hooks = work.hooks.named(task=task.name, method=variant.label)
    learned = learn(work.base, task, variant.method, config, training, hooks=hooks, checkpoints=checkpoints, **given)
    adapter, calibration = work.keep(name, learned.adapter), learned.calibration
    with applied(work.base.model, adapter):
        test, validation = work.score(task), work.score(task, "validation")
    return SingleResult(
        task=task.name,
        method=variant.study_method,
        seed=seed,
        score=test.score,
        validation=validation.score,
        trained_parameters=adapter.trained_parameters,
        file_bytes=folder_size(work.layout.adapter(name)),
        seconds=learned.training.seconds + (calibration.training.seconds if calibration else 0),
        update_ratio=learned.update_ratio,
        training=learned.training,
        calibration=calibration,
        shared_projection=variant.shared,
        samples=test.outputs[:SAMPLES],
    )


def _fine_tune_unit(work: Work, task: Task, config: TrainConfig, seed: int, checkpoints: Path) -> SingleResult:
    """Full fine-tuning: nothing is kept but its scores."""
    hooks = work.hooks.named(task=task.name, method="full")
    tuned, training = fine_tune(work.base, task, config, hooks=hooks, checkpoints=checkpoints)
    test, validation = work.score(task, base=tuned), work.score(task, "validation", base=tuned)
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


def learn_in_sequence(
    work: Work,
    tasks: Sequence[Task],
    method: Method,
    config: AdapterConfig,
    training: dict[Method, TrainConfig],
    checkpoints: Path,
    first: Adapter | None = None,
    **later: Any,
) -> LearnedSequence:
    """Under a conditioned A earlier adapters stay beside the new one; else one adapter goes on, as the paper has it.

    Args:
        first: the adapter of the first task, where it was learned already; under a conditioned A it has a random one.
        later: of the paper's way, options of learn_sequence(): overlap, later_rate, later_masks.
    """

    def score(task: Task) -> Score:
        return work.score(task).score

    given = (work.base, tasks, method, config, training, score)
    how: dict[str, Any] = {"first": first, "hooks": work.hooks, "checkpoints": checkpoints}
    if config.projection == "conditioned" and method != "lora":  # a trained A would not stay what it was
        return learn_beside(*given, **how)
    return learn_sequence(*given, **how, **later)
