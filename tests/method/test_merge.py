"""Merges against the dense sum, plain references, and PEFT itself on the same factors."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from moments import footprint, inputs, moments
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from lori_core.config import METHOD_OPTIONS, NEED_FOOTPRINTS, AdapterConfig
from lori_core.errors import ConfigError, IncompatibleAdapters
from lori_core.method.adapter import Adapter, Factors, dense_factors
from lori_core.method.footprint import Footprint, random_rows
from lori_core.method.merge import MERGE_METHODS, merge, reduce_rank
from lori_core.method.projection import uniform
from lori_core.translate import messages

SHAPES = {"layers.0.q": (12, 16), "layers.0.up": (20, 16), "layers.1.down": (16, 24)}
WEIGHTS = (0.5, 0.3, 0.8)
ON_UPDATES = ("concat", "task_arithmetic", "magnitude", "ties", "dare")
# On factors; each stands against a dense reference in test_core_space.py.
IN_THE_CORE = (
    "core_magnitude",
    "core_ties",
    "core_dare",
    "knots_ties",
    "tsv_m",
    "iso_c",
    "pico",
    "compress_then_merge",
    "wudi",
)
OTHER_WEIGHTINGS = ("mergekit_ties", "peft_ties_svd")  # on updates too, whose scale is not their weight
WITHOUT_FOOTPRINTS = [method for method in MERGE_METHODS if method not in NEED_FOOTPRINTS]
PEFT_WAYS = ("linear", "peft_magnitude_prune", "peft_ties", "peft_dare_linear")


def make_adapter(name: str, seed: int, rank: int = 4, sparsity: float = 0.5, dtype=torch.float32, **record) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for module, (out_features, in_features) in SHAPES.items():
        A = torch.randn(rank, in_features, generator=generator, dtype=dtype)
        mask = torch.rand(out_features, rank, generator=generator) >= sparsity
        values = torch.randn(int(mask.sum()), generator=generator, dtype=dtype)
        factors[module] = Factors(A, values, mask, 2.0)
    return Adapter(name, AdapterConfig(rank=rank, sparsity=sparsity), factors, record)


@pytest.fixture
def three() -> list[Adapter]:
    return [make_adapter(name, seed, dtype=torch.float64) for seed, name in enumerate(("math", "code", "safety"))]


@pytest.fixture
def dense() -> Adapter:
    """No entry of its updates is zero."""
    return make_adapter("dense", 7, sparsity=0.0, dtype=torch.float64)


def updates(adapter: Adapter) -> dict[str, Tensor]:
    return {module: factors.update for module, factors in adapter.factors.items()}


def assert_same_updates(left: Adapter, right: Adapter, **tolerance) -> None:
    torch.testing.assert_close(updates(left), updates(right), **tolerance)


def scaled(adapter: Adapter, weight: float) -> Adapter:
    factors = {m: Factors(f.A, f.values * weight, f.mask, f.scaling) for m, f in adapter.factors.items()}
    return Adapter(adapter.name, adapter.config, factors)


class Bare(nn.Module):
    """A model of bare linear maps, for PEFT to wrap."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.maps = nn.ModuleDict(
            {m.replace(".", "_"): nn.Linear(i, o, bias=False, dtype=dtype) for m, (o, i) in SHAPES.items()}
        )

    def forward(self, x: Tensor) -> Tensor:
        return x


