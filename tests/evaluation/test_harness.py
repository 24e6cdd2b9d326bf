"""lm-evaluation-harness beside our scores, item by item; a tiny model, offline."""

import json
import sys
from collections.abc import Sequence

import pytest
import tiny
import torch
from typer.testing import CliRunner

from lori_core.__main__ import app
from lori_core.bases.attach import applied
from lori_core.errors import TaskError
from lori_core.evaluation.evaluate import evaluate
from lori_core.evaluation.harness import check_harness, harness_score
from lori_core.study.runs import list_runs
from lori_core.tasks.task import Example, Task


def task_of(examples: Sequence[Example], scorer: str) -> Task:
    return Task("tiny", {"test": examples}.__getitem__, scorer, 8)


CHOICES = (" an oak", " an owl in a tree", " x")
CHOSEN = task_of([Example(f"question {n}?", CHOICES[n % 3], CHOICES, n % 3) for n in range(30)], "choice")


def test_it_is_told_when_the_extra_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TaskError, match=r"lori-lab\[eval\]"):
        check_harness([CHOSEN], "test")


def test_what_the_harness_cannot_score_is_refused_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: sys)
    with pytest.raises(TaskError, match=r"'tiny': refusal .*choice, number, exact"):
        check_harness([task_of([], "refusal")], "test")
    with pytest.raises(TaskError, match=r"tokens .*none, characters"):
        harness_score(tiny.base(), CHOSEN, choice_length="tokens")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    pytest.importorskip("lm_eval", reason='the extra "eval" is not installed')
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))


@pytest.mark.filterwarnings("ignore")  # the harness's own
@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("length", ["none", "characters"])
def test_choices_agree_item_by_item_also_with_an_adapter(length):
    base = tiny.base()
    plain = evaluate(base.model, base.tokenizer, CHOSEN, choice_length=length).score
    assert harness_score(base, CHOSEN, choice_length=length).outcomes == plain.outcomes
    with applied(base.model, tiny.filled(tiny.start(base), seed=3)):
        adapted = evaluate(base.model, base.tokenizer, CHOSEN, choice_length=length).score
        found = harness_score(base, CHOSEN, choice_length=length)
    assert found.outcomes == adapted.outcomes
    assert (found.value, found.low, found.high, found.n) == (adapted.value, adapted.low, adapted.high, adapted.n)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("offline")
def test_written_answers_agree_item_by_item_and_chance_is_left_alone():
    base = tiny.base()
    said = evaluate(base.model, base.tokenizer, task_of([Example(f"{n}", "?") for n in range(12)], "exact")).outputs
    examples = [Example(each.prompt, each.output if n % 2 else "?") for n, each in enumerate(said)]
    task = task_of(examples, "exact")
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    found = harness_score(base, task)
    assert torch.equal(torch.rand(1), expected)
    assert found.outcomes == evaluate(base.model, base.tokenizer, task).score.outcomes and found.value == 0.5


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("offline")
def test_the_command_shows_both_scores_of_a_base_an_adapter_and_a_merge_from_local_files(tmp_path):
    """Trained, merged and scored as people do it; the two scores agree in every outcome."""
    tiny.llama().save_pretrained(tmp_path / "base")
    tiny.byte_tokenizer().save_pretrained(tmp_path / "base")
    tasks = {}
    for name in ("birds", "trees"):
        rows = [{"q": f"{name} {n}?", "c": ["an oak", "an owl", "a teal"], "a": n % 3} for n in range(80)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        tasks[name] = ["--task", f"{name}={tmp_path / name}.jsonl?prompt=q&choices=c&response=a"]
    where = ["--base", tmp_path / "base", "--precision", "fp32", "--device", "cpu"]
    rate = ["--learning-rate", "lori_d=1"]  # high, so that answers change
    for name, task in tasks.items():
        done("train", *task, "--method", "lori_d", "--rank", 4, "--steps", 20, *rate, *where, "--out", tmp_path / name)
    adapters = [path for name in tasks for path in (tmp_path / name).glob("*/adapters/trained")]
    done("merge", *adapters, "--out", tmp_path / "merge")
    (merged,) = (tmp_path / "merge").glob("*/adapters/merged")
    outcomes = {}
    for number, adapter in enumerate((None, adapters[0], merged)):
        given = [] if adapter is None else ["--adapter", adapter]
        both = [part for task in tasks.values() for part in task]
        out = tmp_path / f"scores{number}"
        told = done("evaluate", *both, *given, *where, "--split", "train", "--harness", "--out", out)
        assert told.count("lm-eval acc") == told.count("choice") == len(tasks)
        (run,) = list_runs(out)
        result = json.loads(run.result())
        for name in tasks:
            ours, theirs = result["by_task"][name]["score"], result["harness"][name]
            assert ours["outcomes"] == theirs["outcomes"] and ours["n"] == theirs["n"] > 20
        outcomes[number] = [result["by_task"][name]["score"]["outcomes"] for name in tasks]
    assert outcomes[0] != outcomes[1] != outcomes[2] != outcomes[0]  # what was attached is what was scored


def done(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout
