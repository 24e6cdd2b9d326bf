"""Sequences at equal learning: what is kept of the old tasks where the new ones reach the same score.

`python -m benchmarks.sequences_at_equal_learning` teaches the tasks one after another by LoRA, LoRI-D and LoRI-S, both
ways to find LoRI-S's later masks, with the later tasks at shares of each method's learning rate from 1 to 0.03. Each
sequence is kept in build/sequences_at_equal_learning as soon as it is done, so that a run that was stopped goes on; at
the end results/sequences_at_equal_learning.json has the curve of each variant, and the curves read off at the same
new-task scores. A seed's first task is learned once by each method and is the same for all of its sequences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.adapters import adapter_config, base, spread
from benchmarks.methods import over_seeds, training
from benchmarks.record import record
from benchmarks.sequences import SEQUENCE
from lori_core.config import LaterMasks, Method
from lori_core.evaluation.evaluate import evaluate
from lori_core.figures.continual import finally_kept, newly_learned
from lori_core.files import write_atomic
from lori_core.method.adapter import Adapter
from lori_core.results import ContinualResult, from_json, to_json
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.tasks.mini import mini_task
from lori_core.training.continual import learn_sequence
from lori_core.training.learn import learn

SEEDS = (0, 1, 2)
SHARES = (1.0, 0.3, 0.1, 0.03)  # of a method's learning rate, for the tasks after the first
TEST = 300
LEVELS = 5  # new-task scores at which the curves are compared
FOLDER = Path("build/sequences_at_equal_learning")


@dataclass(frozen=True)
class Variant:
    method: Method
    later_masks: LaterMasks = "continued"

    @property
    def name(self) -> str:
        return f"{self.method}_{self.later_masks}" if self.method == "lori_s" else self.method


VARIANTS = (Variant("lora"), Variant("lori_d"), Variant("lori_s"), Variant("lori_s", "own_run"))

Unit = tuple[Variant, int, float]  # variant, seed, share
Point = tuple[float, float]  # mean score of the new tasks right after learning, of the old ones at the end


def first_adapter(job: tuple[Method, int]) -> Adapter:
    """The first task's adapter as it was kept, or learned and kept now."""
    method, seed = job
    folder = FOLDER / f"first-{method}-{seed}"
    if not folder.exists():
        task = mini_task(SEQUENCE[0])
        save_adapter(learn(base(), task, method, adapter_config(seed), training(seed)).adapter, folder)
    return load_adapter(folder)


def one(unit: Unit) -> ContinualResult:
    """One sequence, from the folder if it was done before."""
    variant, seed, share = unit
    path = FOLDER / f"{variant.name}-{seed}-{share:g}.json"
    if not path.exists():
        learned = learn_sequence(
            base(),
            [mini_task(name) for name in SEQUENCE],
            variant.method,
            adapter_config(seed),
            training(seed),
            lambda task: evaluate(base().model, base().tokenizer, task, "test", TEST).score,
            later_rate=share,
            later_masks=variant.later_masks,
            first=first_adapter((variant.method, seed)),
        )
        write_atomic(path, to_json(learned.result))
        print(path.stem, flush=True)
    return from_json(ContinualResult, path.read_text(encoding="utf-8"))


def point(result: ContinualResult) -> Point:
    return fmean(newly_learned([result]).values()), fmean(finally_kept([result]).values())


def kept_at(curve: Sequence[Point], learned: float) -> float:
    """Old kept where the new tasks reach that score: between the two points next to it, along a line."""
    learned_scores, kept = zip(*sorted(curve), strict=True)
    return float(np.interp(learned, learned_scores, kept))


def at_equal_learning(curves: dict[str, list[list[Point]]]) -> dict[str, Any]:
    """Variant -> old kept at each new-task score that all curves of all seeds reach from both sides.

    Args:
        curves: variant -> a curve for each seed. Where the curves have no score in common there are no levels.
    """
    ends = [[score for score, _ in curve] for of_seeds in curves.values() for curve in of_seeds]
    low, high = max(map(min, ends)), min(map(max, ends))
    levels = [float(level) for level in np.linspace(low, high, LEVELS)] if low <= high else []
    kept = {
        name: [over_seeds([kept_at(curve, level) for curve in of_seeds]) for level in levels]
        for name, of_seeds in curves.items()
    }
    return {"new_learned": levels, "old_kept": kept}


def summary(done: dict[Unit, ContinualResult]) -> dict[str, Any]:
    """Of each variant and share both axes over seeds and the first task's end; and the curves at equal learning."""
    curves = {v.name: [[point(done[v, seed, share]) for share in SHARES] for seed in SEEDS] for v in VARIANTS}
    by_share: dict[str, Any] = {}
    for variant in VARIANTS:
        by_share[variant.name] = {}
        for place, share in enumerate(SHARES):
            learned, kept = zip(*(curve[place] for curve in curves[variant.name]), strict=True)
            first = [done[variant, seed, share].matrix[-1][0] for seed in SEEDS]
            by_share[variant.name][f"{share:g}"] = {
                "new_learned": over_seeds(list(learned)),
                "old_kept": over_seeds(list(kept)),
                "first_task": over_seeds(first),
                "learning_rate": done[variant, SEEDS[0], share].learning_rate,
            }
    return {"by_share": by_share, "at_equal_learning": at_equal_learning(curves)}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    spread(first_adapter, product(dict.fromkeys(variant.method for variant in VARIANTS), SEEDS))
    units: list[Unit] = list(product(VARIANTS, SEEDS, SHARES))
    done = dict(zip(units, spread(one, units), strict=True))
    config = {"seeds": SEEDS, "shares": SHARES, "test": TEST, "order": SEQUENCE, "levels": LEVELS}
    print("written", record("sequences_at_equal_learning", config, summary(done)))


if __name__ == "__main__":
    main()
