"""A sequence of tasks: which entries a new task may move, and how forgetting follows from the scores."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import tiny
import torch

from lori_core.bases.load import Base
from lori_core.config import Method, Overlap
from lori_core.errors import AdapterError
from lori_core.results import Loss, Score
from lori_core.tasks.task import Task
from lori_core.training.continual import LearnedSequence, learn_sequence, shared_fraction
from lori_core.training.learn import fit, learn

pytestmark = pytest.mark.usefixtures("processor")

TASKS = (tiny.task("after"), tiny.task("before"), tiny.task("after again"))
CONFIG = tiny.CONFIG.changed(sparsity=0.8)


def score_of(value: float, task: str = "after") -> Score:
    return Score(task, "test", "exact", value, 0.0, 1.0, 4, 0.0)


def by_weights(base: Base) -> Callable[[Task], Score]:
    """A score that depends on what the model, as it is now, computes for the task."""

    def score(task: Task) -> Score:
        ids = base.tokenizer(task.examples("test")[0].prompt).input_ids
        return score_of(tiny.logits(base.model, [ids])[0, -1].softmax(-1).max().item(), task.name)

    return score


def sequence(
    overlap: Overlap = "allow", method: Method = "lori_s", config=CONFIG, tasks=TASKS, **options
) -> LearnedSequence:
    base = tiny.base()
    score = options.pop("score", None) or by_weights(base)
    return learn_sequence(base, tasks, method, config, tiny.by_method(), score, overlap=overlap, **options)


def test_excluding_masks_are_disjoint_and_earlier_entries_keep_their_bits():
    learned = sequence("exclude")
    k = round(0.2 * sum(mask.numel() for mask in learned.adapters[0].masks.values()))
    for number, adapter in enumerate(learned.adapters):
        assert sum(int(mask.sum()) for mask in adapter.masks.values()) == (number + 1) * k
    for before, after in pairwise(learned.adapters):
        moved = 0
        for module, factors in after.factors.items():
            held = before.factors[module]
            assert not (held.mask & ~factors.mask).any()
            assert torch.equal(factors.B[held.mask], held.values)
            assert torch.equal(factors.A, learned.adapters[0].factors[module].A)
            moved += int((factors.B != held.B).sum())
        assert moved > 0.9 * k
    assert learned.result.mask_overlap == (0, 0)


def test_allowed_overlap_moves_the_new_mask_s_entries_alone():
    learned = sequence("allow", tasks=TASKS[:2])
    first, second = learned.adapters
    k = first.trained_parameters
    moved = {module: factors.B != first.factors[module].B for module, factors in second.factors.items()}
    in_held = sum(int((moved[module] & mask).sum()) for module, mask in first.masks.items())
    added = second.trained_parameters - k
    (overlap,) = learned.result.mask_overlap
    assert 0 < overlap < 1
    assert added == round((1 - overlap) * k)
    assert in_held == round(overlap * k)
    assert all(not (moved[module] & ~mask).any() for module, mask in second.masks.items())


def test_after_a_sequence_the_config_says_the_sparsity_that_the_masks_of_all_tasks_have():
    first, *later = sequence("allow").adapters
    assert first.config.sparsity == 0.8
    for adapter in later:
        held = torch.cat([mask.flatten() for mask in adapter.masks.values()])
        assert adapter.config.sparsity == pytest.approx(1 - held.float().mean().item())
    assert 0.8 > later[0].config.sparsity > later[1].config.sparsity


def test_masks_that_no_room_is_left_for_are_refused():
    with pytest.raises(AdapterError) as caught:
        sequence("exclude", config=CONFIG.changed(sparsity=0.6))
    assert caught.value.key == "too_little_left"


@pytest.mark.parametrize("method", ["lori_d", "lora"])
def test_LoRI_D_and_LoRA_go_on_with_all_that_they_train(method):
    learned = sequence(method=method, tasks=TASKS[:2])
    first, second = learned.adapters
    assert learned.result.mask_overlap == (1.0,)
    for module, factors in second.factors.items():
        assert not torch.equal(factors.B, first.factors[module].B)
        assert torch.equal(factors.A, first.factors[module].A) == (method == "lori_d")


@pytest.mark.parametrize("method", ["lora", "lori_d"])
def test_later_tasks_are_learned_at_their_share_of_the_rate_and_the_first_is_not(method: Method):
    base, known = tiny.base(), tiny.by_method()
    whole, gentle = sequence(method=method, tasks=TASKS[:2]), sequence(method=method, tasks=TASKS[:2], later_rate=0.25)
    assert tiny.same_bits(whole.adapters[0], gentle.adapters[0])
    start = replace(gentle.adapters[0], name=gentle.adapters[1].name)
    slower = known[method].changed(learning_rate=0.25 * known[method].learning_rate)
    by_hand, _ = fit(base, TASKS[1], start, slower)
    assert tiny.same_bits(by_hand, gentle.adapters[1])
    assert (whole.result.later_rate, gentle.result.later_rate) == (1.0, 0.25)
    rates = (known[method].learning_rate, slower.learning_rate)
    assert (whole.result.learning_rate, gentle.result.learning_rate) == rates


def test_a_gentler_later_rate_leaves_the_mask_and_moves_its_entries_less():
    whole, gentle = sequence(tasks=TASKS[:2]), sequence(tasks=TASKS[:2], later_rate=0.1)
    assert tiny.same_tensors(whole.adapters[1].masks, gentle.adapters[1].masks)
    moved = []
    for first, second in (whole.adapters, gentle.adapters):
        changes = [second.factors[module].B - factors.B for module, factors in first.factors.items()]
        moved.append(sum(change.abs().sum().item() for change in changes))
    assert 0 < moved[1] < 0.3 * moved[0]


@pytest.mark.parametrize("redraw", [False, True])
def test_a_mask_of_an_own_run_is_the_one_that_the_task_has_by_itself_under_its_own_A(redraw: bool):
    """Whether the first task was trained under the A of its calibration or under another is a matter of its own."""
    config = CONFIG.changed(redraw_projection=redraw)
    learned = sequence("allow", config=config, tasks=TASKS[:2], later_masks="own_run")
    first, second = learned.adapters
    own = learn(tiny.base(), TASKS[1], "lori_s", CONFIG, tiny.by_method()).adapter
    for module, mask in second.masks.items():
        assert torch.equal(mask, first.masks[module] | own.masks[module])
        assert torch.equal(second.factors[module].A, first.factors[module].A)
    continued = sequence("allow", config=config, tasks=TASKS[:2])
    assert tiny.same_bits(continued.adapters[0], first)
    assert not tiny.same_tensors(continued.adapters[1].masks, second.masks)
    assert (continued.result.later_masks, learned.result.later_masks) == ("continued", "own_run")


def test_the_first_adapter_is_used_where_it_was_learned_already():
    first = learn(tiny.base(), TASKS[0], "lori_s", CONFIG, tiny.by_method()).adapter
    given, anew = sequence(tasks=TASKS[:2], first=first), sequence(tasks=TASKS[:2])
    assert given.adapters[0] is first
    assert tiny.same_bits(given.adapters[1], anew.adapters[1])
    assert given.result == anew.result


def test_forgetting_is_the_best_earlier_score_minus_the_final_one():
    rows = [[0.9, 0.2, 0.1], [0.7, 0.8, 0.3], [0.75, 0.85, 0.6]]
    values = iter([value for row in rows for value in row])
    result = sequence(score=lambda task: score_of(next(values), task.name)).result
    assert result.matrix == tuple(map(tuple, rows))
    assert result.order == ("after", "before", "after again")
    assert [[score.task for score in row] for row in result.scores] == [list(result.order)] * 3
    assert result.forgetting == pytest.approx({"after": 0.9 - 0.75, "before": 0.8 - 0.85, "after again": 0.0})


def test_each_row_is_scored_with_the_adapter_as_it_was_then_and_the_base_is_clean_afterwards():
    base = tiny.base()
    before = tiny.weights(base.model)
    score = by_weights(base)
    learned = learn_sequence(base, TASKS[:2], "lori_s", CONFIG, tiny.by_method(), score)
    assert tiny.same_tensors(tiny.weights(base.model), before)
    assert len({value for row in learned.result.matrix for value in row}) == 4
    plain = [score(task).value for task in TASKS[:2]]
    assert not set(plain) & {value for row in learned.result.matrix for value in row}


def test_the_shared_fraction_is_of_the_new_mask():
    new = {"a": torch.tensor([[True, True], [True, True]]), "b": torch.tensor([[False, False]])}
    held = {"a": torch.tensor([[True, False], [False, False]]), "b": torch.tensor([[True, True]])}
    assert shared_fraction(new, held) == 0.25
    assert shared_fraction(held, new) == pytest.approx(1 / 3)


@pytest.mark.parametrize("method", ["lora", "lori_d", "lori_s"])
def test_an_adapter_of_a_sequence_names_its_parent(method: Method):
    first, second, _ = sequence(method=method).adapters
    assert second.record["parents"] == [{"name": first.name}]


def test_what_was_forgotten_in_loss_is_the_final_one_minus_the_best_earlier_one():
    values = iter([1.0, 3.0, 1.5, 0.5])  # after the first task on both, after the second on both

    def score(task: Task) -> Score:
        return replace(score_of(0.5, task.name), loss=Loss(next(values), None, None, 1, 1))

    assert sequence(tasks=TASKS[:2], score=score).result.loss_forgetting == {"after": 0.5, "before": 0.0}


def test_where_a_score_has_no_loss_nothing_is_said_of_it():
    assert sequence(tasks=TASKS[:2], score=lambda task: score_of(0.5, task.name)).result.loss_forgetting == {}
