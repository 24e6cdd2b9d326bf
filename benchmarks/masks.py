"""What a calibrated mask is worth, whether it can be used again, and whether it can be had for less.

`python -m benchmarks.masks` writes results/masks.json; each row is kept in build/masks as soon as it is measured.

LoRI-S is trained under the task's own mask and under others that keep as many entries:

    random            anywhere
    density           as many in each module as the own mask, anywhere within it
    other_rows        calibrated on other examples of the task
    easier            calibrated on the task at an easier level
    other_task        calibrated on another task
    other_projection  calibrated under another A, as the official code does
    short             largest |B| after a twentieth of the dense run's steps
    early             largest sum of |B · gradient| over them
    one_pass          largest sum of |gradient| at B = 0, over as many examples
    signed            the own mask, and B does not start at zero but at the signs that the dense run ended with, each
                      module's at the mean |B| of its kept entries there

own - density is what the position of entries within modules is worth, density - random what their number by module is,
signed - own what their signs would add, which a mask does not tell.
"""

import argparse
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.adapters import TASKS, adapter_config, base, score, spread
from benchmarks.methods import SEEDS, over_seeds
from benchmarks.record import once, record
from lori_core.bases.load import target_modules
from lori_core.config import MaskRun
from lori_core.method.adapter import Adapter, blank
from lori_core.method.masks import Masks, jaccard, matched_masks, random_masks
from lori_core.tasks.mini import USUAL_LEVEL, mini_task
from lori_core.training.calibrate import Calibrated, calibrate
from lori_core.training.fit import fit
from lori_core.training.learn import config_of, learn
from lori_core.training.recipes import SHORT, mask_run, seeded, training_for

FOLDER = Path("build/masks")
TEST = 500
EASIER = 3  # the usual level is 4
CHEAP = ("short", "early", "one_pass")
KINDS = ("own", "density", "random", "other_rows", "easier", "other_task", "other_projection", *CHEAP, "signed")


@cache  # own masks are needed again and again
def calibrated(
    name: str, seed: int, level: int = USUAL_LEVEL, rows: int = 0, redraw: bool = False, calibration: MaskRun = "dense"
) -> Calibrated:
    """rows: seed of the mini task's own examples."""
    task = mini_task(name, level, seed=rows)
    config = adapter_config(seed, redraw_projection=redraw, calibration=calibration)
    start = blank(name, target_modules(base().model), config_of("lori_d", config).changed(redraw_projection=redraw))
    return calibrate(base(), task, start, config, seeded(training_for("embedded"), seed)["lori_d"])


def short(name: str, seed: int) -> Masks:
    """Of largest |B| after so many steps as a short calibration has."""
    config = adapter_config(seed)
    start = blank(name, target_modules(base().model), config_of("lori_d", config))
    dense = seeded(training_for("embedded"), seed)["lori_d"]
    return calibrate(base(), mini_task(name), start, config, mask_run(config.changed(calibration="early"), dense)).masks


def masks_of(name: str, seed: int, kind: str) -> Masks:
    match kind:
        case "own" | "signed":
            return calibrated(name, seed).masks
        case "density":
            return matched_masks(masks_of(name, seed, "own"), seed)
        case "random":
            shapes = {m: (rows, adapter_config(seed).rank) for m, (rows, _) in target_modules(base().model).items()}
            return random_masks(shapes, adapter_config(seed).sparsity, seed)
        case "other_rows":
            return calibrated(name, seed, rows=1).masks
        case "easier":
            return calibrated(name, seed, EASIER).masks
        case "other_task":
            return calibrated(TASKS[(TASKS.index(name) + 1) % len(TASKS)], seed).masks
        case "other_projection":
            return calibrated(name, seed, redraw=True).masks
        case "short":
            return short(name, seed)
        case _:
            return calibrated(name, seed, calibration=kind).masks  # pyright: ignore[reportArgumentType]


def signed(name: str, seed: int) -> Adapter:
    """What LoRI-S starts with where the dense run's signs are kept."""
    dense, masks = calibrated(name, seed).dense, masks_of(name, seed, "own")
    start = blank(name, target_modules(base().model), adapter_config(seed), masks)
    factors = {}
    for module, f in start.factors.items():
        values = dense.factors[module].B[masks[module]]
        factors[module] = replace(f, values=values.abs().mean() * values.sign() if values.numel() else values)
    return replace(start, factors=factors)


Row = tuple[str, int, str]  # task, seed, kind


def one_row(row: Row) -> dict[str, Any]:
    """Test score of LoRI-S under that mask, and the mask's Jaccard with the own one."""
    return once(FOLDER / f"{'-'.join(map(str, row))}.json", lambda: _measured(*row))


def _measured(name: str, seed: int, kind: str) -> dict[str, Any]:
    own, masks = masks_of(name, seed, "own"), masks_of(name, seed, kind)
    training = seeded(training_for("embedded"), seed)
    if kind == "signed":
        adapter, report = fit(base(), mini_task(name), signed(name, seed), training["lori_s"])
    else:
        learned = learn(base(), mini_task(name), "lori_s", adapter_config(seed), training, masks=masks)
        adapter, report = learned.adapter, learned.training
    reached = score(mini_task(name), adapter, "test", TEST)["value"]
    return {"score": reached, "jaccard": jaccard(masks, own), "seconds": report.seconds}


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
        "sign": over_seeds(means("signed", "own")),
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
    config = {"seeds": seeds, "test": TEST, "easier": EASIER, "short": SHORT, "sparsity": adapter_config(0).sparsity}
    print("written", record("masks", config, together(rows, seeds)))


if __name__ == "__main__":
    main()
