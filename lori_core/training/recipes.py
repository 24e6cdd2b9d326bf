"""Recipes: training settings that are known to work, for the embedded base searched by us, for large ones the paper's.

Never compare methods at one shared learning rate: a frozen A wants a higher one than LoRA, and LoRI-S about three to
ten times LoRI-D's.
"""

from lori_core.config import Method, TrainConfig

TrainingByMethod = dict[Method, TrainConfig]  # method -> its settings

# benchmarks/learning_rates.py searched the first three on validation, with equal budgets; "full" was not searched.
_EMBEDDED_RATES: dict[Method, float] = {"lora": 4e-4, "lori_d": 1e-3, "lori_s": 1e-2, "full": 2e-4}

# The official code, Llama-3-8B, r = 32: LoRI-D 5e-5, LoRI-S 5e-4; LoRA and full fine-tuning are common choices.
_LARGE_RATES: dict[Method, float] = {"lora": 2e-4, "lori_d": 5e-5, "lori_s": 5e-4, "full": 1e-5}


def training_for(base: str, overrides: TrainingByMethod | None = None) -> TrainingByMethod:
    """The settings for a base ("embedded", or any other), with a user's own in place of some."""
    known: TrainingByMethod = {}
    if base == "embedded":
        for method, rate in _EMBEDDED_RATES.items():
            known[method] = TrainConfig(learning_rate=rate, batch_size=16)  # 32 take twice the time
    else:
        # Constant, no warm-up, no clipping: the official recipe. Steps are ours: the paper counts epochs by task.
        large = TrainConfig(
            learning_rate=1.0, steps=500, schedule="constant", warmup_steps=0, clip=None, micro_batch_size=4
        )
        for method, rate in _LARGE_RATES.items():
            known[method] = large.changed(learning_rate=rate)
    return known | (overrides or {})


def seeded(training: TrainingByMethod, seed: int) -> TrainingByMethod:
    """The same settings with other random numbers."""
    moved: TrainingByMethod = {}
    for method, config in training.items():
        moved[method] = config.changed(seed=config.seed + seed)
    return moved
