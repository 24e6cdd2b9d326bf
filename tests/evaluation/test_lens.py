"""The lens against models to which every set of adapters is really attached, and against dense updates."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations
from statistics import fmean

import pytest
import tiny
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lori_core.bases.attach import applied
from lori_core.bases.load import load_base
from lori_core.embedded.ready_made import ready_made
from lori_core.errors import DataError, IncompatibleAdapters
from lori_core.evaluation.answers import stream_answer
from lori_core.evaluation.lens import lens, shapley
from lori_core.method.adapter import Adapter
from lori_core.method.merge import merge
from lori_core.tasks.encode import encode_prompt
from lori_core.tasks.mini import mini_task

PROMPT = "after d:"
WEIGHTS = (0.5, 0.75, 1.25)
TOKENIZER = tiny.byte_tokenizer()


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return tiny.llama(spread=0.3)


@pytest.fixture(scope="module")
def adapters(model) -> list[Adapter]:
    return [stronger(tiny.base(model), seed, name) for seed, name in enumerate(("one", "two", "three"))]


def stronger(base, seed: int, name: str) -> Adapter:
    """Of factors that change what the base writes and do not drown it."""
    made = tiny.filled(tiny.start(base, name=name, masks=tiny.halves(base, seed=seed)), seed)
    return replace(made, factors={m: replace(f, values=4 * f.values) for m, f in made.factors.items()})


def read(model: PreTrainedModel, adapters: Sequence[Adapter], weights: Sequence[float], ids: list[int]) -> Tensor:
    """(tokens, vocabulary): logits with these adapters merged and attached; of none, the bare base's."""
    with torch.no_grad():
        if not adapters:
            return model(torch.tensor([ids])).logits[0].double()
        with applied(model, merge(adapters, "concat", weights, "some")):
            return model(torch.tensor([ids])).logits[0].double()


