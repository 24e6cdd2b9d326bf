"""Processes of one launch (`accelerate launch`, torchrun): all do the same work, each on its share of every batch.

The first writes the run. Each other works in a folder of its own that is thrown away, so that nothing is written twice
and what work reads back is there for every process. The launcher tells them apart by environment variables.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from lori_core.files import named


def process_count() -> int:
    """How many processes were launched together; 1 where none was launched."""
    return int(os.environ.get("WORLD_SIZE", 1))


def is_first_process() -> bool:
    """Whether this one writes and speaks for all."""
    return process_count() == 1 or os.environ.get("RANK") == "0"


def base_is_shared() -> bool:
    """Whether the launch asked for a base that is shared out over its processes (`accelerate launch --use_fsdp`)."""
    return process_count() > 1 and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


@contextmanager
def own_folder(folder: Path) -> Iterator[Path]:
    """Where this process writes what belongs in `folder`: there, or, if it is not the first, in a copy of a run.

    What it finds there is what the first one begins with: that one meets the others before it changes more than events.
    """
    if is_first_process():
        yield folder
        return
    with TemporaryDirectory(prefix="lori-") as scratch:
        copy = Path(scratch, named(folder).name)
        if (folder / "spec.json").is_file():
            shutil.copytree(folder, copy)
        yield copy
