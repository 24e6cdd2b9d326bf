"""Calibration: train B on the task, then keep the entries that matter most to it.

    mask = the round((1 - sparsity) N) entries of largest score, ranked over all modules together

config.calibration    score of an entry                                       steps of the run
dense                 |B - B at the start|                                    all
early                 |B · gradient|, summed over the steps                   the SHORT share
one_pass              |gradient| where B is at its start, summed likewise     the SHORT share

From B = 0 the first is the paper's |B| (arXiv 2504.07448, section 3.2); in a sequence, where B starts at what earlier
tasks left, it is what the new task moved. The two others are ours, after SNIP (arXiv 1810.02340): a mask for some 5 %
of a training instead of a whole one. What they lose is in docs/measured.md.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lori_core.bases.attach import Attached
from lori_core.bases.load import Base
from lori_core.config import AdapterConfig, TrainConfig
from lori_core.method.adapter import Adapter
from lori_core.method.masks import Masks, jaccard, kept_fractions, magnitude_masks
from lori_core.results import Calibration, MaskSnapshot
from lori_core.tasks.task import Task
from lori_core.training.fit import fit
from lori_core.training.hooks import Hooks
from lori_core.training.recipes import mask_run

LOOK_EVERY = 5  # steps between two looks at the mask that would result now
STABLE = 0.9  # Jaccard of two looks above which the mask counts as settled ...
STABLE_LOOKS = 2  # ... so many times in a row


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A run and the mask that it gives.

    Attributes:
        dense: the adapter after the run; from a blank start, and if the run was a whole one, it is LoRI-D.
        start: what the run began with; None: a B of zeros.
    """

    dense: Adapter
    masks: dict[str, Tensor]
    report: Calibration
    start: Adapter | None = None

    @property
    def movement(self) -> dict[str, Tensor]:
        """module -> (out_features, rank), how far each entry of B moved."""
        return moved(self.dense, self.start)


def calibrate(
    base: Base,
    task: Task,
    start: Adapter,
    config: AdapterConfig,
    train_config: TrainConfig,
    *,
    exclude: Masks | None = None,
    trained: Masks | None = None,
    stop_when_stable: bool = False,
    hooks: Hooks | None = None,
    checkpoints: Path | None = None,
) -> Calibrated:
    """Train all of B from `start` and take the mask.

    Args:
        start: an adapter whose mask is all True: blank, or dense with what earlier tasks left.
        config: sparsity and granularity of the mask, and which run finds it.
        train_config: of the whole dense run.
        exclude: entries that the mask must leave to earlier tasks.
        trained: the entries that move, where that is not all of B.
        stop_when_stable: end the dense run once the mask has stopped moving; off is the paper's way.
    """
    watches: list[MaskWatch] = []

    def watch(attached: Attached) -> MaskWatch:
        named = (hooks or Hooks()).named(stage="calibrate")
        watches.append(MaskWatch(attached, config, exclude, stop_when_stable, named))
        return watches[0]

    dense, training = fit(
        base,
        task,
        start,
        mask_run(config, train_config),
        stage="calibrate",
        trained=trained,
        watch=watch,
        hooks=hooks,
        checkpoints=checkpoints,
    )
    scores = watches[0].sums or moved(dense, start)
    masks = magnitude_masks(scores, config.sparsity, config.granularity, exclude)
    report = Calibration(
        task=task.name,
        sparsity=config.sparsity,
        looks=tuple(watches[0].looks),
        training=training,
        stopped_early=training.steps < mask_run(config, train_config).steps,
        kept=kept_fractions(masks),
    )
    return Calibrated(dense, masks, report, start)


def moved(dense: Adapter, start: Adapter | None) -> dict[str, Tensor]:
    """module -> (out_features, rank), how far each entry of B is from where it started; None: from zero."""
    if start is None:
        return {module: factors.B for module, factors in dense.factors.items()}
    return {module: factors.B - start.factors[module].B for module, factors in dense.factors.items()}


class MaskWatch:
    """Looks, every LOOK_EVERY steps, at the mask that would result now, and how it differs from the look before.

    Attributes:
        sums: module -> (out_features, rank), scores of the entries so far; empty where B itself tells them.
    """

    def __init__(
        self, attached: Attached, config: AdapterConfig, exclude: Masks | None, stop_when_stable: bool, hooks: Hooks
    ) -> None:
        self.attached, self.config, self.exclude = attached, config, exclude
        self.stop_when_stable, self.hooks = stop_when_stable, hooks
        self.every = LOOK_EVERY if config.calibration == "dense" else 1
        self.looks: list[MaskSnapshot] = []
        self.last: dict[str, Tensor] | None = None
        summed = attached.layers.items() if config.calibration != "dense" else ()
        self.sums: dict[str, Tensor] = {module: layer.gradient() for module, layer in summed}  # zeros
        self.gradients: dict[str, Tensor] = {}

    def before_step(self) -> None:
        self.gradients = {module: self.attached.layers[module].gradient() for module in self.sums}

    def after_step(self, step: int) -> bool:
        for module, gradient in self.gradients.items():
            by = self.attached.layers[module].B().detach() if self.config.calibration == "early" else 1.0
            self.sums[module] += (gradient * by).abs()
        if step % self.every:
            return False
        scores = self.sums or moved(self.attached.extract(), self.attached.adapter)
        masks = magnitude_masks(scores, self.config.sparsity, self.config.granularity, self.exclude)
        overlap = None if self.last is None else jaccard(masks, self.last)
        look = MaskSnapshot(step, overlap, kept_fractions(masks))
        self.looks.append(look)
        self.last = masks
        self.hooks.on_event({"kind": "mask", "step": step, "jaccard": look.jaccard, "kept": look.kept})
        return self.stop_when_stable and self.is_stable()

    def is_stable(self) -> bool:
        recent = self.looks[-STABLE_LOOKS:]
        return len(recent) == STABLE_LOOKS and all((look.jaccard or 0) >= STABLE for look in recent)

    def state(self) -> dict[str, Any]:
        return {"looks": [vars(look) for look in self.looks], "last": self.last, "sums": self.sums}

    def restore(self, state: dict[str, Any]) -> None:
        self.looks = [MaskSnapshot(**look) for look in state["looks"]]
        self.last = state["last"]
        for module, total in self.sums.items():
            total.copy_(state["sums"][module])


def as_dense(adapter: Adapter) -> Adapter:
    """The same update with a mask that is all True, so that every entry may move."""
    return adapter.with_masks({module: torch.ones_like(mask) for module, mask in adapter.masks.items()})