def widths(model: PreTrainedModel, attached: Adapter, of: Adapter, weight: float, ids: list[int]) -> dict[str, float]:
    """module -> root mean square of ‖weight dW x‖ over the tokens but the first, x: with `attached` in place."""
    inputs: dict[str, Tensor] = {}

    def keep(module: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, x: inputs.__setitem__(module, x[0][0, 1:])

    with applied(model, attached), torch.no_grad():
        for module in of.factors:
            layer = model.get_submodule(module)
            layer.register_forward_pre_hook(keep(module))
        model(torch.tensor([ids]))
    dense = {module: weight * of.factors[module].update.double() for module in of.factors}
    return {m: (x.double() @ dense[m].T).square().sum(-1).mean().sqrt().item() for m, x in inputs.items()}


def test_a_width_is_what_the_dense_update_does_to_the_prompt_alone_and_merged(model, adapters):
    found, ids = lens(model, TOKENIZER, adapters, WEIGHTS, PROMPT), encode_prompt(TOKENIZER, PROMPT)
    together = merge(adapters, "concat", WEIGHTS, "all")
    for t, adapter in enumerate(adapters):
        single = merge([adapter], "concat", [WEIGHTS[t]], "one")
        for kind, attached in ((found.alone, single), (found.merged, together)):
            expected = widths(model, attached, adapter, WEIGHTS[t], ids)
            assert {module: each[t] for module, each in kind.items()} == pytest.approx(expected, rel=1e-4)


def test_the_bare_base_s_width_is_what_its_own_weights_do(model, adapters):
    found, ids = lens(model, TOKENIZER, adapters, WEIGHTS, PROMPT), encode_prompt(TOKENIZER, PROMPT)
    outputs: dict[str, float] = {}
    handles = [
        model.get_submodule(m).register_forward_hook(
            lambda _, x, y, m=m: outputs.update({m: y[0, 1:].square().sum(-1).mean().sqrt().item()})
        )
        for m in found.base
    ]
    read(model, [], [], ids)
    for handle in handles:
        handle.remove()
    assert found.base == pytest.approx(outputs, rel=1e-5)


def test_an_attribution_is_the_mean_over_all_orders_of_what_an_adapter_moves_when_it_comes(model, adapters):
    found, ids = lens(model, TOKENIZER, adapters, WEIGHTS, PROMPT, length=3), encode_prompt(TOKENIZER, PROMPT)
    written: list[int] = []
    for attribution in found.attributions:
        bare = read(model, [], [], ids + written)[-1]
        token = int(read(model, adapters, WEIGHTS, ids + written)[-1].argmax())
        assert attribution.token == TOKENIZER.decode([token]) and attribution.instead == TOKENIZER.decode(
            [int(bare.argmax())]
        )
        moved: list[list[float]] = [[] for _ in adapters]
        for order in permutations(range(len(adapters))):
            before = bare[token]
            for place, t in enumerate(order):
                there = sorted(order[: place + 1])
                some, weights = [adapters[each] for each in there], [WEIGHTS[each] for each in there]
                after = read(model, some, weights, ids + written)[-1, token]
                moved[t].append((after - before).item())
                before = after
        assert attribution.parts == pytest.approx([fmean(each) for each in moved], abs=1e-4)
        written.append(token)


def test_the_parts_sum_to_the_change_of_the_logit_as_it_is_measured_apart(model, adapters):
    found, ids = lens(model, TOKENIZER, adapters, WEIGHTS, PROMPT), encode_prompt(TOKENIZER, PROMPT)
    changes = []
    written: list[int] = []
    for attribution in found.attributions:
        bare, all_in = (read(model, *some, ids + written)[-1] for some in (([], []), (adapters, WEIGHTS)))
        written.append(int(all_in.argmax()))
        changes.append((all_in - bare)[written[-1]].item())
        assert attribution.moved == pytest.approx(changes[-1], abs=1e-4)
        assert attribution.residual == attribution.moved - sum(attribution.parts)
        assert abs(attribution.residual) <= 1e-4 + 0.02 * abs(attribution.moved)
    assert max(map(abs, changes)) > 1  # something is accounted for
    assert found.answer == TOKENIZER.decode(written, skip_special_tokens=True)


def test_what_changes_nothing_gets_nothing_and_twins_get_the_same(model, adapters):
    one, two, _ = adapters
    idle = replace(one, factors={m: replace(f, values=0 * f.values) for m, f in one.factors.items()}, name="idle")
    found = lens(model, TOKENIZER, [two, idle, replace(two, name="twin")], [0.5, 1, 0.5], PROMPT)
    for attribution in found.attributions:
        assert attribution.parts[1] == pytest.approx(0, abs=1e-4)
        assert attribution.parts[0] == pytest.approx(attribution.parts[2], abs=1e-4)
    assert all(each[1] == 0 for each in found.merged.values())


def test_shares_of_two_players_are_the_mean_of_coming_first_and_second():
    none, first, second, both = 1.0, 4.0, 2.0, 9.0
    parts = shapley(torch.tensor([none, first, second, both], dtype=torch.float64))
    assert parts.tolist() == [((first - none) + (both - second)) / 2, ((second - none) + (both - first)) / 2]


def test_on_the_embedded_base_an_answer_is_accounted_for_to_its_end():
    base, tasks = load_base("embedded", device="cpu"), ("nlu", "math", "code", "safety")
    prompt = mini_task("nlu").examples("test")[0].prompt
    parts = [ready_made(task, "lori_s_conditioned") for task in tasks]
    found = lens(base.model, base.tokenizer, parts, [1.0] * 4, prompt)
    with applied(base.model, merge(parts, "concat", [1.0] * 4, "all")):
        *_, written = stream_answer(base.model, base.tokenizer, prompt, 24)
    assert found.answer == written and found.attributions[-1].token == "</s>"
    assert all(abs(attribution.residual) <= 1e-3 + 0.02 * abs(attribution.moved) for attribution in found.attributions)
    assert found.attributions[0].parts[0] == max(found.attributions[0].parts)  # the prompt's own adapter


def test_the_model_is_left_as_it_was(model, adapters):
    before, names = read(model, [], [], [1, 2, 3]), {type(each) for each in model.modules()}
    lens(model, TOKENIZER, adapters, WEIGHTS, PROMPT)
    assert torch.equal(read(model, [], [], [1, 2, 3]), before)
    assert {type(each) for each in model.modules()} == names


def test_too_few_too_many_and_too_long_are_refused(model, adapters):
    for some in (adapters[:1], adapters + adapters[:2]):
        with pytest.raises(IncompatibleAdapters) as caught:
            lens(model, TOKENIZER, some, [1.0] * len(some), PROMPT)
        assert caught.value.key == "lens_of_some"
    with pytest.raises(DataError) as long:
        lens(model, TOKENIZER, adapters, WEIGHTS, "x" * 2**12)
    assert long.value.key == "prompt_too_long"
