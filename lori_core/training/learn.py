"""LoRI on one page (arXiv 2504.07448, algorithm of section 3).

1. Draw A from (seed, task, module) and freeze it; B = 0.
2. Calibrate: train all of B on the task.
3. Keep the (1 - sparsity) share of entries with the largest |B|, over all modules together: the mask.
4. Set B back to zero and train the kept entries only.
"""

import copy
from dataclasses import dataclass, replace
from pathlib import Path

from lori_core.bases.attach import attach, update_ratio
from lori_core.bases.load import Base, check_rank, target_modules
from lori_core.config import AdapterConfig, Method, TrainConfig
from lori_core.errors import ModelError
from lori_core.method.adapter import Adapter, blank
from lori_core.method.masks import Masks
from lori_core.results import Calibration, Training
from lori_core.tasks.task import Task
from lori_core.training.calibrate import calibrate, record_of
from lori_core.training.train import Hooks, train


@dataclass(frozen=True, eq=False)
class Learned:
    """What learn() returns; calibration is None where no mask was calibrated here."""

    adapter: Adapter
    training: Training
    calibration: Calibration | None
    update_ratio: float  # ‖dW‖ / ‖W‖ over the adapted modules


def learn(
    base: Base,
    task: Task,
    method: Method,
    config: AdapterConfig,
    training: dict[Method, TrainConfig],
    *,
    masks: Masks | None = None,
    stop_when_stable: bool = False,
    hooks: Hooks | None = None,
    checkpoints: Path | None = None,
) -> Learned:
    """One task learned by one method.

    Args:
        training: method -> its settings; LoRI-S calibrates with those of "lori_d".
        masks: a mask made earlier; None: LoRI-S calibrates one.
        checkpoints: a folder; a second call with the same arguments goes on from what is there.
    """
    hooks = hooks or Hooks()
    config = config_of(method, config)
    shapes = target_modules(base.model, config.target_modules)
    check_rank(shapes, config.rank)
    calibration = None
    if method == "lori_s" and masks is None:
        calibrated = calibrate(
            base,
            task,
            blank(task.name, shapes, config_of("lori_d", config)),
            config,
            training["lori_d"],
            stop_when_stable=stop_when_stable,
            hooks=hooks.named(stage="calibrate"),
            checkpoint=checkpoints and checkpoints / "calibrate.pt",
        )
        masks, calibration = calibrated.masks, calibrated.report
    start = blank(task.name, shapes, config, masks)
    adapter, report = fit(base, task, start, training[method], hooks=hooks, checkpoints=checkpoints)
    return Learned(adapter, report, calibration, update_ratio(base.model, adapter))


def fit(
    base: Base,
    task: Task,
    start: Adapter,
    config: TrainConfig,
    *,
    trained: Masks | None = None,
    hooks: Hooks | None = None,
    checkpoints: Path | None = None,
) -> tuple[Adapter, Training]:
    """Attach, train, extract, detach. trained: the entries that move, where that is not all that `start` keeps."""
    attached = attach(base.model, start, trained)
    try:
        training = train(
            base.model,
            base.tokenizer,
            task.examples("train"),
            config,
            hooks=(hooks or Hooks()).named(stage="train"),
            checkpoint=checkpoints and checkpoints / "train.pt",
        )
        adapter = attached.extract()
    finally:
        attached.detach()
    return replace(adapter, record=adapter.record | record_of(base, task, config, training)), training


def fine_tune(
    base: Base,
    task: Task,
    config: TrainConfig,
    *,
    hooks: Hooks | None = None,
    checkpoints: Path | None = None,
) -> tuple[Base, Training]:
    """Full fine-tuning, the baseline that no adapter is: a fp32 copy of the whole base is trained and returned.

    Raises:
        ModelError: the base is quantised.
    """
    if base.quantization:
        raise ModelError("quantized_full", quantization=base.quantization)
    tuned = replace(base, model=copy.deepcopy(base.model).float().requires_grad_(True))
    training = train(
        tuned.model,
        tuned.tokenizer,
        task.examples("train"),
        config,
        hooks=(hooks or Hooks()).named(stage="train"),
        checkpoint=checkpoints and checkpoints / "train.pt",
        autocast=base.model.dtype != tuned.model.dtype,
    )
    tuned.model.requires_grad_(False)
    return tuned, training


def config_of(method: Method, config: AdapterConfig) -> AdapterConfig:
    """The adapter's settings as the method means them: LoRI-D and LoRA keep all of B, LoRA trains A too."""
    if method == "lori_s":
        return config
    return config.changed(sparsity=0.0, redraw_projection=False, train_projection=method == "lora")
