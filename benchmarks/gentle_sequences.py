"""Is forgetting in sequence a matter of the learning rate? Later tasks at a tenth of what is best for single tasks.

`python -m benchmarks.gentle_sequences` writes results/gentle_sequences.json: the sequence of benchmarks.sequences,
overlap allowed, by every method, so that none is judged at a rate that suits another. The first task and LoRI-S's dense
runs are at their usual rates.
"""

from itertools import product

from benchmarks.adapters import adapter_config, base, spread
from benchmarks.methods import training
from benchmarks.record import record
from benchmarks.sequences import METHODS, SEQUENCE, in_sequence, sequences
from lori_core.config import Method
from lori_core.pipeline import learn
from lori_core.results import ContinualResult
from lori_core.tasks.mini import mini_task

SEEDS = (0, 1)
SHARE = 0.1  # of the rate that is best for single tasks
TEST = 300


def one(job: tuple[Method, int]) -> ContinualResult:
    method, seed = job
    first = learn(base(), mini_task(SEQUENCE[0]), method, adapter_config(seed), training(seed)).adapter
    return in_sequence(seed, method, "allow", first, SHARE, TEST)


def main() -> None:
    jobs = list(product(reversed(METHODS), SEEDS))  # the longest first
    done = dict(zip(jobs, spread(one, jobs), strict=True))
    found = sequences([[done[method, seed] for method in METHODS] for seed in SEEDS])
    config = {"seeds": SEEDS, "test": TEST, "share_of_the_rate": SHARE, "order": SEQUENCE}
    print("written", record("gentle_sequences", config, found))


if __name__ == "__main__":
    main()
