"""A study as it is typed: the `lori study` command that makes the same settings."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from lori_core.commands.options import ADAPTER_OPTIONS, BASE_OPTIONS
from lori_core.config import Config
from lori_core.study.specs import StudyConfig
from lori_core.training.recipes import training_for

# field -> option, where the option is not called as the field
NAMES = {
    "tasks": "task",
    "methods": "method",
    "merge_methods": "merge-method",
    "target_modules": "module",
    "footprints": "footprint",
}
OF_STUDY = ("tasks", "methods", "merge_methods", "footprints", "later_rate", "later_masks", "test_examples")
OF_TRAINING = {  # field of TrainConfig, the same for all methods -> option
    "steps": "steps",
    "micro_batch_size": "batch",
    "batch_size": "optimizer-batch",
    "max_length": "length",
    "gradient_checkpointing": "gradient-checkpointing",
}


def study_command(config: StudyConfig) -> str:
    """For a shell; settings that no option has stay unsaid, as those that are at their defaults do."""
    words = ["lori", "study"]
    defaults = StudyConfig()
    words += _options(_changed(config, defaults, (*OF_STUDY, *BASE_OPTIONS)))
    if config.seeds != defaults.seeds:
        words += ["--seeds", ",".join(map(str, config.seeds))]
    words += _options(_changed(config.adapter, defaults.adapter, tuple(ADAPTER_OPTIONS)))
    return shlex.join([*words, *_training(config)])


def _changed(config: Config, defaults: Config, fields: tuple[str, ...]) -> dict[str, Any]:
    return {field: getattr(config, field) for field in fields if getattr(config, field) != getattr(defaults, field)}


def _options(values: Mapping[str, Any]) -> Iterator[str]:
    for field, value in values.items():
        name = f"--{NAMES.get(field, field.replace('_', '-'))}"
        for each in value if isinstance(value, tuple) else (value,):
            yield name
            if each is not True:
                yield str(each)


def _training(config: StudyConfig) -> Iterator[str]:
    """What differs from the recipe: a learning rate by method, all else for all of them."""
    recipe = training_for(config.base)
    asked: dict[str, Any] = {}
    for method, training in config.train.items():
        changed = _changed(training, recipe[method], ("learning_rate", *OF_TRAINING))
        if (rate := changed.pop("learning_rate", None)) is not None:
            yield from ("--learning-rate", f"{method}={rate}")
        asked |= {OF_TRAINING[field]: value for field, value in changed.items()}
    yield from _options(asked)
