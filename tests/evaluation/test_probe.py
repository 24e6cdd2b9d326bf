"""Cross-talk against dense updates on recorded inputs, its null against adapters with other projections."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import byte_tokenizer, gpt2, llama, task
from torch import Tensor
from transformers import PreTrainedModel

from lori_core.bases.attach import applied
from lori_core.bases.load import target_modules
from lori_core.config import AdapterConfig
from lori_core.errors import DataError, IncompatibleAdapters
from lori_core.evaluation.probe import cross_talk
from lori_core.method.adapter import Adapter, Factors, blank
from lori_core.method.metrics import cosine_matrix
from lori_core.tasks.encode import encode
from lori_core.tasks.task import Task

TASKS = (task("after"), task("before"))
TOKENIZER = byte_tokenizer()


def adapter(model: PreTrainedModel, name: str, B_seed: int, size: float = 1.0, seed: int = 0, rank: int = 4) -> Adapter:
    """A drawn, B gaussian."""
    config = AdapterConfig(rank=rank, sparsity=0.0, projection_seed=seed)
    empty = blank(name, target_modules(model), config)
    generator = torch.Generator().manual_seed(B_seed)
    factors = {
        m: Factors(f.A, size * torch.randn(f.values.shape, generator=generator), f.mask, f.scaling)
        for m, f in empty.factors.items()
    }
    return replace(empty, factors=factors)


def inputs_of(model: PreTrainedModel, of: Task) -> dict[str, Tensor]:
    """module -> (tokens, in_features): what it sees of the validation examples, read one by one, after their first."""
    seen: dict[str, list[Tensor]] = {module: [] for module in target_modules(model)}
    handles = [
        model.get_submodule(m).register_forward_hook(lambda _, x, y, m=m: seen[m].append(x[0][0, 1:])) for m in seen
    ]
    with torch.no_grad():
        for example in of.examples("validation"):
            encoded = encode(TOKENIZER, example, 512)
            assert encoded is not None
            model(input_ids=torch.tensor([encoded.input_ids]))
    for handle in handles:
        handle.remove()
    return {module: torch.cat(each) for module, each in seen.items()}


def energy(of: Adapter, inputs: dict[str, Tensor], module: str) -> float:
    return (inputs[module].double() @ of.factors[module].update.double().T).square().sum().item()


def first_pair(table: tuple[tuple[float | None, ...], ...]) -> float:
    number = table[0][1]
    assert number is not None
    return number


@pytest.mark.parametrize("make", [llama, gpt2])
def test_cross_talk_is_what_the_dense_updates_do_to_the_recorded_inputs(make: Callable[[], PreTrainedModel]):
    model = make()
    adapters = [adapter(model, "after", 1), adapter(model, "before", 2, size=3.0, rank=6)]
    found = cross_talk(model, TOKENIZER, adapters, TASKS)
    inputs = [inputs_of(model, each) for each in TASKS]
    for s in range(2):
        for t in range(2):
            of_s, own = (sum(energy(adapters[i], inputs[t], m) for m in inputs[t]) for i in (s, t))
            assert found.values[s][t] == pytest.approx((of_s / own) ** 0.5, rel=1e-5)
            for m in inputs[t]:
                expected = (energy(adapters[s], inputs[t], m) / energy(adapters[t], inputs[t], m)) ** 0.5
                assert found.by_module[m][s][t] == pytest.approx(expected, rel=1e-5)
    assert found.measure == "function"
    assert found.names == ("after", "before")
    assert found.z[0][0] is found.null_mean[0][0] is None


def test_the_null_is_what_the_same_B_does_under_other_projections():
    model = llama()
    own = adapter(model, "before", 2)
    seen = [cross_talk(model, TOKENIZER, [adapter(model, "after", 1, seed=seed), own], TASKS) for seed in range(1, 81)]
    squares = np.array([first_pair(each.values) ** 2 for each in seen])
    # 80 draws give the spread to 8 % (one sd), the null's own draws give its to 13 %
    null = np.array([first_pair(each.null_mean) for each in seen])
    assert np.mean(null**2) == pytest.approx(squares.mean(), abs=4 * squares.std() / 80**0.5)
    assert np.mean([first_pair(each.null_sd) for each in seen]) == pytest.approx(np.sqrt(squares).std(), rel=0.35)
    assert abs(np.mean([first_pair(each.z) for each in seen])) < 0.5


def test_the_null_mean_follows_from_the_size_of_the_update_and_of_the_inputs():
    model = llama()
    adapters = [adapter(model, "after", 1), adapter(model, "before", 2)]
    found = cross_talk(model, TOKENIZER, adapters, TASKS)
    inputs = inputs_of(model, TASKS[1])
    by_chance = sum(
        adapters[0].factors[m].update.double().square().sum().item() * x.double().square().sum().item() / x.shape[1]
        for m, x in inputs.items()
    )
    own = sum(energy(adapters[1], inputs, m) for m in inputs)
    assert found.null_mean[0][1] == pytest.approx((by_chance / own) ** 0.5, rel=1e-5)


def test_an_update_aimed_at_the_other_tasks_inputs_stands_out():
    model = llama()
    aimed, own = adapter(model, "after", 1), adapter(model, "before", 2)
    directions = {m: torch.linalg.svd(x, full_matrices=False).Vh[:4] for m, x in inputs_of(model, TASKS[1]).items()}
    aimed = replace(
        aimed, factors={m: Factors(directions[m], f.values, f.mask, f.scaling) for m, f in aimed.factors.items()}
    )
    assert first_pair(cross_talk(model, TOKENIZER, [aimed, own], TASKS).z) > 4


def test_orthogonal_updates_leave_cross_talk_where_it_was():
    model = llama()
    slots = [AdapterConfig(rank=4, sparsity=0.0, projection="orthogonal", slot=i, slots=2) for i in range(2)]
    adapters = []
    for i, (each, config) in enumerate(zip(TASKS, slots, strict=True)):
        drawn, gaussian = blank(each.name, target_modules(model), config), adapter(model, each.name, i)
        factors = {m: replace(f, values=gaussian.factors[m].values) for m, f in drawn.factors.items()}
        adapters.append(replace(drawn, factors=factors))
    assert abs(first_pair(cosine_matrix(adapters).values)) < 1e-6
    assert first_pair(cross_talk(model, TOKENIZER, adapters, TASKS).values) > 0.5


def test_the_model_is_left_as_it_was_and_the_same_seed_gives_the_same_numbers():
    model = llama().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    adapters = [adapter(model, each.name, i) for i, each in enumerate(TASKS)]
    first, second = (cross_talk(model, TOKENIZER, adapters, TASKS, examples=2, seed=5) for _ in range(2))
    assert first == second
    assert first != cross_talk(model, TOKENIZER, adapters, TASKS, examples=2, seed=6)
    assert model.training
    assert not any(module._forward_pre_hooks for module in model.modules())
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def test_an_adapter_that_changes_nothing_has_no_cross_talk_with_anything():
    model = llama()
    empty, own = adapter(model, "after", 1, size=0.0), adapter(model, "before", 2)
    found = cross_talk(model, TOKENIZER, [empty, own], TASKS)
    assert found.values[1][1] == pytest.approx(1)
    assert found.values[0][0] is found.values[0][1] is found.values[1][0] is found.z[1][0] is None


def test_what_cannot_be_probed_is_refused_in_both_languages():
    model = llama()
    adapters = [adapter(model, each.name, i) for i, each in enumerate(TASKS)]
    with pytest.raises(IncompatibleAdapters) as count:
        cross_talk(model, TOKENIZER, adapters, TASKS[:1])
    with pytest.raises(DataError) as examples:
        cross_talk(model, TOKENIZER, adapters, TASKS, max_length=3)
    with applied(model, adapters[0]), pytest.raises(IncompatibleAdapters) as attached:
        cross_talk(model, TOKENIZER, adapters, TASKS)
    with pytest.raises(IncompatibleAdapters) as module:
        cross_talk(gpt2(), TOKENIZER, adapters, TASKS)
    raised = {
        "tasks_count": count,
        "sampled_none": examples,
        "probe_needs_base": attached,
        "no_such_module": module,
    }
    for key, error in raised.items():
        assert error.value.key == key
        assert error.value.in_language("en") != error.value.in_language("ja")
