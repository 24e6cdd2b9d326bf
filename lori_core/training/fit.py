"""Fit: an adapter goes onto the base, its trainable entries are trained on a task, and it comes off again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from lori_core.bases.attach import Attached, attach
from lori_core.bases.load import Base
from lori_core.config import TrainConfig
from lori_core.method.adapter import Adapter
from lori_core.method.masks import Masks
from lori_core.results import Training
from lori_core.tasks.task import Task, fingerprint
from lori_core.tasks.wording import wording_of
from lori_core.training.hooks import Hooks, Watcher
from lori_core.training.train import train


def fit(
    base: Base,
    task: Task,
    start: Adapter,
    config: TrainConfig,
    *,
    stage: Literal["calibrate", "train"] = "train",
    trained: Masks | None = None,
    watch: Callable[[Attached], Watcher] | None = None,
    hooks: Hooks | None = None,
    checkpoints: Path | None = None,
) -> tuple[Adapter, Training]:
    """Attach, train, extract, detach. The record says on which base, data and settings.

    Args:
        stage: what the training is for; names its events and its checkpoint.
        trained: the entries that move, where that is not all that `start` keeps.
        watch: makes what looks on while the attached adapter trains.
        checkpoints: a folder; a second call with the same arguments goes on from what is there.
    """
    attached = attach(base.model, start, trained)
    try:
        training = train(
            base.model,
            base.tokenizer,
            task.examples("train"),
            config,
            hooks=(hooks or Hooks()).named(stage=stage),
            watcher=watch and watch(attached),
            checkpoint=checkpoints and checkpoints / f"{stage}.pt",
        )
        adapter = attached.extract()
    finally:
        attached.detach()
    record = {
        "task": task.name,
        "base": base.record,
        "train": config.model_dump(),
        "examples": training.examples,
        "wording": wording_of(base, task),
        "data": {"source": task.source, "fingerprint": fingerprint(task.examples("train"))},
    }
    return replace(adapter, record=adapter.record | record), training
