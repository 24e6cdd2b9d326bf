"""Sequences at smaller learning rates: is forgetting a matter of the rate? Beside benchmarks.sequences.

`python -m benchmarks.gentle_sequences` writes results/gentle_sequences.json: the later tasks at a tenth of what is best
for single tasks, by every method, so that none is judged at a rate that suits another; the first task and LoRI-S's
dense runs are at their usual rates. `... --rates other_seed` writes results/gentle_other_seed.json: all at the rates
that benchmarks.learning_rates found on the base of that name.
"""

import argparse
from itertools import product

from benchmarks.adapters import adapter_config, base, searched_rates, spread
from benchmarks.methods import training
from benchmarks.record import record
from benchmarks.sequences import METHODS, SEQUENCE, in_sequence, sequences
from lori_core.config import Method
from lori_core.results import ContinualResult
from lori_core.tasks.mini import mini_task
from lori_core.training.learn import learn

SEEDS = (0, 1)
SHARE = 0.1  # of the rate that is best for single tasks
TEST = 300

# Method, seed, rates that are not the usual ones, the later tasks' share of the rate.
Job = tuple[Method, int, dict[Method, float], float]


def one(job: Job) -> ContinualResult:
    method, seed, rates, share = job
    settings = training(seed, rates)
    first = learn(base(), mini_task(SEQUENCE[0]), method, adapter_config(seed), settings).adapter
    return in_sequence(settings, seed, method, "allow", first, share, TEST)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gentle_sequences", description=__doc__)
    parser.add_argument("--rates", metavar="NAME", help="of a base on which rates were searched")
    given = parser.parse_args()
    rates = searched_rates(given.rates) if given.rates else {}
    share = 1.0 if given.rates else SHARE
    usual = training(0)
    methods: list[Method] = [method for method in METHODS if not rates or rates[method] != usual[method].learning_rate]
    longest_first = product(reversed(methods), SEEDS)
    jobs: list[Job] = [(method, seed, rates, share) for method, seed in longest_first]
    done = {job[:2]: result for job, result in zip(jobs, spread(one, jobs), strict=True)}
    found = sequences([[done[method, seed] for method in methods] for seed in SEEDS])
    config = {"seeds": SEEDS, "test": TEST, "share_of_the_rate": share, "rates": rates, "order": SEQUENCE}
    print("written", record(f"gentle_{given.rates or 'sequences'}", config, found))


if __name__ == "__main__":
    main()
