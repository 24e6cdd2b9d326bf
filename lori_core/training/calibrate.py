"""Calibrate: train dense B on the task, then keep the entries that moved most.

    mask = the round((1 - sparsity) N) entries of largest |B - B at the start|, ranked over all modules together

From B = 0 this is the paper's |B| (arXiv 2504.07448, section 3.2); in a sequence, where B starts at what earlier tasks
left, it is what the new task moved.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lori_core.bases.attach import Attached, attach
from lori_core.bases.load import Base
from lori_core.config import AdapterConfig, TrainConfig
from lori_core.method.adapter import Adapter
from lori_core.method.masks import Masks, jaccard, kept_fractions, magnitude_masks
from lori_core.results import Calibration, MaskLook, Training
from lori_core.tasks.task import Task, fingerprint
from lori_core.training.train import Hooks, train

LOOK_EVERY = 5  # steps between two looks at the mask that would result now
STABLE = 0.9  # Jaccard of two looks above which the mask counts as settled ...
STABLE_LOOKS = 2  # ... so many times in a row


@dataclass(frozen=True, eq=False)
class Calibrated:
    """dense: the adapter after the dense run (LoRI-D); movement: module -> (out_features, rank), B minus its start."""

    dense: Adapter
    movement: Mapping[str, Tensor]
    masks: dict[str, Tensor]
    report: Calibration


def calibrate(
    base: Base,
    task: Task,
    start: Adapter,
    config: AdapterConfig,
    train_config: TrainConfig,
    *,
    exclude: Masks | None = None,
    stop_when_stable: bool = False,
    hooks: Hooks | None = None,
    checkpoint: Path | None = None,
) -> Calibrated:
    """Train all of B from `start` and take the mask.

    Args:
        start: an adapter whose mask is all True: blank, or dense with what earlier tasks left.
        config: sparsity and granularity of the mask.
        exclude: entries that the mask must leave to earlier tasks.
        stop_when_stable: end the dense run once the mask has stopped moving; off is the paper's way.
    """
    hooks = hooks or Hooks()
    attached = attach(base.model, start)
    watch = MaskWatch(attached, config, exclude, stop_when_stable, hooks)
    try:
        training = train(
            base.model,
            base.tokenizer,
            task.examples("train"),
            train_config,
            hooks=hooks,
            watcher=watch,
            checkpoint=checkpoint,
        )
        dense = attached.extract()
    finally:
        attached.detach()
    movement = moved(dense, start)
    masks = magnitude_masks(movement, config.sparsity, config.granularity, exclude)
    report = Calibration(
        task=task.name,
        sparsity=config.sparsity,
        looks=tuple(watch.looks),
        training=training,
        stopped_early=training.steps < train_config.steps,
        kept=kept_fractions(masks),
    )
    dense = replace(dense, record=dense.record | record_of(base, task, train_config, training))
    return Calibrated(dense, movement, masks, report)


def record_of(base: Base, task: Task, config: TrainConfig, training: Training) -> dict[str, Any]:
    """What a trained adapter says of how it came about."""
    return {
        "task": task.name,
        "base": base.record,
        "train": config.model_dump(),
        "examples": training.examples,
        "data": {"source": task.source, "fingerprint": fingerprint(task.examples("train"))},
    }


def moved(dense: Adapter, start: Adapter) -> dict[str, Tensor]:
    """module -> (out_features, rank), how far each entry of B is from where it started."""
    return {module: factors.B - start.factors[module].B for module, factors in dense.factors.items()}


class MaskWatch:
    """Looks, every LOOK_EVERY steps, at the mask that would result now, and how it differs from the look before."""

    def __init__(
        self, attached: Attached, config: AdapterConfig, exclude: Masks | None, stop_when_stable: bool, hooks: Hooks
    ) -> None:
        self.attached, self.config, self.exclude = attached, config, exclude
        self.stop_when_stable, self.hooks = stop_when_stable, hooks
        self.looks: list[MaskLook] = []
        self.last: dict[str, Tensor] | None = None

    def after_step(self, step: int) -> bool:
        if step % LOOK_EVERY:
            return False
        movement = moved(self.attached.extract(), self.attached.adapter)
        masks = magnitude_masks(movement, self.config.sparsity, self.config.granularity, self.exclude)
        overlap = None if self.last is None else jaccard(masks, self.last)
        look = MaskLook(step, overlap, kept_fractions(masks))
        self.looks.append(look)
        self.last = masks
        self.hooks.on_event({"kind": "mask", "step": step, "jaccard": look.jaccard, "kept": look.kept})
        return self.stop_when_stable and self.is_stable()

    def is_stable(self) -> bool:
        recent = self.looks[-STABLE_LOOKS:]
        return len(recent) == STABLE_LOOKS and all((look.jaccard or 0) >= STABLE for look in recent)

    def state(self) -> dict[str, Any]:
        return {"looks": [vars(look) for look in self.looks], "last": self.last}

    def restore(self, state: dict[str, Any]) -> None:
        self.looks = [MaskLook(**look) for look in state["looks"]]
        self.last = state["last"]


def as_dense(adapter: Adapter) -> Adapter:
    """The same update with a mask that is all True, so that every entry may move."""
    return adapter.with_masks({module: torch.ones_like(mask) for module, mask in adapter.masks.items()})
