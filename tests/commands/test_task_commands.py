"""`lori tasks` and `lori tasks check`: what is said of a file before anything is learned, how early it is refused."""

import json
import re
import subprocess
import sys
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lori_core.commands import app, learning
from lori_core.commands.options import TRAINING_OPTIONS, train_configs
from lori_core.evaluation.intervals import score_of
from lori_core.results import Output
from lori_core.study.runs import Run
from lori_core.tasks.check import DOUBTS, check_task
from lori_core.tasks.registry import OPTIONS, asked_of, load_task
from lori_core.translate import translate


def write(path: Path, rows: list[str]) -> Path:
    path.write_text("q,a\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def doubts(path: Path, rows: list[str], options: str = "prompt=q&response=a") -> set[str]:
    spec = f"t={write(path, rows)}?{options}"
    return {name for name, _ in check_task(spec, load_task(spec)).doubts}


GOOD = [f"what is {n} plus {n},{2 * n + 100}" for n in range(1000)]


def test_each_doubt_is_had_of_a_file_that_deserves_it_and_none_of_a_good_one(tmp_path: Path):
    file, words = tmp_path / "a.csv", " ".join(["long"] * 30)
    assert doubts(file, GOOD) == set()
    assert doubts(file, GOOD[:60]) == {"few"} and "empty" in doubts(file, GOOD[:1])
    assert doubts(file, [*GOOD, *(row + "0" for row in GOOD[:50])]) == {"contradicting"}
    assert doubts(file, GOOD + GOOD[:50]) == {"repeated"}
    assert doubts(file, GOOD + [row.replace(" ", "  ", 1) for row in GOOD[:50]]) == {"twins"}
    assert doubts(file, [f"is it {n},{'no' if n % 20 else 'yes'}" for n in range(1000)]) == {
        "lopsided",
        "labels_by_exact",
    }
    assert doubts(file, [f"word {n},{n}" for n in range(1000)]) == {"given_away"}
    assert doubts(file, [f"say <|im_end|> {n},x{n}" for n in range(1000)]) == {"control_names"}
    assert doubts(file, [f"tell me {n},{words} of x{n}" for n in range(1000)]) == {"unlikely_exact"}


@pytest.mark.parametrize("language", ["en", "ja"])
def test_what_is_said_of_a_file(language: str, tmp_path: Path):
    file = write(tmp_path / "a.csv", [f"問い {n} ですか,いいえ" for n in range(100)] * 2)
    file.write_bytes(file.read_text(encoding="utf-8").encode("cp932"))
    done = CliRunner().invoke(app, ["tasks", "check", f"t={file}?prompt=q&response=a", "--language", language])
    assert done.exit_code == 0, done.output
    assert "a.csv: cp932" in done.output and "⟦いいえ⟧" in done.output
    assert translate("command.check.why.default", language) in done.output
    count = len(load_task(f"t={file}?prompt=q&response=a").examples("train")) // 2
    assert translate("command.check.doubt.repeated", language, count=count) in done.output


def test_every_doubt_and_reason_has_its_sentence():
    for language in ("en", "ja"):
        keys = [
            *(f"doubt.{name}" for name in DOUBTS),
            *(f"why.{why}" for why in ("named", "choices", "known", "default")),
        ]
        values = {"count": 1, "n": 1, "points": 1, "splits": "", "answer": "", "share": "", "name": "", "length": 1}
        assert all(translate(f"command.check.{key}", language, **values) for key in keys)


def test_a_forgotten_name_is_told(tmp_path: Path):
    done = CliRunner().invoke(app, ["tasks", "check", f"{tmp_path}/a.csv?prompt=q&response=a"])
    assert done.exit_code == 2 and "names a file but no task" in done.output


@pytest.mark.parametrize("command", ["check", "train"])
def test_a_wrong_column_is_refused_before_torch_is_loaded(command: str, tmp_path: Path):
    spec = f"t={write(tmp_path / 'a.csv', GOOD)}?prompt=question&response=a"
    given = (
        ["tasks", "check", spec] if command == "check" else ["train", "--task", spec, "--out", str(tmp_path / "lab")]
    )
    code = (
        "import sys\nfrom lori_core.commands import app\n"
        f"try: app({given!r})\nexcept SystemExit as done: print(done.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"] and "no column 'question'" in done.stderr
    assert not list((tmp_path / "lab").glob("*"))


def test_every_spec_of_the_recipes_has_options_that_there_are():
    page = (Path(__file__).parents[2] / "docs" / "own_data.md").read_text(encoding="utf-8")
    specs = re.findall(r"^(?:lori .*)?'?(\w+=\S+?\?[^'\n]+)'?$", page, re.MULTILINE)
    assert len(specs) >= 6 and all(asked_of(spec) for spec in specs)
    named = {option for option in re.findall(r"`(\w+)=", page) if option not in ("train", "val")}
    assert named <= set(OPTIONS)


def test_a_finished_run_shows_its_outputs_beside_what_was_expected(tmp_path: Path):
    run = Run.create(tmp_path, "evaluate", {})
    score = asdict(score_of("t", "test", "exact", [1.0, 0.0], ["", ""], 1.0))
    outputs = [asdict(Output(f"question {n}", " yes", f" said {n}", float(n == 0))) for n in range(2)]
    run.save_result(json.dumps({"by_task": {"t": {"score": score, "outputs": outputs}}}))
    with run.start():
        pass
    done = CliRunner().invoke(app, ["show", str(run.path), "--outputs", "1"])
    assert done.exit_code == 0, done.output
    assert "question 0" in done.output and "said 0" in done.output and "question 1" not in done.output


def test_the_optimizer_batch_and_the_scored_examples_are_options():
    every: dict[str, Any] = {field: None for field in TRAINING_OPTIONS} | {"gradient_checkpointing": False}
    every |= {"optimizer_batch": 7, "batch": 3}
    configs = train_configs("embedded", **every)
    assert {(config.batch_size, config.micro_batch_size) for config in configs.values()} == {(7, 3)}
    for command in ("train", "study", "continual"):
        assert "test_examples" in signature(getattr(learning, command)).parameters
