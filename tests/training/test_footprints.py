"""Footprints measured on a model, against its recorded inputs; learning under a conditioned A."""

import pytest
import torch
from tiny import CONFIG, base, byte_tokenizer, settings, task
from torch import Tensor

from lori_core.bases.load import Base, target_modules
from lori_core.config import Method, TrainConfig
from lori_core.errors import ConfigError, DataError
from lori_core.evaluation.probe import cross_talk
from lori_core.method.adapter import blank
from lori_core.method.conditioned import Conditions, conditioned
from lori_core.method.footprint import random_rows
from lori_core.method.forecast import forecast
from lori_core.tasks.encode import encode
from lori_core.training.footprints import task_footprint, text_footprint, text_of
from lori_core.training.learn import learn

TRAINING: dict[Method, TrainConfig] = {"lori_d": settings(), "lori_s": settings()}


def inputs_of(of: Base, module: str) -> Tensor:
    """(tokens, in_features): what it sees of the training examples, without the first token of each."""
    seen = []
    handle = of.model.get_submodule(module).register_forward_pre_hook(lambda _, x: seen.append(x[0][0, 1:].double()))
    with torch.no_grad():
        for example in task().examples("train"):
            encoded = encode(of.tokenizer, example, 512)
            assert encoded is not None
            of.model(input_ids=torch.tensor([encoded.input_ids]))
    handle.remove()
    return torch.cat(seen)


def test_moments_are_those_of_the_inputs_but_for_the_first_token():
    tiny = base()
    found = task_footprint(tiny, task())
    for module in ("model.layers.0.self_attn.k_proj", "model.layers.1.mlp.down_proj"):
        x = inputs_of(tiny, module)
        assert found.tokens == len(x)
        second = x.T @ x / len(x)
        torch.testing.assert_close(found.of(module).matrix, second, rtol=0, atol=1e-3 * second.max().item())
        assert found.of(module).energy == pytest.approx(x.square().sum().item() / len(x), rel=1e-5)


def test_modules_that_read_one_input_share_its_moments():
    found = task_footprint(base(), task())
    assert len(found.moments) == 2 * 4  # two layers: q k v, o, gate up, down
    assert found.inputs["model.layers.1.self_attn.v_proj"] == "model.layers.1.self_attn.q_proj"
    assert found.inputs["model.layers.1.mlp.up_proj"] == "model.layers.1.mlp.gate_proj"


def test_wide_inputs_are_seen_through_random_rows(monkeypatch):
    monkeypatch.setattr("lori_core.training.footprints.EXACT", 40)
    tiny, module = base(), "model.layers.0.mlp.down_proj"
    found = task_footprint(tiny, task(), directions=8)
    z = inputs_of(tiny, module) @ random_rows(8, 48).T
    second = z.T @ z / len(z)
    torch.testing.assert_close(found.of(module).matrix, second, rtol=0, atol=1e-3 * second.max().item())
    assert found.of("model.layers.0.self_attn.q_proj").rows is None


def test_an_input_with_no_more_features_than_directions_is_seen_whole(monkeypatch):
    monkeypatch.setattr("lori_core.training.footprints.EXACT", 40)
    tiny, module = base(), "model.layers.0.mlp.down_proj"
    whole = task_footprint(tiny, task(), directions=48).of(module)
    x = inputs_of(tiny, module)
    assert whole.rows is None
    torch.testing.assert_close(whole.matrix, x.T @ x / len(x), rtol=0, atol=1e-3 * whole.matrix.max().item())


def test_the_same_pass_gives_the_same_bits():
    left, right = task_footprint(base(), task()), task_footprint(base(), task())
    assert all(torch.equal(each.factor, right.moments[m].factor) for m, each in left.moments.items())


def test_a_text_has_a_footprint_too(tmp_path):
    (tmp_path / "text.txt").write_text("one two three\n\nfour\n\n\n x", encoding="utf-8")
    assert text_of(tmp_path / "text.txt") == ["one two three", "four", "x"]
    found = text_footprint(base(), "text", text_of(tmp_path / "text.txt"))
    assert found.tokens == len("one two three") - 1 + len("four") - 1
    with pytest.raises(DataError):
        text_footprint(base(), "text", ["x"])
    with pytest.raises(DataError):
        text_of(tmp_path / "absent.txt")


def footprints(tiny: Base) -> Conditions:
    return Conditions(task_footprint(tiny, task("after")), [task_footprint(tiny, task("before"))])


@pytest.mark.parametrize("method", ["lori_d", "lori_s"])
def test_an_adapter_learns_under_a_conditioned_A_which_stays_as_it_was(method):
    tiny = base()
    config, given = CONFIG.changed(projection="conditioned"), footprints(tiny)
    learned = learn(tiny, task("after"), method, config, TRAINING, conditions=given)
    expected = conditioned(given, target_modules(tiny.model), config.rank, config.ridge)
    assert all(torch.equal(factors.A, expected[m]) for m, factors in learned.adapter.factors.items())
    assert learned.adapter.trained_parameters and learned.update_ratio > 0
    assert learned.training.losses[-1] < learned.training.losses[0]
    assert learned.adapter.record["conditioned"] == {"own": {"name": "after"}, "others": [{"name": "before"}]}


def test_without_footprints_a_conditioned_A_is_refused():
    with pytest.raises(ConfigError) as raised:
        learn(base(), task(), "lori_d", CONFIG.changed(projection="conditioned"), TRAINING)
    assert raised.value.key == "conditioned_needs_footprints"


def test_the_forecast_of_trained_adapters_is_their_cross_talk_on_the_same_rows():
    """The probe reads the validation split, with the first tokens: here that split is the training one, and counted."""
    tiny = base()
    tasks = [task("after"), task("before")]
    config = CONFIG.changed(sparsity=0.0)
    adapters = [learn(tiny, each, "lori_d", config, TRAINING).adapter for each in tasks]
    expected = forecast(adapters, [task_footprint(tiny, each) for each in tasks])
    rows = [type(each)(each.name, lambda split, e=each: e.examples("train"), "exact", 4) for each in tasks]
    measured = cross_talk(tiny.model, byte_tokenizer(), adapters, rows)
    for s in (0, 1):
        for t in (0, 1):
            found, wanted = expected.values[s][t], measured.values[s][t]
            assert found is not None and wanted is not None
            assert found == pytest.approx(wanted, rel=0.15)  # the first tokens count in one of both


def test_before_training_the_forecast_is_of_A_alone_and_chance_is_a_random_one():
    tiny = base()
    given = footprints(tiny)
    shapes = target_modules(tiny.model)
    A = conditioned(given, shapes, CONFIG.rank, 0.01)
    designed = blank("after", shapes, CONFIG.changed(sparsity=0.0), projections=A)
    drawn = blank("before", shapes, CONFIG.changed(sparsity=0.0))
    found = forecast([designed, drawn], [given.own, given.others[0]])
    value, chance = found.values[0][1], found.null_mean[0][1]
    assert value is not None and chance is not None
    assert value < 0.7 * chance
    assert found.measure == "forecast"
