"""Calibration that stops once the mask has settled: what it saves, and whether it costs score.

`python -m benchmarks.stop_when_stable` writes results/stop_when_stable.json.
"""

from typing import Any

from benchmarks.adapters import TASKS, adapter_config, base, score, spread
from benchmarks.record import record
from lori_core.tasks.mini import mini_task
from lori_core.training.calibrate import LOOK_EVERY, STABLE, STABLE_LOOKS
from lori_core.training.learn import learn
from lori_core.training.recipes import seeded, training_for

SEEDS = (0, 1)
TEST = 300


def both_ways(job: tuple[str, int, bool]) -> dict[str, Any]:
    """LoRI-S of one task; steps of calibration and training, and the test score."""
    name, seed, stop = job
    training = seeded(training_for("embedded"), seed)
    task = mini_task(name)
    learned = learn(base(), task, "lori_s", adapter_config(seed), training, stop_when_stable=stop)
    assert learned.calibration is not None
    steps = learned.calibration.training.steps
    looks = [look.jaccard for look in learned.calibration.looks]
    found = score(task, learned.adapter, "test", TEST)
    return {
        "task": name,
        "seed": seed,
        "stop_when_stable": stop,
        "calibration_steps": steps,
        "total_steps": steps + learned.training.steps,
        "jaccard_of_looks": looks,
        "score": found,
    }


def main() -> None:
    jobs = [(name, seed, stop) for seed in SEEDS for name in TASKS for stop in (False, True)]
    config = {"look_every": LOOK_EVERY, "stable": STABLE, "stable_looks": STABLE_LOOKS, "test": TEST}
    print("written", record("stop_when_stable", config, spread(both_ways, jobs)))


if __name__ == "__main__":
    main()
