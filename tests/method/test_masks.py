"""Masks against a plain stable sort, brute-force shares and bool tensors."""

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, get_args

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from lori_core.bases.load import target_modules
from lori_core.config import Granularity
from lori_core.errors import AdapterError
from lori_core.method.masks import (
    GROUP_KEY,
    jaccard,
    kept_count,
    kept_fractions,
    magnitude_masks,
    matched_masks,
    overlap_counts,
    pack,
    random_masks,
    shares,
)

GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
SHAPES = {
    f"model.layers.{layer}.{part}": shape
    for layer in range(3)
    for part, shape in {"self_attn.q_proj": (7, 4), "self_attn.v_proj": (3, 4), "mlp.up_proj": (11, 4)}.items()
}


def random_B(seed: int = 0, shapes: Mapping[str, tuple[int, int]] = SHAPES, ties: bool = True) -> dict[str, Tensor]:
    """Normal numbers, negative and positive, with as many ties as rounding to bf16 or to few values gives."""
    generator = torch.Generator().manual_seed(seed)
    B = {module: torch.randn(shape, generator=generator) for module, shape in shapes.items()}
    return {module: (b * 4).round() / 4 if ties else b for module, b in B.items()}


def flat(masks: Mapping[str, Tensor]) -> np.ndarray:
    return torch.cat([mask.reshape(-1) for mask in masks.values()]).numpy()


def largest(magnitudes: np.ndarray, k: int) -> np.ndarray:
    """The reference: the first k of a stable sort, largest first."""
    keep = np.zeros(magnitudes.size, dtype=bool)
    keep[np.argsort(-magnitudes, kind="stable")[:k]] = True
    return keep


# --- which entries


def test_the_global_mask_of_a_million_entries_is_a_stable_sort_s():
    shapes = {"a": (1000, 500), "b": (300, 1000), "c": (1, 1), "d": (500, 400)}
    B = {module: b.bfloat16() for module, b in random_B(shapes=shapes, ties=False).items()}
    B["d"].zero_()  # a fifth of all entries ties at zero
    magnitudes = flat({module: b.float().abs() for module, b in B.items()})
    assert np.unique(magnitudes).size < magnitudes.size / 500
    for sparsity in (0.1, 0.5, 0.9, 0.999):
        k = round((1 - sparsity) * magnitudes.size)
        assert np.array_equal(flat(magnitude_masks(B, sparsity)), largest(magnitudes, k))


@pytest.mark.parametrize("misled", [(0.0, 0.0), (2.0, 3.0), (9.0, 9.0)])
def test_a_sample_that_misleads_costs_time_and_changes_no_entry(misled, monkeypatch):
    B = random_B()
    right = flat(magnitude_masks(B, 0.9))
    monkeypatch.setattr("lori_core.method.masks._bracket", lambda *_: misled)
    assert np.array_equal(flat(magnitude_masks(B, 0.9)), right)


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=2, max_size=40),
    sparsity=st.floats(0, 0.7),
    cut=st.integers(0, 40),
)
def test_any_finite_numbers_are_ranked_as_a_stable_sort_ranks_them(values, sparsity, cut):
    """Zeros of both signs, denormals and the largest floats too."""
    row = torch.tensor(values, dtype=torch.float32)
    B = {"first": row[:cut].reshape(1, -1), "second": row[cut:].reshape(1, -1)}
    k = round((1 - sparsity) * len(values))
    assert np.array_equal(flat(magnitude_masks(B, sparsity)), largest(row.abs().numpy(), k))


def test_among_ties_the_earlier_position_is_kept():
    B = {"a": torch.tensor([[1.0, -2.0], [2.0, 0.0]]), "b": torch.tensor([[2.0, 1.0], [-1.0, 1.0]])}
    masks = magnitude_masks(B, 0.375)
    assert masks["a"].tolist() == [[True, True], [True, False]]
    assert masks["b"].tolist() == [[True, True], [False, False]]


def test_B_of_any_memory_order_is_read_row_by_row():
    B = random_B()
    turned = {module: b.T.contiguous().T for module, b in B.items()}
    assert tiny.same_tensors(magnitude_masks(turned, 0.8), magnitude_masks(B, 0.8))


# --- granularities

GROUPS: dict[
    Granularity, Callable[[str], object]
] = {  # the reference: a module's layer is its third word, its projection the last
    "model": lambda module: 0,
    "kind": lambda module: "self_attn" in module,
    "projection": lambda module: module.split(".")[-1],
    "layer": lambda module: module.split(".")[2],
    "matrix": lambda module: module,
}