def merged_by_peft(
    adapters: list[Adapter], weights: tuple[float, ...], combination: str, **options
) -> dict[str, Tensor]:
    """module -> dW that real PEFT makes of the same factors."""
    dtype = next(iter(adapters[0].factors.values())).A.dtype
    bare = Bare(dtype)
    rank = adapters[0].config.rank
    # alpha is twice the rank: the scaling of 2 that make_adapter has
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(bare.maps.keys()))
    model: Any = get_peft_model(bare, config, adapters[0].name, autocast_adapter_dtype=False)
    for adapter in adapters[1:]:
        model.add_adapter(adapter.name, config, autocast_adapter_dtype=False)
    layers: dict[str, Any] = {module: bare.maps[module.replace(".", "_")] for module in SHAPES}
    for adapter, module in itertools.product(adapters, SHAPES):
        layers[module].lora_A[adapter.name].weight.data = adapter.factors[module].A.clone()
        layers[module].lora_B[adapter.name].weight.data = adapter.factors[module].B.clone()
    names = [adapter.name for adapter in adapters]
    model.base_model.add_weighted_adapter(names, list(weights), "merged", combination_type=combination, **options)
    return {module: layer.get_delta_weight("merged").detach() for module, layer in layers.items()}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_concat_and_task_arithmetic_are_the_weighted_sum_of_the_updates_for_any_ranks_and_weights(dtype, tolerance):
    adapters = [make_adapter(name, seed, rank, dtype=dtype) for seed, (name, rank) in enumerate([("a", 2), ("b", 5)])]
    weights = (-0.7, 1.3)
    expected = {m: sum(w * a.factors[m].update for a, w in zip(adapters, weights, strict=True)) for m in SHAPES}
    stacked = merge(adapters, "concat", weights, "merged")
    torch.testing.assert_close(updates(stacked), expected, rtol=tolerance, atol=tolerance)
    assert {f.rank for f in stacked.factors.values()} == {7}
    assert {f.scaling for f in stacked.factors.values()} == {1.0}
    fewest = merge(adapters, "task_arithmetic", weights, "merged")
    torch.testing.assert_close(updates(fewest), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_concat_equals_peft_cat(dtype, tolerance):
    adapters = [make_adapter(name, seed, dtype=dtype) for seed, name in enumerate(("math", "code", "safety"))]
    theirs = merged_by_peft(adapters, WEIGHTS, "cat")
    ours = updates(merge(adapters, "concat", WEIGHTS, "merged"))
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def test_concat_stores_only_the_entries_that_the_tasks_keep(three):
    merged = merge(three, "concat", WEIGHTS, "merged")
    assert merged.trained_parameters == sum(adapter.trained_parameters for adapter in three)
    entries = sum(factors.mask.numel() for factors in merged.factors.values())
    assert merged.config.sparsity == pytest.approx(1 - merged.trained_parameters / entries)
    assert merged.config.rank == 12


def test_task_arithmetic_at_a_rank_is_the_best_approximation_and_says_what_it_lost(three):
    exact, short = (
        merge(three, m, WEIGHTS, "m", None, **o) for m, o in (("concat", {}), ("task_arithmetic", {"rank": 3}))
    )
    lost = size = 0.0
    for module, update in updates(exact).items():
        singular = torch.linalg.svdvals(update)
        lost += singular[3:].square().sum().item()  # Eckart-Young
        size += singular.square().sum().item()
        assert (update - short.factors[module].update).square().sum().item() == pytest.approx(
            singular[3:].square().sum().item(), rel=1e-4
        )
    assert short.record["merge"]["error"] == pytest.approx((lost / size) ** 0.5, rel=1e-4)
    assert short.config.rank == 3


@pytest.mark.parametrize("method", ["concat", "ties"])
@pytest.mark.parametrize("rank", [1, 3, 7, 100])
def test_a_reduced_rank_is_the_best_approximation_and_says_what_it_lost(three, method, rank):
    merged = merge(three, method, WEIGHTS, "merged", None, **({"keep": 0.5} if method == "ties" else {}))
    reduced = reduce_rank(merged, rank)
    lost = size = left = 0.0
    for module, update in updates(merged).items():
        singular = torch.linalg.svdvals(update)
        lost += singular[rank:].square().sum().item()  # Eckart-Young
        size += singular.square().sum().item()
        left += (update - reduced.factors[module].update).square().sum().item()
        assert reduced.factors[module].rank <= rank
    assert left == pytest.approx(lost, rel=1e-8, abs=1e-16 * size)
    assert reduced.record["reduced"]["rank"] == rank
    assert reduced.record["reduced"]["error"] == pytest.approx((lost / size) ** 0.5, rel=1e-6, abs=1e-12)
    assert reduced.record["merge"] == merged.record["merge"]
    assert reduced.config.rank == max(factors.rank for factors in reduced.factors.values())


def test_a_scaling_a_mask_and_a_zero_update_survive_a_reduction():
    sparse = make_adapter("sparse", 0, dtype=torch.float64)
    assert_same_updates(reduce_rank(sparse, 4), sparse, rtol=1e-9, atol=1e-10)
    zero = reduce_rank(scaled(sparse, 0.0), 2)
    assert not any(update.any() for update in updates(zero).values())
    assert zero.record["reduced"]["error"] == 0.0


def test_a_reduction_never_forms_an_update():
    """Of the update of this module nothing could be held: it has 2^40 entries."""
    wide, rank = 2**20, 2
    generator = torch.Generator().manual_seed(0)
    A, B = (torch.randn(size, generator=generator) for size in ((rank, wide), (wide, rank)))
    reduced = reduce_rank(Adapter("wide", AdapterConfig(rank=rank), {"m": dense_factors(A, B)}), 1)
    cores = torch.linalg.qr(B).R @ torch.linalg.qr(A.T).R.T
    first, second = torch.linalg.svdvals(cores).tolist()
    assert reduced.record["reduced"]["error"] == pytest.approx(second / (first**2 + second**2) ** 0.5, rel=1e-4)


def test_a_rank_below_one_is_refused(three):
    with pytest.raises(ConfigError) as raised:
        reduce_rank(three[0], 0)
    assert raised.value.key == "rank_below_one"


def plain_trim(update: Tensor, keep: float) -> Tensor:
    size = sorted(update.abs().flatten().tolist(), reverse=True)[round(keep * update.numel()) - 1]
    return torch.where(update.abs() >= size, update, 0)


def plain_ties(dense: list[Tensor], keep: float) -> Tensor:
    """Entry by entry, as the paper's algorithm 1 is written."""
    trimmed = [plain_trim(update, keep) for update in dense]
    result = torch.zeros_like(dense[0])
    for i, j in itertools.product(range(result.shape[0]), range(result.shape[1])):
        entries = [update[i, j].item() for update in trimmed]
        positive = sum(entries) > 0
        agreeing = [entry for entry in entries if entry and (entry > 0) == positive]
        result[i, j] = sum(agreeing) / len(agreeing) if agreeing else 0.0
    return result


def test_ties_follows_the_paper_entry_by_entry(three):
    merged = merge(three, "ties", WEIGHTS, "merged", keep=0.4)
    for module, update in updates(merged).items():
        dense = [weight * a.factors[module].update for a, weight in zip(three, WEIGHTS, strict=True)]
        torch.testing.assert_close(update, plain_ties(dense, 0.4), rtol=1e-9, atol=1e-10)
    assert merged.record["merge"]["error"] < 1e-12


def plain_mergekit_ties(dense: list[Tensor], keep: float) -> Tensor:
    """Entry by entry: the mean of those that agree, weighted by their weights."""
    trimmed = [largest(update, keep) for update in dense]
    result = torch.zeros_like(dense[0])
    for i, j in itertools.product(range(result.shape[0]), range(result.shape[1])):
        entries = [(weight, update[i, j].item()) for weight, update in zip(WEIGHTS, trimmed, strict=True)]
        positive = sum(weight * entry for weight, entry in entries) >= 0
        agreeing = [(weight, entry) for weight, entry in entries if entry and (entry > 0) == positive]
        if agreeing:
            result[i, j] = sum(w * entry for w, entry in agreeing) / sum(w for w, _ in agreeing)
    return result


def largest(update: Tensor, keep: float) -> Tensor:
    """plain_trim with mergekit's rounding."""
    return plain_trim(update, int(keep * update.numel()) / update.numel())


def test_mergekit_ties_is_a_weighted_mean_of_those_that_agree_so_a_factor_on_all_weights_changes_nothing(three):
    merged = updates(merge(three, "mergekit_ties", WEIGHTS, "merged", keep=0.37))
    for module, update in merged.items():
        expected = plain_mergekit_ties([a.factors[module].update for a in three], 0.37)
        torch.testing.assert_close(update, expected, rtol=1e-9, atol=1e-10)
    doubled = merge(three, "mergekit_ties", [2 * weight for weight in WEIGHTS], "merged", keep=0.37)
    torch.testing.assert_close(updates(doubled), merged)


def test_peft_ties_svd_equals_peft(three):
    expected = merged_by_peft(three, WEIGHTS, "ties_svd", density=0.37, svd_rank=16, svd_full_matrices=False)
    got = updates(merge(three, "peft_ties_svd", WEIGHTS, "merged", keep=0.37))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)  # PEFT holds the weights in fp32


