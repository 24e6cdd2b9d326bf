"""What a calibrated mask is worth, and whether it can be used again.

`python -m benchmarks.masks` writes results/masks.json; each task and seed is kept in build/masks as soon as it is done.

LoRI-S is trained under the task's own mask and under others that keep as many entries:

    random            anywhere
    density           as many in each module as the own mask, anywhere within it
    other_rows        calibrated on other examples of the task
    easier            calibrated on the task at an easier level
    other_task        calibrated on another task
    other_projection  calibrated under another A, as the official code does

own - density is what the position of entries within modules is worth, density - random what their number by module is.
"""

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.adapters import TASKS, adapter_config, base, score, spread
from benchmarks.methods import SEEDS, over_seeds
from benchmarks.record import record
from lori_core.bases.load import target_modules
from lori_core.files import write_atomic
from lori_core.method.adapter import blank
from lori_core.method.masks import Masks, jaccard, matched_masks, random_masks
from lori_core.tasks.mini import mini_task
from lori_core.tasks.task import Task
from lori_core.training.calibrate import calibrate
from lori_core.training.learn import config_of, learn
from lori_core.training.recipes import seeded, training_for

FOLDER = Path("build/masks")
TEST = 500
EASIER = 3  # the usual level is 4
KINDS = ("own", "density", "random", "other_rows", "easier", "other_task", "other_projection")


def calibrated(task: Task, seed: int, **changes: Any) -> Masks:
    config = adapter_config(seed, **changes)
    start = blank(task.name, target_modules(base().model), config_of("lori_d", config).changed(**changes))
    return calibrate(base(), task, start, config, seeded(training_for("embedded"), seed)["lori_d"]).masks


def masks_of(name: str, seed: int) -> dict[str, Masks]:
    other = TASKS[(TASKS.index(name) + 1) % len(TASKS)]
    own = calibrated(mini_task(name), seed)
    shapes = {module: (mask.shape[0], mask.shape[1]) for module, mask in own.items()}
    return {
        "own": own,
        "density": matched_masks(own, seed),
        "random": random_masks(shapes, adapter_config(seed).sparsity, seed),
        "other_rows": calibrated(mini_task(name, seed=1), seed),
        "easier": calibrated(mini_task(name, EASIER), seed),
        "other_task": calibrated(mini_task(other), seed),
        "other_projection": calibrated(mini_task(name), seed, redraw_projection=True),
    }


def one_task(job: tuple[str, int]) -> dict[str, Any]:
    """kind -> test score and Jaccard with the own mask."""
    name, seed = job
    path = FOLDER / f"{name}-{seed}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(_measured(name, seed)))
    return json.loads(path.read_text(encoding="utf-8"))


def _measured(name: str, seed: int) -> dict[str, Any]:
    found, every = {}, masks_of(name, seed)
    for kind, masks in every.items():
        training = seeded(training_for("embedded"), seed)
        learned = learn(base(), mini_task(name), "lori_s", adapter_config(seed), training, masks=masks)
        reached = score(mini_task(name), learned.adapter, "test", TEST)["value"]
        found[kind] = {"score": reached, "jaccard": jaccard(masks, every["own"]), "seconds": learned.training.seconds}
    return found


def together(rows: dict[tuple[str, int], dict[str, Any]], seeds: tuple[int, ...]) -> dict[str, Any]:
    def means(of: str, less: str | None = None) -> list[float]:
        """One a seed, over the tasks."""
        return [
            fmean(rows[t, s][of]["score"] - (rows[t, s][less]["score"] if less else 0) for t in TASKS) for s in seeds
        ]

    scores = {
        kind: {name: over_seeds([rows[name, seed][kind]["score"] for seed in seeds]) for name in TASKS}
        | {"mean": over_seeds(means(kind)), "less_than_own": over_seeds(means("own", kind))}
        for kind in KINDS
    }
    gain = {
        "whole": over_seeds(means("own", "random")),
        "density": over_seeds(means("density", "random")),
        "position": over_seeds(means("own", "density")),
    }
    overlap = {kind: fmean(row[kind]["jaccard"] for row in rows.values()) for kind in KINDS}
    return {"scores": scores, "gain": gain, "jaccard_with_own": overlap}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2, help="of one thread each")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    given = parser.parse_args()
    seeds = tuple(given.seeds)
    jobs = [(name, seed) for seed in seeds for name in TASKS]
    rows = dict(zip(jobs, spread(one_task, jobs, given.processes), strict=True))
    config = {"seeds": seeds, "test": TEST, "easier": EASIER, "sparsity": adapter_config(0).sparsity}
    print("written", record("masks", config, together(rows, seeds)))


if __name__ == "__main__":
    main()
