"""What a calibrated mask is worth, whether it can be used again, and whether it can be had for less.

`python -m benchmarks.masks` writes results/masks.json; each row is kept in build/masks as soon as it is measured.

LoRI-S is trained under the task's own mask and under others that keep as many entries:

    random            anywhere
    density           as many in each module as the own mask, anywhere within it
    other_rows        calibrated on other examples of the task
    easier            calibrated on the task at an easier level
    other_task        calibrated on another task
    other_projection  calibrated under another A, as the official code does
    early             largest |B| after a dense run of EARLY of the steps
    sensitive         largest sum of |B · gradient| over such a run
    one_pass          largest sum of |gradient| at B = 0, over as many examples as such a run reads

own - density is what the position of entries within modules is worth, density - random what their number by module is.
"""

import argparse
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from benchmarks.adapters import TASKS, adapter_config, base, score, spread
from benchmarks.methods import SEEDS, over_seeds
from benchmarks.record import once, record
from lori_core.bases.attach import Attached
from lori_core.bases.load import target_modules
from lori_core.method.adapter import blank
from lori_core.method.masks import Masks, jaccard, magnitude_masks, matched_masks, random_masks
from lori_core.tasks.mini import USUAL_LEVEL, mini_task
from lori_core.training.calibrate import calibrate
from lori_core.training.fit import fit
from lori_core.training.learn import config_of, learn
from lori_core.training.recipes import seeded, training_for

FOLDER = Path("build/masks")
TEST = 500
EASIER = 3  # the usual level is 4
EARLY = 0.05  # share of the dense run's steps
CHEAP = ("early", "sensitive", "one_pass")
KINDS = ("own", "density", "random", "other_rows", "easier", "other_task", "other_projection", *CHEAP)


@cache  # own masks are needed again and again
def calibrated(name: str, seed: int, level: int = USUAL_LEVEL, rows: int = 0, redraw: bool = False) -> Masks:
    """rows: seed of the mini task's own examples."""
    task, config = mini_task(name, level, seed=rows), adapter_config(seed, redraw_projection=redraw)
    start = blank(name, target_modules(base().model), config_of("lori_d", config).changed(redraw_projection=redraw))
    return calibrate(base(), task, start, config, seeded(training_for("embedded"), seed)["lori_d"]).masks


class Gradients:
    """Watches a dense run: sums what each step's gradients say of each entry of B."""

    def __init__(self, attached: Attached, kind: str) -> None:
        self.layers, self.kind = attached.layers, kind
        self.sums = {module: torch.zeros_like(layer.B()) for module, layer in attached.layers.items()}
        self.last: dict[str, Tensor] = {}
        for module, layer in attached.layers.items():
            (values,) = (each for each in layer.parameters() if each.requires_grad)
            values.register_post_accumulate_grad_hook(partial(self._keep, module))

    def _keep(self, module: str, values: Tensor) -> None:
        assert values.grad is not None
        self.last[module] = values.grad.detach().clone()

    def after_step(self, step: int) -> bool:
        for module, gradient in self.last.items():
            B = self.layers[module].B().detach()
            by = B.abs() if self.kind == "sensitive" else 1.0
            self.sums[module] += gradient.view_as(B).abs() * by
        return False

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None: ...


def cheap(name: str, seed: int, kind: str) -> Masks:
    """A mask of so few steps as EARLY says."""
    config = adapter_config(seed)
    start = blank(name, target_modules(base().model), config_of("lori_d", config))
    dense = seeded(training_for("embedded"), seed)["lori_d"]
    few = dense.changed(steps=round(EARLY * dense.steps), warmup_steps=0)
    if kind == "one_pass":
        few = few.changed(learning_rate=1e-12)  # B stays at zero but for rounding
    watches: list[Gradients] = []

    def watch(attached: Attached) -> Gradients:
        watches.append(Gradients(attached, kind))
        return watches[0]

    adapter, _ = fit(base(), mini_task(name), start, few, watch=watch)
    B = {module: factors.B for module, factors in adapter.factors.items()}
    return magnitude_masks(B if kind == "early" else watches[0].sums, config.sparsity)


def masks_of(name: str, seed: int, kind: str) -> Masks:
    match kind:
        case "own":
            return calibrated(name, seed)
        case "density":
            return matched_masks(masks_of(name, seed, "own"), seed)
        case "random":
            shapes = {m: (rows, adapter_config(seed).rank) for m, (rows, _) in target_modules(base().model).items()}
            return random_masks(shapes, adapter_config(seed).sparsity, seed)
        case "other_rows":
            return calibrated(name, seed, rows=1)
        case "easier":
            return calibrated(name, seed, EASIER)
        case "other_task":
            return calibrated(TASKS[(TASKS.index(name) + 1) % len(TASKS)], seed)
        case "other_projection":
            return calibrated(name, seed, redraw=True)
        case _:
            return cheap(name, seed, kind)


Row = tuple[str, int, str]  # task, seed, kind


def one_row(row: Row) -> dict[str, Any]:
    """Test score of LoRI-S under that mask, and the mask's Jaccard with the own one."""
    return once(FOLDER / f"{'-'.join(map(str, row))}.json", lambda: _measured(*row))


def _measured(name: str, seed: int, kind: str) -> dict[str, Any]:
    own, masks = masks_of(name, seed, "own"), masks_of(name, seed, kind)
    training = seeded(training_for("embedded"), seed)
    learned = learn(base(), mini_task(name), "lori_s", adapter_config(seed), training, masks=masks)
    reached = score(mini_task(name), learned.adapter, "test", TEST)["value"]
    return {"score": reached, "jaccard": jaccard(masks, own), "seconds": learned.training.seconds}


def together(rows: dict[Row, dict[str, Any]], seeds: tuple[int, ...]) -> dict[str, Any]:
    def means(of: str, less: str | None = None) -> list[float]:
        """One a seed, over the tasks."""
        return [
            fmean(rows[t, s, of]["score"] - (rows[t, s, less]["score"] if less else 0) for t in TASKS) for s in seeds
        ]

    scores = {
        kind: {name: over_seeds([rows[name, seed, kind]["score"] for seed in seeds]) for name in TASKS}
        | {"mean": over_seeds(means(kind)), "less_than_own": over_seeds(means("own", kind))}
        for kind in KINDS
    }
    gain = {
        "whole": over_seeds(means("own", "random")),
        "density": over_seeds(means("density", "random")),
        "position": over_seeds(means("own", "density")),
    }
    overlap = {kind: fmean(rows[t, s, kind]["jaccard"] for t in TASKS for s in seeds) for kind in KINDS}
    return {"scores": scores, "gain": gain, "jaccard_with_own": overlap}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2, help="of one thread each")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    given = parser.parse_args()
    seeds = tuple(given.seeds)
    jobs = [(name, seed, kind) for seed in seeds for name in TASKS for kind in KINDS]
    rows = dict(zip(jobs, spread(one_row, jobs, given.processes), strict=True))
    config = {"seeds": seeds, "test": TEST, "easier": EASIER, "early": EARLY, "sparsity": adapter_config(0).sparsity}
    print("written", record("masks", config, together(rows, seeds)))


if __name__ == "__main__":
    main()
