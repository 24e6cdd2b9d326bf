"""What a student's right functions give is what the library gives: the same masks, merges, cosines and trainings."""

import pytest
import tiny
import torch
import torch.nn.functional as F

from lori_core.bases.attach import attach
from lori_core.bases.load import target_modules
from lori_core.lessons import by_hand
from lori_core.method.adapter import Adapter, blank
from lori_core.method.forecast import forecast
from lori_core.method.masks import magnitude_masks
from lori_core.method.merge import merge
from lori_core.method.merge_parts import elect
from lori_core.method.metrics import cosine_matrix
from lori_core.tasks.encode import encode
from lori_core.training.footprints import task_footprint, text_footprint

DENSE = tiny.CONFIG.changed(sparsity=0.0)


def random_adapter(name: str) -> Adapter:
    """B of normal numbers, the same for the same name."""
    generator = torch.Generator().manual_seed(len(name))
    start = blank(name, target_modules(tiny.llama()), DENSE)
    for factors in start.factors.values():
        factors.values.normal_(generator=generator)
    return start


ADAPTERS = [random_adapter(name) for name in ("a", "bb", "ccc")]


def same_updates(one: Adapter, other: Adapter) -> bool:
    return all(
        torch.allclose(factors.update, other.factors[module].update, atol=1e-4)
        for module, factors in one.factors.items()
    )


def concat(A_s, B_s, A_t, B_t, weight):
    return torch.cat([A_s, A_t]), weight * torch.cat([B_s, B_t], dim=1)


def test_a_column_goes_back_to_its_modules():
    masks = {"x": torch.rand(3, 2) > 0.5, "y": torch.rand(5, 2) > 0.5}
    entries = by_hand.column(masks)
    assert entries.shape == (16, 1)
    assert tiny.same_tensors(by_hand.by_module(entries, masks), masks)


def test_ranking_the_column_is_ranking_over_all_modules_together():
    B = {module: factors.B for module, factors in ADAPTERS[0].factors.items()}
    entries = by_hand.column(B)
    largest = torch.zeros(len(entries), dtype=torch.bool)
    largest[entries.abs().flatten().topk(round(0.25 * len(entries))).indices] = True
    assert tiny.same_tensors(by_hand.by_module(largest, B), magnitude_masks(B, 0.75))


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_concatenating_two_at_a_time_is_the_library_s_concat(weight: float):
    mine = by_hand.merged_by(concat, ADAPTERS, weight)
    assert same_updates(mine, merge(ADAPTERS, "concat", [weight] * 3, "merged"))


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_an_election_after_trimming_is_the_library_s_ties(weight: float):
    mine = by_hand.elected_by(elect, ADAPTERS, weight, keep=0.2)
    assert same_updates(mine, merge(ADAPTERS, "ties", [weight] * 3, "merged"))


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_dropping_entries_at_random_is_the_library_s_dare(weight: float):
    def dare(update, dropped, drop):
        return update * ~dropped / (1 - drop)

    mine = by_hand.dropped_by(dare, ADAPTERS, weight, drop=0.4)
    assert same_updates(mine, merge(ADAPTERS, "dare", [weight] * 3, "merged", drop=0.4))


def test_energies_of_updates_on_footprints_give_the_library_s_forecast():
    def energy(dW, moments):
        return (dW @ moments @ dW.T).trace()

    base = tiny.base()
    seen = [task_footprint(base, tiny.task()), text_footprint(base, "text", ["one two", "three two one"])]
    mine = by_hand.cross_talk_by(energy, ADAPTERS[:2], seen)
    assert torch.allclose(torch.tensor(mine), torch.tensor(forecast(ADAPTERS[:2], seen).values), rtol=1e-3)


def test_a_task_is_learned_beside_an_earlier_one_under_the_A_that_the_student_made():
    base, seen = tiny.base(), task_footprint(tiny.base(), tiny.task())
    given = []

    def blind(A, directions):
        assert torch.allclose(directions @ directions.T, torch.eye(3), atol=1e-5)
        given.append(A - A @ directions.T @ directions)
        return given[-1]

    config = tiny.CONFIG.changed(sparsity=0.5)
    found = by_hand.learned_by(blind, base, tiny.task(), ADAPTERS[0], seen, 3, config, tiny.by_method(steps=2))
    for (module, factors), A in zip(found.factors.items(), given, strict=True):
        earlier = ADAPTERS[0].factors[module]
        rank = len(earlier.A)
        assert torch.equal(factors.A[rank:], A)
        assert torch.equal(factors.A[:rank], earlier.A) and torch.equal(factors.B[:, :rank], earlier.B)
        leading = torch.linalg.eigh(seen.of(module).matrix).eigenvectors[:, -3:].float()
        assert (A @ leading).abs().max() < 1e-5
    new = torch.cat([factors.B[:, -config.rank :].flatten() for factors in found.factors.values()])
    assert new.count_nonzero() == round(0.5 * len(new))


def test_the_cosine_from_inner_products_is_the_library_s():
    def inner_product(A_s, B_s, A_t, B_t):
        return ((B_s.T @ B_t) * (A_s @ A_t.T)).sum()

    expected = cosine_matrix(ADAPTERS).values[0][1]
    assert by_hand.cosine_by(inner_product, ADAPTERS[0], ADAPTERS[1]) == pytest.approx(expected, abs=1e-6)


def descended(masks, rate: float, steps: int) -> Adapter:
    """The layer that has the kept values as its parameters, and torch's plain descent, example by example."""
    base, task = tiny.base(), tiny.task()
    attached = attach(base.model, blank("after", target_modules(base.model), DENSE, masks))
    trained = [parameter for parameter in base.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=rate)
    encoded = [encode(base.tokenizer, example, 512) for example in task.examples("train")]
    for step in range(steps):
        losses = []
        for each in encoded[8 * step : 8 * step + 8]:
            assert each is not None
            ids = torch.tensor(each.input_ids)
            logits = base.model(ids[None]).logits[0, each.prompt_length - 1 : -1]
            losses.append(F.cross_entropy(logits, ids[each.prompt_length :], reduction="none"))
        optimizer.zero_grad()
        torch.cat(losses).mean().backward()
        optimizer.step()
    return attached.extract()


def test_a_masked_step_on_all_of_B_trains_what_the_layer_trains_that_has_kept_values_alone():
    base = tiny.base()
    B = {module: factors.B for module, factors in ADAPTERS[0].factors.items()}
    masks = magnitude_masks(B, 0.75)
    start = blank("after", target_modules(base.model), DENSE)
    before = {name: parameter.clone() for name, parameter in base.model.named_parameters()}

    def masked_step(B, gradient, mask, rate):
        return torch.where(mask, B - rate * gradient, B)

    mine = by_hand.trained_by(masked_step, base, tiny.task(), start, masks, 0.5, steps=2)
    expected = descended(masks, 0.5, steps=2)
    for module, factors in mine.factors.items():
        assert torch.allclose(factors.B, expected.factors[module].B, atol=1e-6)
        assert factors.B[masks[module]].abs().max() > 1e-5
        assert not factors.B[~masks[module]].any()
    assert tiny.same_tensors(dict(base.model.named_parameters()), before)  # the model is as it was
