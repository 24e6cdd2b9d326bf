"""LoRI on one page (arXiv 2504.07448, algorithm of section 3).

1. Draw A from (seed, task, module) and freeze it; B = 0. Ours beside the paper's: an A conditioned on footprints.
2. Calibrate: train all of B on the task. With this B the adapter is LoRI-D.
3. Keep the (1 - sparsity) share of entries with the largest |B|, over all modules together: the mask.
4. Set B back to zero and train the kept entries only: LoRI-S.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from lori_core.bases.attach import update_ratio
from lori_core.bases.load import Base, check_rank, target_modules
from lori_core.bases.sharded import is_sharded
from lori_core.config import AdapterConfig, Method, TrainConfig
from lori_core.errors import ConfigError, ModelError
from lori_core.method.adapter import Adapter, blank
from lori_core.method.conditioned import Conditions, conditioned
from lori_core.method.masks import Masks
from lori_core.results import Calibration, Training
from lori_core.tasks.task import Task
from lori_core.training.calibrate import Calibrated, calibrate
from lori_core.training.fit import fit
from lori_core.training.hooks import Hooks
from lori_core.training.recipes import training_for
from lori_core.training.train import train


@dataclass(frozen=True, eq=False)
class Learned:
    """What learn() returns; calibration: of LoRI-S's mask, None where the mask was given as it is."""

    adapter: Adapter
    training: Training
    calibration: Calibration | None
    update_ratio: float  # ‖dW‖ / ‖W‖ over the adapted modules


def learn(
    base: Base,
    task: Task,
    method: Method = "lori_s",
    config: AdapterConfig = AdapterConfig(),
    training: Mapping[Method, TrainConfig] | None = None,
    *,
    calibrated: Calibrated | None = None,
    masks: Masks | None = None,
    conditions: Conditions | None = None,
    stop_when_stable: bool = False,
    hooks: Hooks | None = None,
    checkpoints: Path | None = None,
) -> Learned:
    """One task learned by one method.

    Args:
        training: method -> its settings, LoRI-S calibrates with those of "lori_d"; None: what is known for the base.
        calibrated: made earlier under the same A: LoRI-S takes its mask, and a whole dense run is LoRI-D.
        masks: LoRI-S: a mask of any origin, in place of a calibrated one.
        conditions: footprints of this task and of the others, which config.projection = "conditioned" needs.
        stop_when_stable: end a calibration once its mask has settled; off is the paper's way.
        checkpoints: a folder; a second call with the same arguments goes on from what is there.
    Raises:
        ConfigError: the method leaves no adapter, the settings contradict it, or a conditioned A has no footprints.
    """
    hooks, training = hooks or Hooks(), training or training_for(base.name)
    config = config_of(method, config)
    shapes = target_modules(base.model, config.target_modules)
    check_rank(shapes, config.rank)
    projections = projections_of(config, shapes, conditions)
    if method == "lori_s" and masks is None:
        calibrated = calibrated or calibrate(
            base,
            task,
            blank(task.name, shapes, config_of("lori_d", config), projections=projections),
            config,
            training["lori_d"],
            stop_when_stable=stop_when_stable,
            hooks=hooks,
            checkpoints=checkpoints,
        )
        masks = calibrated.masks
    if method == "lori_d" and calibrated:
        adapter, report = calibrated.dense, calibrated.report.training
    else:
        start = blank(task.name, shapes, config, masks, projections)
        adapter, report = fit(base, task, start, training[method], hooks=hooks, checkpoints=checkpoints)
    calibration = calibrated.report if method == "lori_s" and calibrated else None
    if conditions is not None and config.projection == "conditioned":
        adapter = replace(adapter, record=adapter.record | {"conditioned": conditions.record})
    return Learned(adapter, report, calibration, update_ratio(base.model, adapter))


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
        ModelError: the base is quantised, or shared out over processes.
    """
    if base.quantization:
        raise ModelError("quantized_full", quantization=base.quantization)
    if is_sharded(base.model):
        raise ModelError("sharded_full")
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
    """The adapter's settings as the method means them: LoRI-D and LoRA keep all of B, LoRA trains A too.

    Raises:
        ConfigError: the method is "full", which leaves no adapter, or LoRI-S is to keep everything.
    """
    if method == "full":
        raise ConfigError("full_is_no_adapter")
    if method == "lori_s":
        if config.method != "lori_s":
            raise ConfigError("lori_s_not_sparse", sparsity=config.sparsity)
        return config
    maskless = {"sparsity": 0.0, "redraw_projection": False, "calibration": "dense"}
    return config.changed(**maskless, train_projection=method == "lora")


def projections_of(
    config: AdapterConfig, shapes: Mapping[str, tuple[int, int]], conditions: Conditions | None
) -> dict[str, Tensor] | None:
    """module -> a conditioned A; None where A is drawn."""
    if config.projection != "conditioned" or conditions is None:
        return None  # blank() refuses a conditioned A without
    return conditioned(conditions, shapes, config.rank, config.ridge)
