"""Commands that train: study, calibrate, train, continual."""

from pathlib import Path
from typing import Annotated

import typer

from lori_core.commands.footprints import footprint_folder, tasks_and_footprints
from lori_core.commands.options import (
    Group,
    Language,
    LaterMasksOption,
    LaterRate,
    OneMethod,
    OneTask,
    Out,
    Seed,
    Store,
    Tasks,
    TestExamples,
    adapter_config,
    choices,
    seed_list,
    train_configs,
    with_groups,
)
from lori_core.commands.running import start
from lori_core.commands.telling import told
from lori_core.config import StudyMethod
from lori_core.study.specs import CalibrateJob, ContinualJob, StudyConfig, TrainJob

DEFAULTS = StudyConfig()
TASKS, METHODS, MERGES = (
    list(DEFAULTS.tasks),
    [str(method) for method in DEFAULTS.methods],
    list(DEFAULTS.merge_methods),
)


@with_groups
def study(
    tasks: Tasks = TASKS,
    methods: Annotated[list[str], typer.Option("--method", help=f"{choices(StudyMethod)}. Repeat it.")] = METHODS,
    seeds: Annotated[str, typer.Option(help="Separated by commas: 0,1,2")] = "0",
    merge_methods: Annotated[list[str], typer.Option("--merge-method", help="Repeat it.")] = MERGES,
    footprints: Annotated[
        list[str] | None,
        typer.Option(
            "--footprint",
            help="What a conditioned A shall not read in place of the other tasks, as a folder or NAME@3. Repeat it.",
        ),
    ] = None,
    later_rate: LaterRate = DEFAULTS.later_rate,
    later_masks: LaterMasksOption = DEFAULTS.later_masks,
    test_examples: TestExamples = DEFAULTS.test_examples,
    *,
    adapter: Group,
    training: Group,
    base: Group,
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """The proof of concept: learn each task by each method, merge, learn in sequence, compare; a report at the end."""
    with told(language):
        start(
            out,
            language,
            "study",
            StudyConfig,
            **base,
            test_examples=test_examples,
            tasks=tasks,
            methods=methods,
            adapter=adapter_config(adapter),
            train=train_configs(base["base"], **training),
            seeds=seed_list(seeds),
            merge_methods=merge_methods,
            footprints=[str(footprint_folder(each, None)) for each in footprints or []],
            later_rate=later_rate,
            later_masks=later_masks,
        )


@with_groups
def calibrate(
    task: OneTask,
    seed: Seed = 0,
    *,
    adapter: Group,
    training: Group,
    base: Group,
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Find the mask of one task by a dense run; the mask can be used again with `lori train --mask`."""
    with told(language):
        start(
            out,
            language,
            "calibrate",
            CalibrateJob,
            **base,
            task=task,
            adapter=adapter_config(adapter),
            train=train_configs(base["base"], **training),
            seed=seed,
        )


@with_groups
def train(
    task: OneTask,
    method: OneMethod = "lori_s",
    mask: Annotated[str | None, typer.Option(help="A mask file, or an adapter whose mask is used (LoRI-S).")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="For --projection conditioned: what A shall not read, a task, or a footprint as a folder or NAME@3. "
            "Repeat it."
        ),
    ] = None,
    seed: Seed = 0,
    store: Store = None,
    test_examples: TestExamples = DEFAULTS.test_examples,
    *,
    adapter: Group,
    training: Group,
    base: Group,
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Learn one task, keep its adapter and score it; LoRI-S calibrates its mask first."""
    with told(language):
        tasks, footprints = tasks_and_footprints(against or [], store)
        start(
            out,
            language,
            "train",
            TrainJob,
            **base,
            test_examples=test_examples,
            task=task,
            method=method,
            mask=mask,
            against=tasks,
            footprints=footprints,
            adapter=adapter_config(adapter),
            train=train_configs(base["base"], **training),
            seed=seed,
            store=store,
        )


@with_groups
def continual(
    tasks: Tasks,
    method: OneMethod = "lori_s",
    overlap: Annotated[str, typer.Option(help="May a new mask use entries of earlier ones? allow | exclude")] = "allow",
    later_rate: LaterRate = DEFAULTS.later_rate,
    later_masks: LaterMasksOption = DEFAULTS.later_masks,
    seed: Seed = 0,
    store: Store = None,
    test_examples: TestExamples = DEFAULTS.test_examples,
    *,
    adapter: Group,
    training: Group,
    base: Group,
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Learn tasks one after another in one adapter, in the order given, and see what is forgotten."""
    with told(language):
        start(
            out,
            language,
            "continual",
            ContinualJob,
            **base,
            test_examples=test_examples,
            tasks=tasks,
            method=method,
            overlap=overlap,
            later_rate=later_rate,
            later_masks=later_masks,
            adapter=adapter_config(adapter),
            train=train_configs(base["base"], **training),
            seed=seed,
            store=store,
        )
