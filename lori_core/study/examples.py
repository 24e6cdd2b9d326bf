"""Examples: finished runs that ship, so that every page has something to see before anything is run.

`python -m app.examples` makes them again. They lie in assets/examples as any run does (runs.py), less what takes space
and no page shows: checkpoints, dense runs, adapters of LoRA. Nobody changes them, and no list counts them among a
user's own runs.
"""

import json

from lori_core.assets import ASSETS
from lori_core.study.runs import Run, list_runs

EXAMPLES = ASSETS / "examples"
MADE_BY = "python -m app.examples"
MADE = EXAMPLES / "made.json"  # {"commit": of the code that made them}


def examples() -> list[Run]:
    """The full study first, then the demo, then merges of adapters of the first."""
    return sorted(list_runs(EXAMPLES), key=lambda run: run.kind != "study")


def is_example(run: Run) -> bool:
    return run.path.parent == EXAMPLES


def made_at() -> str:
    """The commit of the code that made them."""
    return json.loads(MADE.read_bytes())["commit"]
