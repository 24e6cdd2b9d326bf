"""lm-evaluation-harness beside our scores, item by item; a tiny model, offline."""

import sys
from collections.abc import Sequence

import pytest
import tiny
import torch

from lori_core.errors import TaskError
from lori_core.evaluate import evaluate
from lori_core.harness import check_harness, harness_score
from lori_core.inject import applied
from lori_core.tasks.base import Example, Task


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
