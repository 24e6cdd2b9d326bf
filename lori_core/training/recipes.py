"""Recipes: training settings that are known to work, "embedded" searched by us, "official" of the paper's own scripts.

Never compare methods at one shared learning rate: a frozen A wants a higher one than LoRA, and LoRI-S about three to
ten times LoRI-D's.
"""

from typing import Literal

from lori_core.config import AdapterConfig, Method, TrainConfig

TrainingByMethod = dict[Method, TrainConfig]  # method -> its settings
Recipe = Literal["embedded", "official"]

SHORT = 0.05  # share of a whole dense run's steps that a short calibration takes
AT_REST = 1e-30  # a learning rate at which B stays where it is: AdamW moves an entry by the rate, whatever its gradient

# benchmarks/learning_rates.py searched the first three on validation, with equal budgets; "full" was not searched.
_EMBEDDED_RATES: dict[Method, float] = {"lora": 4e-4, "lori_d": 1e-3, "lori_s": 1e-2, "full": 2e-4}

# The official code, Llama-3-8B, r = 32: LoRI-D 5e-5, LoRI-S 5e-4; LoRA and full fine-tuning are common choices.
_OFFICIAL_RATES: dict[Method, float] = {"lora": 2e-4, "lori_d": 5e-5, "lori_s": 5e-4, "full": 1e-5}

_EMBEDDED = TrainConfig(learning_rate=1.0, batch_size=16)  # 32 take twice the time

# What every official script sets (https://github.com/juzhengz/LoRI at 9183468). An example's loss is the sum over its
# response, as many times a token's as it has tokens, and what of that is too large each matrix clips by itself.
# Steps and micro-batches are ours: the scripts count epochs by task (docs/method.md).
_OFFICIAL = TrainConfig(
    learning_rate=1.0,
    steps=500,
    batch_size=32,
    micro_batch_size=4,
    max_length=512,
    schedule="constant",
    warmup_steps=0,
    loss_per="example",
    clip=1.0,
    clip_per="matrix",
)

_RECIPES: dict[Recipe, tuple[TrainConfig, dict[Method, float]]] = {
    "embedded": (_EMBEDDED, _EMBEDDED_RATES),
    "official": (_OFFICIAL, _OFFICIAL_RATES),
}


def training_for(
    base: str, overrides: TrainingByMethod | None = None, recipe: Recipe | None = None
) -> TrainingByMethod:
    """The settings for a base ("embedded", or any other), with a user's own in place of some.

    Args:
        recipe: None: what was searched for the embedded base, and for any other the official one.
    """
    config, rates = _RECIPES[recipe or ("embedded" if base == "embedded" else "official")]
    known: TrainingByMethod = {method: config.changed(learning_rate=rate) for method, rate in rates.items()}
    return known | (overrides or {})


def mask_run(config: AdapterConfig, dense: TrainConfig) -> TrainConfig:
    """What is trained to find a mask, see training/calibrate.py. dense: the settings of a whole dense run."""
    if config.calibration == "dense":
        return dense
    rate = AT_REST if config.calibration == "one_pass" else dense.learning_rate
    return dense.changed(steps=max(1, round(SHORT * dense.steps)), warmup_steps=0, learning_rate=rate)


def seeded(training: TrainingByMethod, seed: int) -> TrainingByMethod:
    """The same settings with other random numbers."""
    moved: TrainingByMethod = {}
    for method, config in training.items():
        moved[method] = config.changed(seed=config.seed + seed)
    return moved
