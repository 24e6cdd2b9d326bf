"""Work of one process of several, started as a program: python -m in_processes FOLDER.

sharing: how many processes share the base out, each holding that part of every weight.
"""

import os
import sys
from typing import Any

import tiny
import torch
from allocations import allocated_bytes

from lori_core.bases.attach import update_ratio
from lori_core.bases.load import Base, load_base
from lori_core.errors import LoRIError
from lori_core.evaluation.evaluate import evaluate
from lori_core.training.fit import fit
from lori_core.training.learn import fine_tune


def seen(folder: str, sharing: int) -> dict[str, Any]:
    """What a scoring, and after it a training of the official recipe's kind, come to."""
    base = loaded(folder, sharing)
    scored = evaluate(base.model, base.tokenizer, tiny.task()).score.loss
    settings = tiny.settings(
        steps=5, learning_rate=1e-3, micro_batch_size=1, schedule="constant", loss_per="example", clip_per="matrix"
    )
    start = tiny.filled(tiny.start(base, masks=tiny.halves(base)))
    adapter, training = fit(base, tiny.task(), start, settings)
    return {
        "loss": scored and scored.value,
        "losses": training.losses,
        "ratio": update_ratio(base.model, adapter),
        "values": torch.cat([factors.values for factors in adapter.factors.values()]),
        "moved": torch.cat([f.values - start.factors[module].values for module, f in adapter.factors.items()]),
        "base": base.record,
        "bytes": sum(own_part(parameter).nbytes for parameter in base.model.parameters()),
        "allocated": allocated_bytes(lambda: fit(base, tiny.task(), start, settings.changed(steps=1, clip=None))),
    }


def refused(folder: str, sharing: int) -> list[str]:
    """Keys of what a sharded base refuses."""
    base, task, keys = loaded(folder, sharing), tiny.task(), []
    for work in (
        lambda: fit(base, task, tiny.start(base), tiny.settings(batch_size=3)),
        lambda: fine_tune(base, task, tiny.settings()),
    ):
        try:
            work()
        except LoRIError as error:
            keys.append(error.key)
    return keys


def loaded(folder: str, sharing: int) -> Base:
    return load_base(f"{folder}/base", device="cpu", dtype="fp32", processes=sharing)


def own_part(parameter: Any) -> torch.Tensor:
    return parameter.to_local() if hasattr(parameter, "to_local") else parameter


if __name__ == "__main__":
    folder = sys.argv[1]
    torch.distributed.init_process_group("gloo")
    found = {"whole": seen(folder, 1), "shared out": seen(folder, 2), "refused": refused(folder, 2)}
    torch.save(found, f"{folder}/{os.environ['RANK']}.pt")
    torch.distributed.destroy_process_group()
