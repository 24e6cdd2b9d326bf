"""Factors and adapters: B, update and counts against dense tensors; what comparable means."""

from dataclasses import replace

import pytest
import tiny
import torch
from torch import Tensor

from lori_core.config import AdapterConfig
from lori_core.errors import IncompatibleAdapters
from lori_core.method.adapter import Adapter, Factors, base_notes, blank, check_base, check_comparable, dense_factors
from lori_core.method.masks import magnitude_masks
from lori_core.method.projection import draw

SHAPES = {"layers.0.q_proj": (6, 8), "layers.0.up_proj": (10, 8)}


def random_masks(rank: int = 3, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {module: torch.rand(out, rank, generator=generator) < 0.4 for module, (out, _) in SHAPES.items()}


def make(config: AdapterConfig | None = None, masks: dict[str, Tensor] | None = None, name: str = "math") -> Adapter:
    return tiny.filled(blank(name, SHAPES, config or AdapterConfig(rank=3), masks))


def test_B_holds_the_values_row_by_row_where_the_mask_is_true():
    mask = torch.tensor([[True, False], [False, False], [True, True]])
    factors = Factors(torch.ones(2, 4), torch.tensor([1.0, 2.0, 3.0]), mask, 2.0)
    assert factors.B.tolist() == [[1, 0], [0, 0], [2, 3]]
    assert (factors.rank, factors.shape) == (2, (3, 4))
    torch.testing.assert_close(factors.update, 2.0 * factors.B @ factors.A)


def test_dense_factors_hold_the_B_they_were_given():
    A, B = torch.rand(3, 8), torch.rand(3, 6).T  # B of another memory order
    factors = dense_factors(A, B, 0.5)
    assert torch.equal(factors.B, B) and factors.mask.all()
    torch.testing.assert_close(factors.update, 0.5 * B @ A)


def test_a_blank_adapter_changes_nothing_and_has_the_A_that_is_drawn_for_its_name():
    config = AdapterConfig(rank=3, scaling=1.5)
    adapter = blank("math", SHAPES, config)
    for module, (out_features, in_features) in SHAPES.items():
        factors = adapter.factors[module]
        assert torch.equal(factors.A, draw(config, "math", module, in_features))
        assert factors.shape == (out_features, in_features)
        assert factors.mask.all() and not factors.update.any()
        assert factors.scaling == 1.5


def test_trained_parameters_are_the_kept_entries_and_for_LoRA_those_of_A_too():
    masks = random_masks()
    kept = sum(int(mask.sum()) for mask in masks.values())
    assert make(masks=masks).trained_parameters == kept
    assert make().trained_parameters == 3 * (6 + 10)
    assert make(AdapterConfig(rank=3, train_projection=True)).trained_parameters == 3 * (6 + 10) + 2 * 3 * 8


def test_with_masks_keeps_A_and_the_entries_of_B_that_both_masks_hold():
    first, second = random_masks(seed=0), random_masks(seed=1)
    adapter = make(masks=first)
    other = adapter.with_masks(second)
    for module, factors in other.factors.items():
        before = adapter.factors[module]
        assert torch.equal(factors.A, before.A)
        assert torch.equal(factors.B, before.B * second[module])
        assert torch.equal(factors.mask, second[module])


def test_the_config_says_the_sparsity_that_the_masks_have():
    masks = random_masks()
    share = sum(int(mask.sum()) for mask in masks.values()) / sum(mask.numel() for mask in masks.values())
    made = make(AdapterConfig(rank=3, sparsity=0.9), masks)
    assert made.config.sparsity == pytest.approx(1 - share)
    whole = made.with_masks({module: torch.ones_like(mask) for module, mask in masks.items()})
    assert (whole.config.sparsity, whole.config.method) == (0, "lori_d")
    assert whole.with_masks(masks).config == made.config
    nothing = whole.with_masks({module: torch.zeros_like(mask) for module, mask in masks.items()})
    assert 0.9 < nothing.config.sparsity < 1  # a sparsity of 1 is no setting


def test_a_sparsity_stays_as_it_was_named_where_the_masks_keep_just_as_many():
    config = AdapterConfig(rank=3, sparsity=0.9)
    masks = magnitude_masks({module: torch.rand(out, 3) for module, (out, _) in SHAPES.items()}, 0.9)
    assert sum(int(mask.sum()) for mask in masks.values()) == 5  # of 48: 0.8958 are at zero
    assert make(config, masks).config == config


@pytest.mark.parametrize(("trained", "here"), [(None, None), ("4bit", "4bit"), ("4bit", None), (None, "8bit")])
def test_another_quantisation_of_the_same_weights_is_told_and_no_error(trained, here):
    base = {"fingerprint": "f"} | ({"quantization": trained} if trained else {})
    adapter = Adapter("math", AdapterConfig(), {}, {"base": base})
    opened = {"name": "org/model", "revision": None, "fingerprint": "f", "quantization": here}
    check_base(adapter, opened)
    assert bool(base_notes(adapter, opened)) is (trained != here)
    assert base_notes(Adapter("math", AdapterConfig(), {}), opened) == ()  # nobody knows


def test_masks_of_other_modules_are_refused():
    with pytest.raises(IncompatibleAdapters) as caught:
        make().with_masks({"layers.0.q_proj": torch.ones(6, 3, dtype=torch.bool)})
    assert caught.value.key == "modules_differ"


def test_adapters_of_one_base_are_comparable_whatever_their_rank_and_mask():
    named = {"base": {"fingerprint": "f"}}
    sparse = replace(make(masks=random_masks()), record=named)
    check_comparable([sparse, make(AdapterConfig(rank=5)), replace(make(), record=named)])


def test_adapters_whose_updates_lie_in_different_spaces_are_refused():
    first = make(name="math")
    q_proj = {"layers.0.q_proj": first.factors["layers.0.q_proj"]}
    turned = tiny.filled(blank("code", {module: (i, o) for module, (o, i) in SHAPES.items()}, AdapterConfig(rank=3)))
    left, right = (replace(first, name=n, record={"base": {"fingerprint": n}}) for n in ("left", "right"))
    for adapters, key in [
        ([], "no_adapters"),
        ([first, replace(first, factors=q_proj)], "modules_differ"),
        ([first, turned], "shapes_differ"),
        ([left, first, right], "bases_differ"),
    ]:
        with pytest.raises(IncompatibleAdapters) as caught:
            check_comparable(adapters)
        assert caught.value.key == key
        assert str(caught.value)


@pytest.mark.parametrize(
    ("left", "right", "fits"),
    [
        ({"name": "org/one"}, {"name": "org/two"}, False),
        ({"name": "org/one"}, {"name": "org/two", "fingerprint": "f"}, False),
        ({"name": "org/one", "fingerprint": "f"}, {"name": "org/two", "fingerprint": "f"}, True),
        ({"name": "org/One"}, {"name": "/models/one/"}, True),  # a copy of it
        ({"name": "org/one"}, {}, True),
    ],
)
def test_adapters_that_name_two_bases_are_refused_where_no_weights_say_that_it_is_one(left, right, fits):
    adapters = [replace(make(name=name), record={"base": base}) for name, base in (("a", left), ("b", right))]
    if fits:
        check_comparable([make(), *adapters])
        return
    with pytest.raises(IncompatibleAdapters) as caught:
        check_comparable([make(), *adapters])
    assert caught.value.key == "base_names_differ" and "org/two" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "revision", "fingerprint", "key"),
    [
        ("org/model", "abc", "f", None),
        ("org/model", None, "f", None),
        ("a local copy", None, "f", None),
        ("org/model", "abc", "other", "wrong_base"),
        ("org/model", "def", "f", "wrong_revision"),
    ],
)
def test_an_adapter_is_refused_on_other_weights_and_on_another_revision(name, revision, fingerprint, key):
    record = {"base": {"name": "org/model", "revision": "abc", "fingerprint": "f"}}
    adapter = Adapter("math", AdapterConfig(), {}, record)
    opened = {"name": name, "revision": revision, "fingerprint": fingerprint}
    if key is None:
        check_base(adapter, opened)
        return
    with pytest.raises(IncompatibleAdapters) as caught:
        check_base(adapter, opened)
    assert caught.value.key == key
