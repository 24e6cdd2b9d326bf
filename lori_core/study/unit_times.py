"""Time of a study's unit, in parts: its steps of training, and the examples that it scores."""

import json
from contextlib import suppress
from typing import Any

from lori_core.config import Method
from lori_core.study.layout import Layout, kind_of, stage_of
from lori_core.study.specs import StudyConfig
from lori_core.training.recipes import mask_run, training_for

FREE = {"steps", "learning_rate", "seed"}  # settings of a training that leave a step as fast as it is


def speed_of(config: StudyConfig) -> dict[Method, dict[str, Any]]:
    """By method, what else a step's time depends on than on the base."""
    training = training_for(config.base, config.train)
    return {method: each.model_dump(exclude=FREE) for method, each in training.items()}


def trained_seconds(layout: Layout, unit: str, seconds: float) -> float:
    """What of a unit's time is training: all of a calibration, and nearly all of a sequence."""
    match stage_of(unit):
        case "calibrate" | "continual":
            return seconds
        case "single":
            with suppress(OSError, ValueError, LookupError, TypeError):
                return min(seconds, float(json.loads(layout.unit(unit).read_bytes())["training"]["seconds"]))
            return seconds
    return 0.0


def steps_of(config: StudyConfig, unit: str) -> int:
    """Of one training in it; a calibration takes those of LoRI-D, or a share of them."""
    label = kind_of(unit).partition("-")[2]
    training = training_for(config.base, config.train)
    named = [each.steps for method, each in training.items() if label.startswith(method)]
    return named[0] if named else mask_run(config.adapter, training["lori_d"]).steps


def scored_in(config: StudyConfig, stage: str) -> int:
    """Examples of a task that are scored in a unit of that stage; 1 where their number does not matter."""
    test, validation = config.test_examples, config.validation_examples
    scored = {
        "base": test,
        "single": test + validation,
        "merge": test + len(config.merge_weights) * validation,
    }
    return scored.get(stage, 1)
