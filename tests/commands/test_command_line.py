"""The commands as people type them: most in this process, kills, signals and full disks in real ones."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
from rich.console import Console
from typed import lori, refused

from lori_core.commands.progress import progress
from lori_core.config import TrainConfig
from lori_core.results import ContinualResult, StudyResult, from_json
from lori_core.sandbox.run import isolation
from lori_core.study.pace import planned
from lori_core.study.runs import Run, list_runs
from lori_core.study.specs import StudyConfig
from lori_core.training.recipes import training_for
from lori_core.translate import messages, translate

posix = pytest.mark.skipif(sys.platform == "win32", reason="kills and limits as POSIX has them")


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """A folder with a tiny base and two tasks."""
    folder = tmp_path_factory.mktemp("given")
    tiny.llama().save_pretrained(folder / "base")
    tiny.byte_tokenizer().save_pretrained(folder / "base")
    for name, step in (("after", 1), ("before", -1)):
        rows = [{"prompt": f"{name} {a}{b}:", "response": chr(ord(b) + step)} for a in "abcd" for b in "bcdefghijk"]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def on_base(given: Path, out: Path, steps: int = 2) -> list[object]:
    return ["--base", given / "base", "--precision", "fp32", "--rank", 4, "--steps", steps, "--out", out]


def study_command(given: Path, out: Path, *more: object) -> list[str]:
    tasks = [part for name in ("after", "before") for part in ("--task", f"{name}={given / name}.jsonl")]
    return [str(part) for part in ("study", *tasks, "--method", "lori_s", *on_base(given, out, 3), *more)]


def real(*arguments: object, limit: str = "") -> subprocess.Popen[str]:
    """`python -m lori_core` in a process of its own; limit: shell commands before it."""
    command = ["sh", "-c", f'{limit} exec "$@"', "sh", sys.executable, "-m", "lori_core", *map(str, arguments)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=root)


def wait_for(out: Path, process: subprocess.Popen[str], **wanted: object) -> Run:
    """The run, once it has told an event with these values."""
    while process.poll() is None:
        for run in list_runs(out):
            if any(wanted.items() <= event.items() for event in run.events()):
                return run
        time.sleep(0.02)
    pytest.fail(str(process.communicate()))


# --- answers at once


def test_help_imports_no_torch_and_names_every_command():
    script = """
import sys
from lori_core.__main__ import app
try:
    app(["--help"])
