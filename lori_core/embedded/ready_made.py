"""Adapters that ship, so that one can look, merge and compare before training: of the embedded base and of SmolLM2.

`python -m lori_core.embedded.ready_made` makes them again (assets/adapters), some seven minutes on two cores. Nothing
in them is special: learn() at the settings that training_for("embedded") has, seed 0. A conditioned A reads its task
and not the other three. Those of SmolLM2-135M have learned real rows (benchmarks/real_ready_made.py); one can look at
them and merge them without that base. Beside all lies what each scores on the test split of its task (scores.json,
"<task>/<variant>" -> Score).
"""

import json
import shutil
from pathlib import Path
from typing import Any, Literal, get_args

from lori_core.assets import ASSETS
from lori_core.bases.attach import applied
from lori_core.bases.load import load_base
from lori_core.config import AdapterConfig, Method
from lori_core.errors import AdapterError
from lori_core.evaluation.evaluate import evaluate
from lori_core.files import write_atomic
from lori_core.method.adapter import Adapter
from lori_core.method.conditioned import Conditions
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.tasks.mini import mini_task
from lori_core.training.footprints import task_footprint
from lori_core.training.learn import Learned, learn
from lori_core.training.recipes import training_for

READY_MADE = ASSETS / "adapters"
SCORES = READY_MADE / "scores.json"
SCORED_ON = 200  # examples of the test split
SCORE = ("task", "split", "metric", "value", "low", "high", "n")
TASKS = ("nlu", "math", "code", "safety")
Variant = Literal["lora", "lori_d", "lori_s", "lori_s_conditioned", "lori_d_shared"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)  # the last one is the control: all tasks share one A
REAL_TASKS = ("arc_easy", "gsm8k", "codealpaca", "saferpaca")  # of SmolLM2-135M
REAL_VARIANTS: tuple[Variant, ...] = ("lori_s", "lori_s_conditioned")  # a LoRA of it is 16 MB
METHODS: dict[Variant, Method] = {
    "lora": "lora",
    "lori_d": "lori_d",
    "lori_s": "lori_s",
    "lori_s_conditioned": "lori_s",
    "lori_d_shared": "lori_d",
}


def ready_made(task: str, variant: Variant = "lori_s") -> Adapter:
    """The adapter that ships for that task; its base is "embedded" for TASKS, "smollm2" for REAL_TASKS.

    Raises:
        AdapterError: none ships for that task or variant.
    """
    tasks = (*TASKS, *REAL_TASKS)
    variants = REAL_VARIANTS if task in REAL_TASKS else VARIANTS
    if task not in tasks or variant not in variants:
        raise AdapterError("no_ready_made", task=task, variant=variant, tasks=tasks, variants=variants)
    return load_adapter(READY_MADE / task / variant)


def ready_scores() -> dict[str, dict[str, Any]]:
    """ "<task>/<variant>" -> task, split, metric, value, low, high, n of each adapter that ships."""
    return json.loads(SCORES.read_bytes())


def measured(adapter: Adapter, task: str) -> dict[str, Any]:
    """The entry of ready_scores() for that adapter."""
    base = load_base("embedded", device="cpu")
    with applied(base.model, adapter):
        score = evaluate(base.model, base.tokenizer, mini_task(task), "test", SCORED_ON).score
    return {key: getattr(score, key) for key in SCORE}


def make(task: str, variant: Variant) -> Learned:
    """The adapter trained again."""
    base, config, conditions = load_base("embedded", device="cpu"), AdapterConfig(), None
    if variant == "lori_d_shared":
        config = config.changed(shared_projection=True)
    if variant == "lori_s_conditioned":
        config = config.changed(projection="conditioned")
        others = [task_footprint(base, mini_task(name)) for name in TASKS if name != task]
        conditions = Conditions(task_footprint(base, mini_task(task)), others)
    recipes = training_for("embedded")
    return learn(base, mini_task(task), METHODS[variant], config, recipes, conditions=conditions)


def make_all(to: Path = READY_MADE) -> None:
    """Every adapter of the embedded base, each as a folder to/<task>/<variant>, and their scores."""
    scores = ready_scores()
    for task in TASKS:
        for variant in VARIANTS:
            learned = make(task, variant)
            shutil.rmtree(to / task / variant, ignore_errors=True)
            save_adapter(learned.adapter, to / task / variant)
            scores[f"{task}/{variant}"] = measured(load_adapter(to / task / variant), task)
            print("written", to / task / variant, flush=True)
    write_atomic(to / SCORES.name, json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    make_all()
