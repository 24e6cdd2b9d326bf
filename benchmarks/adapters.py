"""Shared parts of benchmarks on the embedded base: one task learned by one method, in a process of its own core."""

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from typing import Any, TypeVar

import torch

from benchmarks.record import RESULTS
from lori_core.bases.load import Base, load_base, target_modules
from lori_core.bases.merged_base import merged_into
from lori_core.config import AdapterConfig, Method
from lori_core.evaluation.evaluate import evaluate
from lori_core.method.adapter import Adapter
from lori_core.method.masks import random_masks
from lori_core.tasks.task import Task
from lori_core.training.learn import learn
from lori_core.training.recipes import TrainingByMethod

PROCESSES = 2
TASKS = ("nlu", "math", "code", "safety")

Job = TypeVar("Job")
Done = TypeVar("Done")


@cache
def base(folder: str = "embedded") -> Base:
    return load_base(folder, device="cpu")


def adapter_config(seed: int, **changes: Any) -> AdapterConfig:
    return AdapterConfig(projection_seed=seed).changed(**changes)


def score(task: Task, adapter: Adapter, split: str, limit: int, folder: str = "embedded") -> dict[str, Any]:
    """The score of an adapter, without the single outcomes; with the update in the weights, which saves a third."""
    with merged_into(base(folder).model, adapter):
        found = asdict(evaluate(base(folder).model, base(folder).tokenizer, task, split, limit).score)
    return {key: value for key, value in found.items() if key not in ("outcomes", "seconds")}


def under_random_mask(folder: str, task: Task, training: TrainingByMethod, seed: int, limit: int) -> float:
    """The control: test score of LoRI-S whose mask was drawn, not calibrated."""
    config = adapter_config(seed)
    shapes = {module: (rows, config.rank) for module, (rows, _) in target_modules(base(folder).model).items()}
    masks = random_masks(shapes, config.sparsity, seed)
    learned = learn(base(folder), task, "lori_s", config, training, masks=masks)
    return score(task, learned.adapter, "test", limit, folder)["value"]


@dataclass(frozen=True)
class Given:
    """The base that a benchmark measures on."""

    base: str  # "embedded" or a folder
    suffix: str  # of the result's file name
    processes: int


def searched_rates(name: str) -> dict[Method, float]:
    """The learning rates that benchmarks.learning_rates found on the base of that name."""
    path = RESULTS / f"learning_rates_{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["results"]["best"]


def at_rates(training: TrainingByMethod, rates: Mapping[Method, float]) -> TrainingByMethod:
    """The settings with these learning rates in place of some."""
    changed: TrainingByMethod = {method: training[method].changed(learning_rate=rate) for method, rate in rates.items()}
    return training | changed


def which_base(description: str | None) -> Given:
    """From the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--base", default="embedded", help="another base's folder, see benchmarks.bases")
    parser.add_argument("--name", default="", help="goes into the name of the result's file")
    parser.add_argument("--processes", type=int, default=PROCESSES, help="of one thread each")
    given = parser.parse_args()
    return Given(given.base, f"_{given.name}" if given.name else "", given.processes)


def spread(work: Callable[[Job], Done], jobs: Iterable[Job], processes: int = PROCESSES) -> list[Done]:
    """The jobs done in processes of one thread each: two such are faster than one of two threads."""
    with ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        return list(pool.map(work, jobs))