def test_the_conventions_of_ties_differ_by_weights_alone(three):
    def merged(weights: tuple[float, ...]) -> list[Tensor]:
        ways = ("ties", "mergekit_ties", "peft_ties_svd")
        return [updates(merge(three, way, weights, "merged", keep=0.5))["layers.0.up"] for way in ways]

    ours, mergekit_s, peft_s = merged((1.0, 1.0, 1.0))
    torch.testing.assert_close(mergekit_s, ours)
    torch.testing.assert_close(peft_s, ours)
    for left, right in itertools.combinations(merged(WEIGHTS), 2):
        assert torch.linalg.norm(left - right) > 0.05 * torch.linalg.norm(right)


def test_magnitude_sums_updates_of_which_only_the_largest_entries_are_left(three):
    merged = merge(three, "magnitude", WEIGHTS, "merged", keep=0.3)
    for module, update in updates(merged).items():
        expected = sum(w * plain_trim(a.factors[module].update, 0.3) for a, w in zip(three, WEIGHTS, strict=True))
        torch.testing.assert_close(update, expected, rtol=1e-9, atol=1e-10)


def test_dare_keeps_each_entry_rescaled_or_not_at_all(dense):
    update = merge([dense], "dare", [1.0], "merged", drop=0.75, seed=3).factors["layers.0.up"].update
    ratio = update / dense.factors["layers.0.up"].update
    rescaled = torch.isclose(ratio, torch.tensor(4.0, dtype=ratio.dtype))
    assert torch.all(rescaled | (ratio.abs() < 1e-9))
    assert 0.15 < rescaled.float().mean() < 0.35  # 320 entries at probability 1/4: sd 0.024


