"""Slowness of this machine (yardstick.py), by a little of what a study does: `python -m lori_core.study.slowness`."""

from typing import Literal

from lori_core.bases.attach import applied
from lori_core.bases.load import load_base
from lori_core.evaluation.evaluate import evaluate
from lori_core.study.specs import StudyConfig
from lori_core.study.yardstick import yardstick
from lori_core.tasks.mini import mini_task
from lori_core.training.learn import learn
from lori_core.training.recipes import training_for

TASK: Literal["nlu"] = "nlu"
STEPS, EXAMPLES = 6, 32  # two seconds or three


def slowness() -> float:
    """Seconds that a LoRA of a few steps takes here and is scored in, for each that the yardstick says."""
    base, task = load_base("embedded"), mini_task(TASK)
    learned = learn(base, task, "lora", training={"lora": training_for("embedded")["lora"].changed(steps=STEPS)})
    with applied(base.model, learned.adapter):
        scored = evaluate(base.model, base.tokenizer, task, "test", EXAMPLES).score
    measure = yardstick(StudyConfig())
    assert measure is not None
    there = STEPS * measure.step["single-lora", TASK] + EXAMPLES * measure.example["single-lora", TASK]
    return (learned.training.seconds + scored.seconds) / there


if __name__ == "__main__":
    print(slowness())
