"""Does LoRI-S forget less in sequence at a lower learning rate than the one that was best for single tasks?

`python -m benchmarks.gentle_sequences` writes results/gentle_sequences.json: the sequence of benchmarks.sequences,
overlap allowed, at a tenth of LoRI-S's rate, which is LoRI-D's. The dense run, and with it the first mask, is as there.
"""

from benchmarks.adapters import adapter_config, base, spread
from benchmarks.methods import training
from benchmarks.record import record
from benchmarks.sequences import SEQUENCE, sequences
from lori_core.continual import learn_sequence
from lori_core.evaluate import evaluate
from lori_core.results import ContinualResult
from lori_core.tasks.mini import mini_task

SEEDS = (0, 1)
SHARE = 0.1  # of the usual learning rate
TEST = 300


def one(seed: int) -> ContinualResult:
    known = training(seed)
    known["lori_s"] = known["lori_s"].changed(learning_rate=SHARE * known["lori_s"].learning_rate)
    return learn_sequence(
        base(),
        [mini_task(name) for name in SEQUENCE],
        "lori_s",
        adapter_config(seed),
        known,
        lambda task: evaluate(base().model, base().tokenizer, task, "test", TEST).score,
    ).result


if __name__ == "__main__":
    found = sequences([[result] for result in spread(one, SEEDS)])
    config = {"seeds": SEEDS, "test": TEST, "share_of_the_rate": SHARE}
    print("written", record("gentle_sequences", config, {"order": SEQUENCE} | found))