def test_the_mean_of_dare_over_seeds_is_the_update_itself_and_its_spread_is_that_of_bernoulli_draws(dense):
    module, draws, drop = "layers.0.up", 400, 0.5
    update = dense.factors[module].update
    seen = torch.stack(
        [merge([dense], "dare", [1.0], "m", drop=drop, seed=s).factors[module].update for s in range(draws)]
    )
    # an entry x has variance x² drop / (1 - drop); the largest of 320 standardised means stays below 4.5
    z = (seen.mean(dim=0) - update) / (update.abs() * (drop / (1 - drop) / draws) ** 0.5)
    assert z.abs().max() < 4.5
    assert z.square().mean().item() == pytest.approx(1, abs=0.35)


def test_dare_drops_other_entries_for_each_task_even_if_two_adapters_have_one_name(dense):
    twins = [dense, dense]
    update = merge(twins, "dare", [1.0, 1.0], "m", drop=0.5).factors["layers.0.up"].update
    counts = (update / dense.factors["layers.0.up"].update / 2).round()
    assert set(counts.flatten().tolist()) == {0.0, 1.0, 2.0}


@pytest.mark.parametrize("weights", [WEIGHTS, (0.5, -1.5, 0.0)])
@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        ("linear", "linear", {}),
        ("peft_magnitude_prune", "magnitude_prune", {"keep": 0.4}),
        ("peft_ties", "ties", {"keep": 0.4}),
    ],
)
def test_factor_wise_methods_equal_peft_for_weights_of_either_sign(three, ours, theirs, options, weights):
    peft_options = {"density": options["keep"]} if options else {}
    expected = merged_by_peft(three, weights, theirs, **peft_options)
    got = updates(merge(three, ours, weights, "merged", **options))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)  # PEFT holds the weights in fp32


def test_peft_dare_linear_equals_peft_when_both_drop_the_same_entries(three, monkeypatch):
    drop, seed = 0.6, 5
    # PEFT asks module by module, first for the A of every task, then for the B of every task.
    asked = iter([(a.name, m, letter) for m in SHAPES for letter in "AB" for a in three])

    def same_draws(probability: Tensor) -> Tensor:
        assert probability.flatten()[0].item() == pytest.approx(1 - drop)
        draws = uniform(tuple(probability.shape), "dare", seed, *next(asked))
        return torch.from_numpy(draws >= 2 * drop - 1).to(probability.dtype)

    monkeypatch.setattr(torch, "bernoulli", same_draws)
    expected = merged_by_peft(three, WEIGHTS, "dare_linear", density=1 - drop)
    got = updates(merge(three, "peft_dare_linear", WEIGHTS, "merged", drop=drop, seed=seed))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)  # PEFT holds the weights in fp32


def nothing_removed(method: str) -> dict[str, float]:
    return {option: value for option, value in (("keep", 1.0), ("drop", 0.0)) if option in METHOD_OPTIONS[method]}


