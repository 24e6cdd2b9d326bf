"""Data of a run: fingerprints of its tasks' examples, kept in its folder, so that no later sitting mixes in others.

A file may change between two sittings, and so may a data set of the hub, while units, adapters and checkpoints stay.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from lori_core.config import Split
from lori_core.errors import RunError
from lori_core.files import read_json, write_atomic
from lori_core.study.layout import Layout
from lori_core.tasks.task import Task, fingerprint

Data = dict[str, dict[str, str]]  # task -> split -> fingerprint of its examples


def check_data(layout: Layout, tasks: Sequence[Task], splits: Sequence[Split]) -> Data:
    """The fingerprints of the tasks, for keep_data(); to be asked before the base is loaded, which may take minutes.

    Raises:
        RunError: a task has not the examples any more that the run began with.
    """
    found = {task.name: {split: fingerprint(task.examples(split)) for split in splits} for task in tasks}
    kept = _kept(layout)
    for name, of_task in found.items():
        for split, now in of_task.items():
            with suppress(LookupError, TypeError):  # a run from before these were kept goes on
                if kept[name][split] != now:
                    raise RunError("run_of_other_data", task=name, split=split, path=layout.folder)
    return found


def keep_data(layout: Layout, data: Data) -> None:
    """Keeps them at the first sitting; once the processes of a launch have met, since others copy the folder before."""
    if not layout.data.exists():
        write_atomic(layout.data, json.dumps(data, ensure_ascii=False, indent=1))


def _kept(layout: Layout) -> Any:
    """What the run's folder says; nothing where it cannot be read."""
    with suppress(OSError, ValueError):
        return read_json(layout.data)
    return {}
