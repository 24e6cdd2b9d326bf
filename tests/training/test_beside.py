"""Sequences in which earlier adapters stay: what is frozen, what moves, and what comes out."""

import pytest
import torch
from tiny import CONFIG, base, settings, task

from lori_core.bases.load import target_modules
from lori_core.config import Method, TrainConfig
from lori_core.evaluation.evaluate import evaluate
from lori_core.method.adapter import blank
from lori_core.method.masks import kept_count
from lori_core.method.stack import stacked
from lori_core.results import Score
from lori_core.tasks.task import Task
from lori_core.training.beside import learn_beside
from lori_core.training.continual import LearnedSequence
from lori_core.training.learn import learn

TRAINING: dict[Method, TrainConfig] = {"lori_d": settings(), "lori_s": settings()}


def learned(method: Method, projection: str = "conditioned") -> LearnedSequence:
    tiny = base()

    def score(each: Task) -> Score:
        return evaluate(tiny.model, tiny.tokenizer, each, "test").score

    config = CONFIG.changed(projection=projection)
    return learn_beside(tiny, [task("after"), task("before")], method, config, TRAINING, score)


@pytest.mark.parametrize("method", ["lori_d", "lori_s"])
def test_the_earlier_task_s_update_stays_as_it_was_to_the_bit(method):
    first, second = learned(method).adapters
    for module, factors in second.factors.items():
        old = first.factors[module]
        assert torch.equal(factors.A[: old.rank], old.A)
        assert torch.equal(factors.scaling * factors.B[:, : old.rank], old.scaling * old.B)
        assert bool(factors.B[:, old.rank :].any()) or method == "lori_s"


def test_a_new_mask_keeps_the_share_of_its_own_columns_that_was_asked_for():
    first, second = learned("lori_s").adapters
    new = [factors.mask[:, first.factors[module].rank :] for module, factors in second.factors.items()]
    assert sum(int(mask.sum()) for mask in new) == kept_count(sum(mask.numel() for mask in new), CONFIG.sparsity)


@pytest.mark.parametrize("projection", ["conditioned", "kaiming_uniform"])
def test_the_first_task_has_the_random_A_and_the_later_one_what_was_asked_for(projection):
    first, second = learned("lori_d", projection).adapters
    random = blank("after", {m: f.shape for m, f in first.factors.items()}, CONFIG.changed(sparsity=0.0))
    assert all(torch.equal(factors.A, random.factors[m].A) for m, factors in first.factors.items())
    assert bool(second.drawn_from) == (projection == "kaiming_uniform")


def test_the_result_says_that_earlier_adapters_stayed():
    result = learned("lori_d").result
    assert result.beside
    assert result.order == ("after", "before")
    assert len(result.matrix) == len(result.matrix[0]) == 2
    assert result.loss_forgetting.keys() == result.forgetting.keys() == {"after", "before"}


def test_a_first_adapter_that_was_learned_already_is_gone_on_with():
    tiny = base()
    first = learn(tiny, task("after"), "lori_d", CONFIG, TRAINING).adapter

    def score(each: Task) -> Score:
        return evaluate(tiny.model, tiny.tokenizer, each, "test").score

    config = CONFIG.changed(projection="conditioned")
    tasks = [task("after"), task("before")]
    found = learn_beside(tiny, tasks, "lori_d", config, TRAINING, score, first=first)
    assert found.adapters[0] is first
    assert found.result.matrix == learned("lori_d").result.matrix


def test_a_stack_is_the_sum_of_both_updates_of_which_the_new_one_moves():
    tiny = base()
    old = learn(tiny, task("after"), "lori_d", CONFIG.changed(scaling=0.5), TRAINING).adapter
    new = learn(tiny, task("before"), "lori_d", CONFIG, TRAINING).adapter
    both, moves = stacked(old, new)
    for module in target_modules(tiny.model):
        torch.testing.assert_close(both.factors[module].update, old.factors[module].update + new.factors[module].update)
        assert int(moves[module].sum()) == new.factors[module].mask.sum()
        assert not bool(moves[module][:, : old.factors[module].rank].any())
