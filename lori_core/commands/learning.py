"""Commands that teach: study, calibrate, train, continual."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lori_core.commands.options import (
    Granularities,
    Language,
    Modules,
    OneMethod,
    OneTask,
    Out,
    Projections,
    Rank,
    Rates,
    Seed,
    Sparsity,
    Steps,
    Store,
    Tasks,
    adapter_config,
    choices,
    names_base,
    seed_list,
    train_configs,
)
from lori_core.commands.running import start
from lori_core.commands.telling import told
from lori_core.config import CalibrateJob, ContinualJob, Method, StudyConfig, TrainJob

DEFAULTS = StudyConfig()
TASKS, METHODS, MERGES = (
    list(DEFAULTS.tasks),
    [str(method) for method in DEFAULTS.methods],
    list(DEFAULTS.merge_methods),
)


@names_base
def study(
    tasks: Tasks = TASKS,
    methods: Annotated[list[str], typer.Option("--method", help=f"{choices(Method)}. Repeat it.")] = METHODS,
    sparsity: Sparsity = None,
    rank: Rank = None,
    granularity: Granularities = None,
    projection: Projections = None,
    modules: Modules = None,
    seeds: Annotated[str, typer.Option(help="Separated by commas: 0,1,2")] = "0",
    steps: Steps = None,
    rates: Rates = None,
    merge_methods: Annotated[list[str], typer.Option("--merge-method", help="Repeat it.")] = MERGES,
    *,
    base: dict[str, Any],
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
            tasks=tasks,
            methods=methods,
            adapter=adapter_config(rank, sparsity, granularity, projection, modules),
            train=train_configs(base["base"], steps, rates),
            seeds=seed_list(seeds),
            merge_methods=merge_methods,
        )


@names_base
def calibrate(
    task: OneTask,
    sparsity: Sparsity = None,
    rank: Rank = None,
    granularity: Granularities = None,
    projection: Projections = None,
    modules: Modules = None,
    seed: Seed = 0,
    steps: Steps = None,
    rates: Rates = None,
    *,
    base: dict[str, Any],
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
            adapter=adapter_config(rank, sparsity, granularity, projection, modules),
            train=train_configs(base["base"], steps, rates),
            seed=seed,
        )


@names_base
def train(
    task: OneTask,
    method: OneMethod = "lori_s",
    mask: Annotated[str | None, typer.Option(help="A mask file, or an adapter whose mask is used (LoRI-S).")] = None,
    sparsity: Sparsity = None,
    rank: Rank = None,
    granularity: Granularities = None,
    projection: Projections = None,
    modules: Modules = None,
    seed: Seed = 0,
    steps: Steps = None,
    rates: Rates = None,
    store: Store = None,
    *,
    base: dict[str, Any],
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Learn one task, keep its adapter and score it; LoRI-S calibrates its mask first."""
    with told(language):
        start(
            out,
            language,
            "train",
            TrainJob,
            **base,
            task=task,
            method=method,
            mask=mask,
            adapter=adapter_config(rank, sparsity, granularity, projection, modules),
            train=train_configs(base["base"], steps, rates),
            seed=seed,
            store=None if store is None else str(store),
        )


@names_base
def continual(
    tasks: Tasks,
    method: OneMethod = "lori_s",
    overlap: Annotated[str, typer.Option(help="May a new mask use entries of earlier ones? allow | exclude")] = "allow",
    sparsity: Sparsity = None,
    rank: Rank = None,
    granularity: Granularities = None,
    projection: Projections = None,
    modules: Modules = None,
    seed: Seed = 0,
    steps: Steps = None,
    rates: Rates = None,
    store: Store = None,
    *,
    base: dict[str, Any],
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
            tasks=tasks,
            method=method,
            overlap=overlap,
            adapter=adapter_config(rank, sparsity, granularity, projection, modules),
            train=train_configs(base["base"], steps, rates),
            seed=seed,
            store=None if store is None else str(store),
        )