except SystemExit as exit:
    print("code", exit.code, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "code 0 False" in done.stdout
    commands = "study calibrate train merge continual evaluate export import run resume show tasks"
    assert all(f"│ {command} " in done.stdout for command in commands.split())


def test_tasks_says_which_there_are_and_how_to_name_one_s_own():
    assert "nlu, math, code, safety" in lori("tasks").stdout
    assert "name=path?prompt=COLUMN" in lori("tasks").stdout
    assert "ミニタスク" in lori("tasks", "--language", "ja").stdout


def test_messages_exist_in_both_languages():
    ours = {key for key in messages("en") if key.startswith("command.")}
    assert ours and ours == {key for key in messages("ja") if key.startswith("command.")}


# --- commands that work


def test_calibrate_train_merge_evaluate_and_show_go_hand_in_hand(given, tmp_path):
    task = f"after={given / 'after.jsonl'}"
    calibrated = lori("calibrate", "--task", task, *on_base(given, tmp_path))
    assert calibrated.exit_code == 0, calibrated.output
    (first,) = list_runs(tmp_path)
    mask = first.path / "adapters" / "mask"
    assert f"Adapter: {mask}" in calibrated.stdout
    trained = lori("train", "--task", task, "--mask", mask, "--learning-rate", "lori_s=1e-2", *on_base(given, tmp_path))
    assert trained.exit_code == 0, trained.output
    run = next(run for run in list_runs(tmp_path) if run.kind == "train")
    assert run.config["train"]["lori_s"]["learning_rate"] == 1e-2 and run.config["train"]["lori_s"]["steps"] == 2
    adapter = run.path / "adapters" / "trained"
    assert lori("merge", adapter, mask, "--weight", 0.5, "--out", tmp_path).exit_code == 0
    shortened = lori("merge", adapter, mask, "--method", "ties", "--keep", 0.5, "--rank", 2, "--out", tmp_path / "ties")
    assert shortened.exit_code == 0, shortened.output
    (ties,) = list_runs(tmp_path / "ties")
    assert json.loads(ties.result())["merge"]["options"] == {"keep": 0.5, "rank": 2}
    refused(lori("merge", adapter, mask, "--keep", 0.5, "--out", tmp_path / "concat"), "concat", "keep")
    refused(lori("merge", adapter, mask, "--method", "ties", "--keep", 2, "--out", tmp_path / "concat"), "keep", "2")
    assert list((tmp_path / "concat").iterdir()) == []
    where = ["--base", given / "base", "--precision", "fp32", "--out", tmp_path]
    scored = lori("evaluate", "--task", task, "--adapter", adapter, "--limit", 2, *where)
    assert "exact" in scored.stdout
    assert "0.900" in lori("show", adapter).stdout  # sparsity
    listed = lori("show", "--out", tmp_path).stdout
    assert all(run.path.name in listed for run in list_runs(tmp_path)) and listed.count("finished") == 4
    again = lori("show", run.path).stdout
    assert f"lori run {run.path}/spec.json" in again
    repeated = lori("run", run.path / "spec.json", "--out", tmp_path / "again")
    assert repeated.exit_code == 0, repeated.output
    (other,) = list_runs(tmp_path / "again")
    values = [each.path / "adapters" / "trained" / "lori.safetensors" for each in (run, other)]
    assert values[0].read_bytes() == values[1].read_bytes()


def test_what_decides_memory_can_be_set_for_training_as_for_the_estimate(given, tmp_path):
    options = ["--batch", 2, "--length", 24, "--gradient-checkpointing"]
    task = ["--task", f"after={given / 'after.jsonl'}"]
    trained = lori("train", *task, "--method", "lori_d", *options, *on_base(given, tmp_path))
    assert trained.exit_code == 0, trained.output
    (run,) = list_runs(tmp_path)
    for settings in run.config["train"].values():
        assert (settings["micro_batch_size"], settings["max_length"]) == (2, 24)
        assert settings["gradient_checkpointing"] is True
    assert json.loads(run.result())["training"]["steps"] == 2
    planned = lori("estimate", "--base", given / "base", "--rank", 4, "--device", "cpu", *options)
    assert planned.exit_code == 0, planned.output
    refused(lori("train", *task, "--length", 8, *on_base(given, tmp_path / "short")), "8")


def test_a_recipe_is_asked_for_by_name_and_stands_in_the_run_with_what_was_changed(given, tmp_path):
    options = ["--recipe", "embedded", "--learning-rate", "lori_d=0.5", *on_base(given, tmp_path)]
    done = lori("train", "--task", f"after={given / 'after.jsonl'}", "--method", "lori_d", *options)
    assert done.exit_code == 0, done.output
    (run,) = list_runs(tmp_path)
    known = training_for("embedded")
    asked = known["lori_d"].changed(learning_rate=0.5), known["lora"]
    for method, expected in zip(("lori_d", "lora"), asked, strict=True):
        assert TrainConfig(**run.config["train"][method]) == expected.changed(steps=2)


def test_foreign_code_runs_only_when_it_may_and_drawn_answers_give_pass_at_k(given, tmp_path):
    row = {"prompt": "def f(x):\n", "canonical_solution": "    return x\n", "entry_point": "f"}
    row["test"] = "def check(candidate):\n    assert candidate(1) == 1\n"
    file = tmp_path / "code.jsonl"
    file.write_text(json.dumps(row), encoding="utf-8")
    where = ["--base", given / "base", "--precision", "fp32", "--out", tmp_path / "runs"]
    refused(lori("evaluate", "--task", f"code={file}", *where), "--allow-code-execution")
    drawn = lori("evaluate", "--task", f"code={file}", "--allow-code-execution", "--samples", 5, *where)
    assert drawn.exit_code == 0, drawn.output
    assert "pass@1" in drawn.stdout and "pass@5" in drawn.stdout
    (run,) = list_runs(tmp_path / "runs")
    result = json.loads(run.result())
    score = result["by_task"]["code"]["score"]
    assert score["isolation"] == isolation() and len(result["by_task"]["code"]["outputs"]) == 5
    assert translate(f"report.isolation.{isolation()}", "en") in drawn.stdout
    assert score["prompts"] == "lab-1"
    refused(lori("evaluate", "--task", f"code={file}", "--samples", 0, *where, "--allow-code-execution"), "0")
    trained = lori("train", "--task", f"code={file}", "--allow-code-execution", "--rank", 4, *where)
    refused(trained, "has no train split")


def test_continual_prints_what_is_left_of_each_task_beside_what_was_learned_and_how(given, tmp_path):
    tasks = [part for name in ("after", "before") for part in ("--task", f"{name}={given / name}.jsonl")]
    options = ("--method", "lori_s", "--later-rate", 0.3, "--later-masks", "own_run")
    done = lori("continual", *tasks, *on_base(given, tmp_path), *options, "--language", "ja")
    assert done.exit_code == 0, done.output
    (run,) = list_runs(tmp_path)
    sequence = run.result_as(ContinualResult)
    assert (sequence.later_rate, sequence.later_masks) == (0.3, "own_run")
    said = "".join(done.stdout.split())
    assert "忘却" in said and f"新しいタスクの到達点{sequence.matrix[1][1]:.2f}" in said
    assert "後続の学習率0.3倍" in said and "単独の学習によるマスク" in said


# --- interrupted, and gone on


def scores(result: StudyResult) -> list[object]:
    singles = [(s.task, s.method, s.score.outcomes, s.training.losses) for s in result.singles]
    merges = [(m.weight, sorted((task, score.outcomes) for task, score in m.scores.items())) for m in result.merges]
    return [*singles, *merges, *(sequence.matrix for sequence in result.continual), result.interference]


def total(run: Run) -> int:
    return next(event["units"] for event in run.events() if event["kind"] == "plan")


def adapters(run: Run) -> dict[str, bytes]:
    folder = run.path / "adapters"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.safetensors")}


@posix
def test_a_study_killed_and_resumed_equals_one_that_was_never_interrupted(given, tmp_path):
    whole = lori(*study_command(given, tmp_path / "whole"))
    assert whole.exit_code == 0, whole.output
    (expected,) = list_runs(tmp_path / "whole")
    assert f"Report: {expected.path / 'report.html'}" in whole.stdout
    assert (expected.path / "report.ja.html").exists()
    assert "LoRI-S, merged (concat)" in whole.stdout
    units = {path.stem for path in (expected.path / "units").iterdir()}
    assert units == set(planned(StudyConfig(**expected.config)))

    out = tmp_path / "killed"
    with real(*study_command(given, out)) as process:
        run = wait_for(out, process, kind="step", task="before", stage="train", step=2)
        process.kill()
    assert run.state() == "orphaned"
    units = set(os.listdir(run.path / "units"))
    assert f"lori resume {run.path}" in lori("show", run.path).stdout
    resumed = lori("resume", "--out", out)
    assert resumed.exit_code == 0, resumed.output
    started = [event["name"] for event in run.events() if event.get("state") == "started"]
    assert units and all(started.count(unit.removesuffix(".json")) == 1 for unit in units)  # none was done twice
    before, after = (from_json(StudyResult, each.result()) for each in (expected, run))
    assert f"[{total(run)}/{total(run)}]" in resumed.stdout  # what the first sitting did is counted
    assert scores(before) == scores(after)
    assert adapters(expected) == adapters(run)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_at_its_next_step_and_says_how_to_go_on(given, tmp_path, number):
    task = f"after={given / 'after.jsonl'}"
    with real("train", "--task", task, "--method", "lora", *on_base(given, tmp_path, 100_000)) as process:
        run = wait_for(tmp_path, process, kind="step", step=3)
        process.send_signal(number)
        output, errors = process.communicate()
    assert process.returncode == 130, errors
    assert f"lori resume {run.path}" in output and "Traceback" not in errors
    assert run.state() == "stopped"
    assert list(run.checkpoints.rglob("train.pt"))


@posix
def test_a_run_in_use_is_left_alone(given, tmp_path):
    task = f"after={given / 'after.jsonl'}"
    with real("train", "--task", task, "--method", "lora", *on_base(given, tmp_path, 100_000)) as process:
        run = wait_for(tmp_path, process, kind="step", step=1)
        refused(lori("resume", run.path), run.path, process.pid)
        assert run.state() == "running"
        process.kill()


@posix
def test_a_disk_that_takes_no_more_is_told_and_the_run_goes_on_once_it_does(given, tmp_path):
    task = f"after={given / 'after.jsonl'}"
    command = ["train", "--task", task, "--method", "lora", *on_base(given, tmp_path)]
    with real(*command, limit="ulimit -f 8;") as process:  # blocks of 512 bytes; the adapter is larger
        _, errors = process.communicate()
    assert process.returncode == 2, errors
    assert "larger than this disk or this account allows" in errors and "Traceback" not in errors
    (run,) = list_runs(tmp_path)
    assert run.state() == "failed"
    assert not list(run.path.rglob("*.safetensors")) and not list(run.path.rglob("*.tmp"))
    assert lori("resume", run.path).exit_code == 0
    assert run.state() == "finished"


# --- refused


BAD_FILES = {  # name -> (content, what the message names)
    "columns.jsonl": (b'{"q": "a", "a": "b"}\n', ["columns.jsonl", "q, a", "prompt=COLUMN"]),
    "empty.jsonl": (b"", ["empty.jsonl", "no rows"]),
    "encoding.csv": (
        b"\xef\xbb\xbfprompt,response\na,\xff\xfe\n",
        ["encoding.csv", "row 2", "UTF-8"],
    ),  # its mark says UTF-8
    "json.jsonl": (b'{"prompt": "a", "response": "b"}\n{"prompt"\n', ["json.jsonl", "row 2", "JSON"]),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named_with_row_and_remedy_and_leaves_no_run(given, tmp_path, name):
    content, words = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    out = tmp_path / "lab"
    refused(lori("study", "--task", f"mine={tmp_path / name}", *on_base(given, out)), *words)
    assert list(out.iterdir()) == []


def test_a_column_that_is_missing_is_named(given, tmp_path):
    path = given / "after.jsonl"
    done = lori("train", "--task", f"mine={path}?prompt=prompt&response=reply", *on_base(given, tmp_path))
    refused(done, path, "row 1", "reply", "prompt, response")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--task", "cooking"], ["cooking", "nlu, math, code, safety"]),
        (["--method", "lorax"], ["lorax", "lori_s"]),
        (["--module", "w_proj"], ["w_proj", "q_proj"]),
        (["--sparsity", 1], ["sparsity", "1.0", "less than 1"]),
        (["--rank", 33], ["33", "q_proj"]),
        (["--base", "/no/such/folder"], ["/no/such/folder", "config.json"]),
        (["--granularity", "row"], ["granularity", "row", "matrix"]),
        (["--merge-method", "blend"], ["blend", "concat"]),
        (["--learning-rate", "1e-3"], ["1e-3", "METHOD=RATE", "lori_s"]),
        (["--learning-rate", "lori_s=fast"], ["learning_rate", "fast"]),
        (["--recipe", "paper"], ["paper", "embedded, official"]),
        (["--seeds", "0,a"], ["0,a", "0,1,2"]),
        (["--language", "fr"], ["fr", "en, ja"]),
    ],
)
def test_a_bad_setting_is_named_with_what_was_expected_and_leaves_no_run(given, tmp_path, options, words):
    refused(lori(*study_command(given, tmp_path), *options), *words)
    assert list(tmp_path.iterdir()) == []