def brute_shares(total: int, sizes: list[int]) -> list[int]:
    """Largest remainder, one seat after another, with fractions."""
    quotas = [Fraction(total * size, sum(sizes)) for size in sizes]
    seats = [int(quota) for quota in quotas]
    while sum(seats) < total:
        missing = [quota - seat for quota, seat in zip(quotas, seats, strict=True)]
        seats[missing.index(max(missing))] += 1
    return seats


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.85, 0.97])
def test_every_granularity_keeps_exactly_k_and_each_group_its_share_of_the_largest(granularity, sparsity):
    B = random_B()
    masks = magnitude_masks(B, sparsity, granularity)
    groups: dict[object, list[str]] = {}
    for module in B:
        groups.setdefault(GROUPS[granularity](module), []).append(module)
    sizes = [sum(B[module].numel() for module in modules) for modules in groups.values()]
    k = round((1 - sparsity) * sum(sizes))
    assert flat(masks).sum() == k
    for modules, share in zip(groups.values(), brute_shares(k, sizes), strict=True):
        magnitudes = flat({module: B[module].abs() for module in modules})
        assert np.array_equal(flat({module: masks[module] for module in modules}), largest(magnitudes, share))
    assert {module: mask.shape for module, mask in masks.items()} == {module: b.shape for module, b in B.items()}


@settings(max_examples=200, deadline=None)
@given(sizes=st.lists(st.integers(1, 50), min_size=1, max_size=12), fraction=st.fractions(0, 1))
def test_shares_add_up_fit_their_groups_and_follow_largest_remainder(sizes, fraction):
    total = int(fraction * sum(sizes))
    got = shares(total, sizes)
    assert sum(got) == total
    assert all(0 <= share <= size for share, size in zip(got, sizes, strict=True))
    assert got == brute_shares(total, sizes)


@settings(max_examples=200, deadline=None)
@given(entries=st.integers(1, 10**9), percent=st.integers(0, 99))
def test_the_count_is_the_kept_share_to_the_nearest_entry(entries, percent):
    assert abs(kept_count(entries, percent / 100) - Fraction(100 - percent, 100) * entries) <= Fraction(1001, 2000)


def neox():
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    return GPTNeoXForCausalLM(GPTNeoXConfig(**sizes, vocab_size=16))


ATTENTION = {
    "llama": r"\.self_attn\.([qkvo]_proj)$",
    "gpt2": r"\.attn\.(c_attn|c_proj)$",
    "neox": r"\.attention\.(query_key_value|dense)$",
}
PER_LAYER = {"llama": 7, "gpt2": 4, "neox": 4}


def grouped(modules: list[str], granularity: Granularity) -> list[set[str]]:
    groups: dict[str, set[str]] = {}
    for module in modules:
        groups.setdefault(GROUP_KEY[granularity](module), set()).add(module)
    return list(groups.values())


@pytest.mark.parametrize("architecture", ATTENTION)
def test_group_keys_part_the_modules_of_real_architectures(architecture):
    model = {"llama": tiny.llama, "gpt2": tiny.gpt2, "neox": neox}[architecture]()
    modules = list(target_modules(model))
    per_layer = PER_LAYER[architecture]
    assert len(modules) == 2 * per_layer
    by_key = {granularity: grouped(modules, granularity) for granularity in GRANULARITIES}
    attention = {module for module in modules if re.search(ATTENTION[architecture], module)}
    assert by_key["model"] == [set(modules)]
    assert sorted(by_key["kind"], key=len) == sorted([attention, set(modules) - attention], key=len)
    assert by_key["layer"] == [set(modules[:per_layer]), set(modules[per_layer:])]
    # one group a linear map of the block: GPT-2's two c_proj are different ones
    assert by_key["projection"] == [{modules[i], modules[i + per_layer]} for i in range(per_layer)]
    assert by_key["matrix"] == [{module} for module in modules]


# --- excluded entries


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_excluded_entries_are_never_kept_and_the_count_stays(granularity):
    B = random_B()
    exclude = magnitude_masks(B, 0.7, granularity)
    masks = magnitude_masks(B, 0.7, granularity, exclude)
    assert not (flat(masks) & flat(exclude)).any()
    assert flat(masks).sum() == flat(exclude).sum()


def test_of_the_entries_that_are_not_excluded_the_largest_are_kept():
    B = random_B()
    B["model.layers.1.mlp.up_proj"].zero_()  # a zero that is free goes before any that is excluded
    exclude = {module: b.abs() > 0.5 for module, b in B.items() if "v_proj" not in module}
    magnitudes = flat({m: b.abs().masked_fill(exclude.get(m, torch.zeros(b.shape).bool()), -1) for m, b in B.items()})
    for sparsity in (0.6, 0.8):
        k = round((1 - sparsity) * magnitudes.size)
        assert np.array_equal(flat(magnitude_masks(B, sparsity, exclude=exclude)), largest(magnitudes, k))


