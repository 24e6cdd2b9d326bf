"""What the benchmarks on the embedded base share: one task learned by one method, in a process of its own core."""

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import cache
from multiprocessing import get_context
from typing import Any, TypeVar

import torch

from lori_core.adapter import Adapter
from lori_core.config import AdapterConfig
from lori_core.evaluate import evaluate
from lori_core.inject import applied
from lori_core.models import Base, load_base
from lori_core.tasks.base import Task

PROCESSES = 2

Job = TypeVar("Job")
Done = TypeVar("Done")


@cache
def base() -> Base:
    return load_base("embedded", device="cpu", dtype="bf16")


def adapter_config(seed: int, **changes: Any) -> AdapterConfig:
    return AdapterConfig(projection_seed=seed).changed(**changes)


def score(task: Task, adapter: Adapter, split: str, limit: int) -> dict[str, Any]:
    """The score of an adapter, without the single outcomes."""
    with applied(base().model, adapter):
        found = asdict(evaluate(base().model, base().tokenizer, task, split, limit).score)
    return {key: value for key, value in found.items() if key not in ("outcomes", "seconds")}


def spread(work: Callable[[Job], Done], jobs: Iterable[Job], processes: int = PROCESSES) -> list[Done]:
    """The jobs done in processes of one thread each: two such are faster than one of two threads."""
    with ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        return list(pool.map(work, jobs))