def test_rows_that_are_all_too_long_are_told(given, tmp_path):
    path = tmp_path / "long.jsonl"
    rows = [{"prompt": f"{number} " + "x" * 600, "response": "y"} for number in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    refused(lori("train", "--task", f"long={path}", *on_base(given, tmp_path / "lab")), "512 tokens", "max_length")
    assert list((tmp_path / "lab").iterdir()) == []


def test_errors_come_in_japanese_where_asked(tmp_path):
    done = lori("resume", "--out", tmp_path, "--language", "ja")
    refused(done, "未完了の実行はありません")


def test_a_finished_run_is_not_resumed(tmp_path):
    run = Run.create(tmp_path, "train", {})
    with run.start():
        pass
    refused(lori("resume", run.path), "finished", "spec.json")
    assert run.path.exists()


def test_a_terminal_shows_units_done_once_each_and_the_stage_with_its_loss(tmp_path):
    screen = io.StringIO()
    with progress(Console(file=screen, force_terminal=True, width=100), "en") as on_event:
        on_event({"kind": "plan", "units": 4, "done": ["base-0"]})
        for name in ("calibrate-own-0-0", "calibrate-own-0-0", "single-lori_s-0-0"):
            on_event({"kind": "unit", "name": name, "state": "done"})
        numbers = {"loss": 1.25, "tokens_per_second": 4000.0, "seconds_left": 61.0}
        on_event({"kind": "step", "step": 2, "steps": 8, "task": "math", "stage": "train", **numbers})
    assert "3/4" in screen.getvalue() and "4/4" not in screen.getvalue()
    assert "math train" in screen.getvalue() and "2/8" in screen.getvalue()
    assert "loss 1.250, 4,000 tokens/s, 1:01 left" in screen.getvalue()


def test_a_terminal_shows_the_name_of_a_task_as_it_is_whatever_signs_it_holds():
    screen = io.StringIO()
    with progress(Console(file=screen, force_terminal=True, width=100), "en") as on_event:
        on_event({"kind": "plan", "units": 2, "done": []})
        on_event({"kind": "unit", "name": "single-[/x]", "state": "done"})
        on_event({"kind": "evaluate", "done": 1, "total": 2, "task": "a[/b]", "split": "test"})
    assert "a[/b] evaluate" in screen.getvalue() and "single-[/x]" in screen.getvalue()


@pytest.mark.parametrize("file", ["spec.json", "events.jsonl", "result.json"])
def test_a_damaged_run_ends_neither_the_list_nor_what_is_said_of_it(tmp_path, file):
    whole = Run.create(tmp_path, "study", {"tasks": ["math"]})
    damaged = Run.create(tmp_path, "study", {"tasks": ["math"]})
    with damaged.start():
        damaged.save_result("{}")
    for content in (b"\xff", b"[" * 100_000, b'{"kind": "state", "time": "x"}\n', None):
        (damaged.path / file).unlink()
        if content is None:
            (damaged.path / file).mkdir()
        else:
            (damaged.path / file).write_bytes(content)
        listed = lori("show", "--out", tmp_path)
        assert listed.exit_code == 0 and whole.path.name[-6:] in "".join(listed.stdout.split())
        for shown in (lori("show", damaged.path), lori("resume", damaged.path)):
            assert shown.exit_code in (0, 2) and "Traceback" not in shown.output, shown.output
