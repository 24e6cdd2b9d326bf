"""Ready-made adapters of SmolLM2-135M: seed 0 of the real study goes into assets/adapters, with its test scores.

`LORI_DATA=FOLDER python -m benchmarks.real_ready_made`, after benchmarks.real has the LoRI-S adapters of all tasks.
"""

import json
import os
import shutil
from dataclasses import replace

from benchmarks.real import FOLDER, SPECS
from lori_core.embedded.ready_made import READY_MADE, REAL_TASKS, REAL_VARIANTS, SCORE, SCORES, ready_scores
from lori_core.files import write_atomic
from lori_core.method.adapter import Adapter
from lori_core.storage.adapter_files import load_adapter, save_adapter


def named(adapter: Adapter, task: str) -> Adapter:
    """By the data set's own name, and without the place of its rows on the machine that trained it."""
    data = adapter.record["data"]
    source = os.path.relpath(data["source"], os.environ["LORI_DATA"])
    return replace(adapter, name=task, record=adapter.record | {"task": task, "data": data | {"source": source}})


def main() -> None:
    scores = ready_scores()
    for short, task in zip(SPECS, REAL_TASKS, strict=True):
        for variant in REAL_VARIANTS:
            unit = f"single-{variant}-0-{short}"
            shutil.rmtree(READY_MADE / task / variant, ignore_errors=True)
            save_adapter(named(load_adapter(FOLDER / "adapters" / unit), task), READY_MADE / task / variant)
            score = json.loads((FOLDER / f"{unit}.json").read_bytes())["test"] | {"task": task}
            scores[f"{task}/{variant}"] = {key: score[key] for key in SCORE}
            print("written", READY_MADE / task / variant)
    write_atomic(SCORES, json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main()