# iso_c flattens the spectrum of one too
@pytest.mark.parametrize("method", sorted(set(WITHOUT_FOOTPRINTS) - {"iso_c"}))
def test_a_merge_of_one_adapter_with_weight_1_is_that_adapter(three, method):
    merged = merge(three[:1], method, [1.0], "merged", None, **nothing_removed(method))
    assert_same_updates(merged, three[0], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("method", WITHOUT_FOOTPRINTS)
def test_the_order_of_the_adapters_does_not_matter(three, method):
    forward = merge(three, method, WEIGHTS, "merged")
    backward = merge(three[::-1], method, WEIGHTS[::-1], "merged")
    assert_same_updates(forward, backward, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("method", ON_UPDATES + IN_THE_CORE)
def test_a_weight_does_what_scaling_the_update_does_negative_ones_too(three, method):
    weights = (0.5, -1.5, 0.0)
    weighted = merge(three, method, weights, "merged")
    by_hand = merge([scaled(a, w) for a, w in zip(three, weights, strict=True)], method, [1.0] * 3, "merged")
    assert_same_updates(weighted, by_hand, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("method", WITHOUT_FOOTPRINTS)
def test_modules_whose_update_is_zero_stay_zero(three, method):
    merged = merge([scaled(adapter, 0.0) for adapter in three], method, WEIGHTS, "merged")
    assert all(not update.any() for update in updates(merged).values())
    assert merged.record["merge"]["error"] == 0.0


def test_the_record_names_parents_base_method_weights_and_options():
    base = {"id": "tiny", "fingerprint": "abc"}
    adapters = [make_adapter("a", 0, base=base, version="v2"), make_adapter("b", 1)]
    record = merge(adapters, "dare", [1, 0.5], "merged", seed=4).record
    assert record["parents"] == [{"name": "a", "version": "v2"}, {"name": "b"}]
    assert record["base"] == base
    assert record["merge"]["method"] == "dare"
    assert record["merge"]["weights"] == [1.0, 0.5]
    assert record["merge"]["options"] == {"drop": 0.9, "seed": 4, "rank": None}
    assert record["merge"]["notes"] == []


def test_a_shared_projection_is_noted_in_words_that_exist_in_both_languages(three):
    factors = {m: Factors(three[0].factors[m].A.clone(), f.values, f.mask, 2.0) for m, f in three[1].factors.items()}
    control = Adapter("control", three[1].config, factors)
    notes = merge([three[0], three[2], control], "concat", WEIGHTS, "merged").record["merge"]["notes"]
    assert notes == ["merge.shared_projection"]
    assert notes[0] in messages("en")
    assert notes[0] in messages("ja")


def test_weights_by_module_are_those_of_merges_apart(three):
    first, *others = SHAPES
    by_module = {first: (1.0, 0.0, -0.5), **dict.fromkeys(others, WEIGHTS)}
    merged = merge(three, "mergekit_ties", by_module, "merged")
    for module, weights in by_module.items():
        expected = merge(three, "mergekit_ties", weights, "apart").factors[module].update
        torch.testing.assert_close(merged.factors[module].update, expected)
    record = merged.record["merge"]
    assert record["weights_by_module"] == {module: list(weights) for module, weights in by_module.items()}
    assert record["weights"] == pytest.approx([2 / 3, 0.2, 1.1 / 3])
    assert "weights_by_module" not in merge(three, "concat", WEIGHTS, "merged").record["merge"]


def without(adapter: Adapter, module: str) -> Adapter:
    return Adapter("fewer", adapter.config, {m: f for m, f in adapter.factors.items() if m != module})


def wider(adapter: Adapter) -> Adapter:
    f = adapter.factors["layers.0.q"]
    A = torch.zeros(f.rank, f.A.shape[1] + 1)
    return Adapter("wider", adapter.config, dict(adapter.factors) | {"layers.0.q": Factors(A, f.values, f.mask, 2.0)})


def test_what_cannot_be_merged_is_refused_in_both_languages(three):
    one, two = three[:2]
    on_x, on_y = (make_adapter(f, 0, base={"fingerprint": f}) for f in ("x", "y"))
    cases = {
        "no_adapters": ([], "concat", [], {}),
        "weights_count": ([one, two], "concat", [1.0], {}),
        "weights_modules": ([one], "concat", dict.fromkeys([*SHAPES, "layers.9.q"], (1.0,)), {}),
        "weight_not_finite": ([one], "concat", [float("nan")], {}),
        "unknown_merge": ([one], "average", [1.0], {}),
        "merge_option": ([one], "concat", [1.0], {"keep": 0.5}),
        "modules_differ": ([one, without(two, "layers.0.q")], "concat", [1.0, 1.0], {}),
        "shapes_differ": ([one, wider(two)], "concat", [1.0, 1.0], {}),
        "bases_differ": ([one, on_x, on_y], "concat", WEIGHTS, {}),
        "ranks_differ": ([one, make_adapter("b", 1, rank=5)], "peft_ties", [1.0, 1.0], {}),
    }
    for key, (adapters, method, weights, options) in cases.items():
        with pytest.raises(IncompatibleAdapters) as raised:
            merge(adapters, method, weights, "merged", **options)
        assert raised.value.key == key
        assert raised.value.in_language("en") != raised.value.in_language("ja")
    with pytest.raises(ConfigError):
        merge([one], "ties", [1.0], "merged", keep=1.5)


def test_every_method_says_which_options_it_reads():
    assert METHOD_OPTIONS.keys() == MERGE_METHODS.keys()
    assert {*ON_UPDATES, *IN_THE_CORE, *OTHER_WEIGHTINGS, *PEFT_WAYS, *NEED_FOOTPRINTS} == MERGE_METHODS.keys()


# --- removal, which needs footprints


def own_footprints(adapters: list[Adapter], directions: int | None = None) -> list[Footprint]:
    return [
        footprint(
            adapter.name,
            {
                m: moments(inputs(400, width, 10 * seed + i), directions)
                for i, (m, (_, width)) in enumerate(SHAPES.items())
            },
        )
        for seed, adapter in enumerate(adapters)
    ]


def test_removal_is_the_update_that_comes_nearest_to_each_task_on_its_own_inputs(three):
    """Against the normal equations of the dense least squares, ridge included."""
    given = own_footprints(three)
    merged = merge(three, "removal", WEIGHTS, "merged", given, ridge=0.05)
    for module in SHAPES:
        every = [each.of(module) for each in given]
        left = torch.stack([m.matrix for m in every]).sum(dim=0)
        left = left + 0.05 * sum(m.energy for m in every) / len(left) * torch.eye(len(left), dtype=torch.float64)
        right = torch.stack(
            [w * a.factors[module].update @ m.matrix for w, a, m in zip(WEIGHTS, three, every, strict=True)]
        ).sum(dim=0)
        expected = torch.linalg.solve(left, right.T).T
        torch.testing.assert_close(merged.factors[module].update, expected, rtol=1e-9, atol=1e-10)


def test_removal_keeps_the_masks_and_the_Bs(three):
    merged = merge(three, "removal", [1.0] * 3, "merged", own_footprints(three))
    for module, factors in merged.factors.items():
        assert torch.equal(factors.mask, torch.cat([each.factors[module].mask for each in three], dim=1))


def test_removal_of_one_adapter_with_hardly_a_ridge_leaves_it_as_it_is(dense):
    merged = merge([dense], "removal", [1.0], "merged", own_footprints([dense]), ridge=1e-9)
    assert_same_updates(merged, dense, rtol=1e-2, atol=1e-2)


def test_where_footprints_hold_random_rows_removal_takes_adapters_of_their_span_and_refuses_others(three):
    given = own_footprints(three, directions=8)
    inside = [
        replace(
            each,
            factors={
                m: replace(f, A=torch.randn(4, 8, dtype=torch.float64) @ random_rows(8, f.A.shape[1]))
                for m, f in each.factors.items()
            },
        )
        for each in three
    ]
    merged = merge(inside, "removal", WEIGHTS, "merged", given, ridge=0.05)
    for module in SHAPES:  # the same least squares among updates N R, in N
        every, rows = [each.of(module) for each in given], random_rows(8, SHAPES[module][1])
        left = torch.stack([m.matrix for m in every]).sum(dim=0)
        left = left + 0.05 * sum(m.energy for m in every) / SHAPES[module][1] * rows @ rows.T
        right = torch.stack(
            [
                w * a.factors[module].update @ torch.linalg.pinv(rows) @ m.matrix
                for w, a, m in zip(WEIGHTS, inside, every, strict=True)
            ]
        ).sum(dim=0)
        expected = torch.linalg.solve(left, right.T).T @ rows
        torch.testing.assert_close(merged.factors[module].update, expected, rtol=1e-6, atol=1e-8)
    with pytest.raises(IncompatibleAdapters) as raised:
        merge(three, "removal", WEIGHTS, "merged", given)
    assert raised.value.key == "removal_outside_span"


def test_removal_without_footprints_is_refused(three):
    for given, key in ((None, "needs_footprints"), (own_footprints(three)[:2], "footprints_count")):
        with pytest.raises(IncompatibleAdapters) as raised:
            merge(three, "removal", WEIGHTS, "merged", given)
        assert raised.value.key == key
