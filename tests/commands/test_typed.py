"""The command that a page shows starts the very study that its button starts: it is parsed back."""

import shlex
from typing import Any

import pytest
from typer.testing import CliRunner

from lori_core.commands import app, learning
from lori_core.commands.options import train_configs
from lori_core.commands.typed import study_command
from lori_core.config import AdapterConfig
from lori_core.study.specs import StudyConfig


def parsed(command: str, monkeypatch: pytest.MonkeyPatch) -> StudyConfig:
    """The settings that the command line makes of it."""
    made = []
    monkeypatch.setattr(learning, "start", lambda _, __, ___, model, **values: made.append(model(**values)))
    program, *arguments = shlex.split(command)
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert program == "lori" and done.exit_code == 0, done.output
    return made[0]


def training(base: str = "embedded", **asked: Any) -> Any:
    given: dict[str, Any] = dict.fromkeys(("steps", "recipe", "rates", "batch", "optimizer_batch", "length"))
    given |= {"gradient_checkpointing": False} | asked
    return train_configs(base, **given)


STUDIES = {
    "defaults": StudyConfig(),
    "a file with blanks and quotes": StudyConfig(tasks=("math?level=3", "mine=/a b/it's.csv?prompt={q} & $x")),
    "methods, seeds, merges": StudyConfig(methods=("lori_s_conditioned",), seeds=(0, 1, 2), merge_methods=("ties",)),
    "adapter": StudyConfig(
        adapter=AdapterConfig(rank=7, sparsity=0.95, projection="orthogonal", target_modules=("q_proj", "*.[0-3].*"))
    ),
    "one rate": StudyConfig(train=training(rates=["lori_s=0.00123456789"])),
    "all of the training": StudyConfig(
        train=training(steps=9, batch=2, optimizer_batch=4, length=64, rates=["lora=1e-05", "lori_d=0.25"])
    ),
    "footprints": StudyConfig(methods=("lori_d_conditioned",), footprints=("/a b/corpus", "lab/store/.footprints/x/1")),
    "another base": StudyConfig(
        base="some/model",
        chat=True,
        quantization="4bit",
        device="cuda:1",
        precision="bf16",
        later_rate=0.3,
        later_masks="own_run",
        test_examples=50,
        train=training("some/model", steps=12, gradient_checkpointing=True),
    ),
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_and_what_is_typed_for_it_are_the_same(name: str, monkeypatch: pytest.MonkeyPatch):
    assert parsed(study_command(STUDIES[name]), monkeypatch) == STUDIES[name]


def test_what_stands_at_its_default_is_not_typed():
    assert study_command(StudyConfig()) == "lori study"
