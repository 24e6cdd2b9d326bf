"""Ready-made adapters against a training: each is trained again; mask, update and score are compared.

`python -m benchmarks.ready_made` writes results/ready_made.json.
"""

from itertools import product
from typing import Any

from benchmarks.adapters import score, spread
from benchmarks.record import record
from lori_core.embedded.ready_made import TASKS, VARIANTS, Variant, make, ready_made
from lori_core.method.masks import jaccard
from lori_core.method.metrics import cosine_matrix
from lori_core.tasks.mini import mini_task

TEST = 200


def one(job: tuple[str, Variant]) -> dict[str, Any]:
    name, variant = job
    shipped, fresh = ready_made(name, variant), make(name, variant).adapter
    return {
        "task": name,
        "variant": variant,
        "mask_jaccard": jaccard(shipped.masks, fresh.masks),
        "update_cosine": cosine_matrix([shipped, fresh]).values[0][1],
        "shipped": score(mini_task(name), shipped, "test", TEST),
        "fresh": score(mini_task(name), fresh, "test", TEST),
    }


if __name__ == "__main__":
    print("written", record("ready_made", {"test": TEST}, {"adapters": spread(one, product(TASKS, VARIANTS))}))
