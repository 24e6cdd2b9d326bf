"""Score and mask against sparsity (0 to 0.99) and against the number of calibration examples (16 to all).

`python -m benchmarks.sweeps` writes results/sparsity.json and results/calibration_examples.json.

One dense run (LoRI-D) a task and seed gives the masks of all sparsities. For the second curve only the calibration is
given fewer examples: the kept entries are then trained on all of them, so what differs is the mask alone. A random mask
and the dense B pruned without training stand beside as controls.
"""

from typing import Any

from benchmarks.adapters import TASKS, adapter_config, base, score, spread
from benchmarks.record import record
from lori_core.bases.load import target_modules
from lori_core.method.adapter import blank
from lori_core.method.masks import Masks, jaccard, magnitude_masks, random_masks
from lori_core.tasks.mini import mini_task
from lori_core.training.calibrate import Calibrated, calibrate
from lori_core.training.learn import learn
from lori_core.training.recipes import seeded, training_for

SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.99)
EXAMPLES = (16, 128, 1024, None)  # None: all
SEEDS = (0,)
TEST = 200

Job = tuple[str, int]  # task, seed


def dense_run(task: str, seed: int, examples: int | None = None, data_seed: int = 0) -> Calibrated:
    """The dense run of one task; data_seed picks other examples, for how much a mask depends on them."""
    config = adapter_config(seed)
    shapes = target_modules(base().model)
    start = blank(task, shapes, config.changed(sparsity=0.0))
    train = training_for("embedded")["lori_d"].changed(seed=seed + 1000 * data_seed, examples=examples)
    return calibrate(base(), mini_task(task, seed=data_seed), start, config, train)


def trained_under(task: str, seed: int, masks: Masks, sparsity: float) -> float:
    """Test score after training the kept entries on all examples."""
    training = seeded(training_for("embedded"), seed)
    learned = learn(base(), mini_task(task), "lori_s", adapter_config(seed, sparsity=sparsity), training, masks=masks)
    return score(mini_task(task), learned.adapter, "test", TEST)["value"]


def over_sparsities(job: Job) -> dict[str, Any]:
    task, seed = job
    dense = dense_run(task, seed)
    shapes = {module: (m.shape[0], m.shape[1]) for module, m in dense.masks.items()}
    rows = {"0": {"trained": score(mini_task(task), dense.dense, "test", TEST)["value"]}}
    for sparsity in SPARSITIES:
        masks = magnitude_masks(dense.movement, sparsity)
        rows[str(sparsity)] = {
            "trained": trained_under(task, seed, masks, sparsity),
            "pruned": score(mini_task(task), dense.dense.with_masks(masks), "test", TEST)["value"],
            "random": trained_under(task, seed, random_masks(shapes, sparsity, seed), sparsity),
        }
    return {"task": task, "seed": seed, "scores": rows}


def over_examples(job: Job) -> dict[str, Any]:
    """Scores, and the Jaccard of the masks from two disjoint draws of so many examples."""
    task, seed = job
    rows = {}
    for examples in EXAMPLES:
        masks = dense_run(task, seed, examples).masks
        again = dense_run(task, seed, examples, data_seed=1).masks
        rows[str(examples or "all")] = {
            "score": trained_under(task, seed, masks, 0.9),
            "jaccard_of_two_draws": jaccard(masks, again),
        }
    return {"task": task, "seed": seed, "curve": rows}


def main() -> None:
    config = {"rank": adapter_config(0).rank, "test": TEST, "sparsities": SPARSITIES, "examples": EXAMPLES}
    jobs = [(task, seed) for seed in SEEDS for task in TASKS]
    print("written", record("sparsity", config, spread(over_sparsities, jobs)))
    jobs = [(task, 0) for task in TASKS]
    print("written", record("calibration_examples", config, spread(over_examples, jobs)))


if __name__ == "__main__":
    main()
