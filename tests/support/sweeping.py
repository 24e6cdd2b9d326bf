"""A study that is small enough for a sweep of many units."""

import json
from pathlib import Path

import tiny

from lori_core.config import Method, TrainConfig
from lori_core.study.runs import Run
from lori_core.study.specs import StudyConfig

FEW = TrainConfig(learning_rate=1e-2, steps=2, batch_size=2, max_length=32, warmup_steps=0)
TRAINING: dict[Method, TrainConfig] = {"lori_d": FEW, "lori_s": FEW}


def a_study(folder: Path) -> StudyConfig:
    """Of a task and a base that lie in the folder, two steps a training."""
    tiny.saved_base(folder / "base")
    rows = [{"prompt": f"{a}{b}:", "response": chr(ord(b) + 1)} for a in "abcd" for b in "bcdefghijk"]
    (folder / "after.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return StudyConfig(
        tasks=(f"after={folder / 'after.jsonl'}",),
        methods=("lori_s",),
        train=TRAINING,
        base=str(folder / "base"),
        precision="fp32",
        device="cpu",
        validation_examples=2,
        test_examples=2,
    )


def states(run: Run) -> list[str]:
    return [event["state"] for event in run.events() if event["kind"] == "state"]
