"""The adapters that ship with the embedded base open on it, and do what they say."""

from pathlib import Path

import pytest
import torch

from lori_core.bases.attach import applied
from lori_core.bases.load import Base, load_base
from lori_core.config import TrainConfig
from lori_core.embedded.ready_made import (
    METHODS,
    READY_MADE,
    REAL_TASKS,
    REAL_VARIANTS,
    TASKS,
    VARIANTS,
    measured,
    ready_made,
    ready_scores,
)
from lori_core.errors import AdapterError
from lori_core.evaluation.evaluate import evaluate
from lori_core.method.adapter import check_base
from lori_core.storage.header import read_header
from lori_core.tasks.mini import mini_task
from lori_core.training.recipes import training_for

pytestmark = pytest.mark.usefixtures("processor")


@pytest.fixture(scope="module")
def base() -> Base:
    return load_base("embedded", device="cpu")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("task", TASKS)
def test_each_was_trained_on_the_base_that_ships(base, task, variant):
    check_base(ready_made(task, variant), base.record)


def test_each_was_trained_at_the_settings_that_ship():
    for task in TASKS:
        for variant in VARIANTS:
            record = read_header(READY_MADE / task / variant)[0].record
            assert TrainConfig(**record["train"]) == training_for("embedded")[METHODS[variant]]


@pytest.mark.parametrize("task", TASKS)
def test_lori_s_answers_what_the_base_alone_does_not(base, task):
    def score() -> float:
        return evaluate(base.model, base.tokenizer, mini_task(task), "test", 32).score.value

    untaught = score()
    with applied(base.model, ready_made(task)):
        assert score() > untaught + 0.3


def test_the_base_computes_the_same_bits_whatever_the_processor(base):
    """The fixture's base was loaded before the processor was asked, this one with the answer of this test."""
    again = load_base("embedded", device="cpu")
    assert again.model.dtype == base.model.dtype == torch.float32
    tokens = torch.arange(5, 60)[None]
    assert torch.equal(again.model(tokens).logits, base.model(tokens).logits)
    outputs = []
    for each in (again, base):
        with applied(each.model, ready_made("math")):
            outputs.append(evaluate(each.model, each.tokenizer, mini_task("math"), "test", 32).outputs)
    assert outputs[0] == outputs[1]


def test_only_the_control_shares_its_projection():
    for variant in VARIANTS:
        shared = {ready_made(task, variant).config.shared_projection for task in TASKS}
        assert shared == {variant == "lori_d_shared"}


def test_only_a_conditioned_projection_reads_its_task_and_not_the_other_three():
    for task in TASKS:
        for variant in VARIANTS:
            adapter = ready_made(task, variant)
            if variant != "lori_s_conditioned":
                assert adapter.config.projection != "conditioned"
                continue
            known = adapter.record["conditioned"]
            assert adapter.config.projection == "conditioned" and known["own"]["name"] == task
            assert [other["name"] for other in known["others"]] == [each for each in TASKS if each != task]


@pytest.mark.parametrize("variant", REAL_VARIANTS)
def test_those_of_the_real_model_have_its_thirty_layers_and_tell_no_place_of_their_rows(variant):
    for task in REAL_TASKS:
        adapter = ready_made(task, variant)
        assert adapter.record["base"]["name"] == "smollm2" and adapter.record["task"] == adapter.name == task
        assert len(adapter.factors) == 30 * 7 and not Path(adapter.record["data"]["source"]).is_absolute()
        assert (adapter.config.projection == "conditioned") == (variant == "lori_s_conditioned")


def test_one_that_does_not_ship_is_refused_by_name():
    with pytest.raises(AdapterError, match=r"poems.*nlu.*lori_s"):
        ready_made("poems")


def test_what_each_scores_is_written_down_and_measured_again_it_is_the_same():
    known = ready_scores()
    real = {f"{task}/{variant}" for task in REAL_TASKS for variant in REAL_VARIANTS}
    assert known.keys() == {f"{task}/{variant}" for task in TASKS for variant in VARIANTS} | real
    again = measured(ready_made("nlu"), "nlu")
    assert again["n"] == known["nlu/lori_s"]["n"]
    assert known["nlu/lori_s"]["low"] <= again["value"] <= known["nlu/lori_s"]["high"]