def test_too_few_entries_left_by_earlier_tasks_are_refused():
    B = random_B()
    with pytest.raises(AdapterError) as caught:
        magnitude_masks(B, 0.4, exclude=magnitude_masks(B, 0.5))
    n = flat(B).size
    assert caught.value.key == "too_little_left"
    assert caught.value.values == {"wanted": round(0.6 * n), "free": n - round(0.5 * n)}


# --- what is refused


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_B_of_a_diverged_run_is_refused_and_its_module_named(bad):
    B = random_B()
    B["model.layers.1.mlp.up_proj"][3, 2] = bad
    with pytest.raises(AdapterError, match=r"model\.layers\.1\.mlp\.up_proj") as caught:
        magnitude_masks(B, 0.9)
    assert caught.value.key == "not_finite"


def test_a_sparsity_that_keeps_nothing_is_refused():
    with pytest.raises(AdapterError, match=r"0\.999 keeps none of the 252") as caught:
        magnitude_masks(random_B(), 0.999)
    assert caught.value.key == "mask_keeps_nothing"


# --- random masks


def test_random_masks_keep_the_same_count_and_follow_their_seed():
    shapes = {module: (100 * out, rank) for module, (out, rank) in SHAPES.items()}
    masks = random_masks(shapes, 0.9, seed=0)
    n = flat(masks).size
    assert flat(masks).sum() == round(0.1 * n)
    assert tiny.same_tensors(masks, random_masks(shapes, 0.9, seed=0))
    # two independent masks that keep a share p of all overlap with a Jaccard of p / (2 - p)
    assert abs(jaccard(masks, random_masks(shapes, 0.9, seed=1)) - 0.1 / 1.9) < 0.01


def test_random_masks_are_spread_evenly_over_the_modules():
    fractions = kept_fractions(random_masks({"a": (500, 20), "b": (500, 20)}, 0.9, seed=3))
    assert all(abs(fraction - 0.1) < 4 * (0.1 * 0.9 / 10_000) ** 0.5 for fraction in fractions.values())


# --- counting


def test_kept_fractions_are_the_means_of_the_masks():
    masks = magnitude_masks(random_B(), 0.8)
    means = {module: mask.double().mean().item() for module, mask in masks.items()}
    assert kept_fractions(masks) == pytest.approx(means, abs=1e-15)


def test_packed_masks_are_the_bits_in_order_with_each_module_filled_up_to_bytes():
    masks = magnitude_masks(random_B(), 0.6)
    expected: list[bool] = []
    for mask in masks.values():
        bits = mask.reshape(-1).tolist()
        expected += bits + [False] * (-len(bits) % 8)
    expected += [False] * (-len(expected) % 64)
    packed = pack(masks)
    assert [bool(int(word) >> i & 1) for word in packed for i in range(64)] == expected


def test_matched_masks_keep_as_many_entries_in_each_module_elsewhere():
    shapes = {"q": (40, 4), "up": (60, 4), "whole": (5, 4), "empty": (6, 4)}
    masks = random_masks(shapes, 0.7, seed=1) | {"whole": torch.ones(5, 4).bool(), "empty": torch.zeros(6, 4).bool()}
    matched = matched_masks(masks, seed=0)
    assert {m: int(mask.sum()) for m, mask in matched.items()} == {m: int(mask.sum()) for m, mask in masks.items()}
    assert list(matched) == list(masks)
    assert not torch.equal(matched["q"], masks["q"])
    assert all(torch.equal(mask, matched[m]) for m, mask in matched_masks(masks, seed=0).items())
    assert not torch.equal(matched["q"], matched_masks(masks, seed=1)["q"])


def test_overlap_and_jaccard_count_as_bool_tensors_do():
    several = [magnitude_masks(random_B(seed), sparsity) for seed, sparsity in enumerate((0.5, 0.8, 0.9))]
    counts = overlap_counts(several)
    for s, left in enumerate(several):
        for t, right in enumerate(several):
            both, either = (flat(left) & flat(right)).sum(), (flat(left) | flat(right)).sum()
            assert counts[s, t] == both
            assert jaccard(left, right) == both / either
    assert jaccard(several[0], several[0]) == 1


def test_two_empty_masks_are_the_same_and_an_empty_one_shares_nothing():
    full = magnitude_masks(random_B(), 0.5)
    empty = {module: torch.zeros_like(mask) for module, mask in full.items()}
    assert jaccard(empty, empty) == 1
    assert jaccard(empty, full) == 0
