"""Rows of our own in the form of the data sets that the real model's adapters learned, so that a notebook needs none.

assets/lessons has five of each data set. They are new to every adapter, and easier than the data sets' own.
"""

from dataclasses import replace

from lori_core.assets import ASSETS
from lori_core.config import Split
from lori_core.tasks.registry import load_task
from lori_core.tasks.task import Task

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def real_tasks() -> list[Task]:
    """One a data set, named after it and judged by the loss of the right response; every split is all of the rows."""
    files = sorted((ASSETS / "lessons").glob("*.jsonl"))
    return [_whole(load_task(f"{file.stem}={file}?scorer=likelihood")) for file in files]


def _whole(task: Task) -> Task:
    rows = tuple(example for split in SPLITS for example in task.examples(split))
    return replace(task, load=lambda split: rows)
