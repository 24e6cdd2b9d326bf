"""Metrics against dense updates, their nulls against simulation."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lori_core.config import AdapterConfig
from lori_core.errors import IncompatibleAdapters
from lori_core.method.adapter import Adapter, Factors, blank, dense_factors
from lori_core.method.masks import random_masks
from lori_core.method.metrics import (
    Space,
    cosine_matrix,
    forgetting,
    inner_product,
    mask_overlap,
    principal_angles,
    random_jaccard,
    random_largest_cosine,
    update_norm,
)

SHAPES = {"layers.0.q": (20, 64), "layers.0.up": (32, 64), "layers.1.down": (24, 96)}  # (out_features, in_features)
UPDATE_MEASURES = {
    "cosine": cosine_matrix,
    "row": lambda adapters: principal_angles(adapters, "row"),
    "column": lambda adapters: principal_angles(adapters, "column"),
    "largest": lambda adapters: principal_angles(adapters, "row", "largest"),
}


def drawn(
    name: str, seed: int = 0, shared: bool = False, rank: int = 4, sparsity: float = 0.5, B_seed: int = 0
) -> Adapter:
    """A as training draws it, B gaussian where a random mask keeps it."""
    config = AdapterConfig(rank=rank, sparsity=sparsity, projection_seed=seed, shared_projection=shared)
    masks = random_masks({m: (out, rank) for m, (out, _) in SHAPES.items()}, sparsity, B_seed)
    empty = blank(name, SHAPES, config, masks)
    generator = torch.Generator().manual_seed(B_seed)
    factors = {
        m: Factors(f.A, torch.randn(f.values.shape, generator=generator), f.mask, f.scaling)
        for m, f in empty.factors.items()
    }
    return Adapter(name, config, factors)


def pair(**options) -> list[Adapter]:
    return [drawn("math", B_seed=1, **options), drawn("code", B_seed=2, **options)]


def first_pair(table: tuple[tuple[float | None, ...], ...]) -> float:
    number = table[0][1]
    assert number is not None
    return number


def flat_update(adapter: Adapter) -> Tensor:
    return torch.cat([factors.update.double().flatten() for factors in adapter.factors.values()])


def with_factors(adapter: Adapter, factors: dict[str, Factors]) -> Adapter:
    return Adapter(adapter.name, adapter.config, factors)


def with_zero_B(adapter: Adapter, modules: set[str]) -> Adapter:
    factors = {
        m: Factors(f.A, f.values * 0 if m in modules else f.values, f.mask, f.scaling)
        for m, f in adapter.factors.items()
    }
    return with_factors(adapter, factors)


def test_norm_inner_product_and_cosine_are_those_of_the_dense_updates():
    s, t = drawn("math", rank=4, B_seed=1), drawn("code", rank=6, B_seed=2)
    for module in SHAPES:
        dense = (s.factors[module].update.double() * t.factors[module].update.double()).sum().item()
        assert inner_product(s.factors[module], t.factors[module]) == pytest.approx(dense, abs=1e-5)
    assert update_norm(s) == pytest.approx(flat_update(s).norm().item(), rel=1e-5)
    cosines = cosine_matrix([s, t])
    expected = torch.cosine_similarity(flat_update(s), flat_update(t), dim=0).item()
    assert cosines.values[0][1] == pytest.approx(expected, abs=1e-6)
    assert cosines.values[0][0] == pytest.approx(1)
    assert cosines.z[0][0] is cosines.null_mean[0][0] is cosines.null_sd[0][0] is None
    one, other = s.factors["layers.0.up"].update, t.factors["layers.0.up"].update
    expected = torch.cosine_similarity(one.flatten(), other.flatten(), dim=0).item()
    assert cosines.by_module["layers.0.up"][0][1] == pytest.approx(expected, abs=1e-5)


def test_the_cosines_null_spread_is_what_independent_projections_show():
    s, t = pair()
    seen = [
        cosine_matrix([s, with_factors(t, {m: Factors(drawn("code", seed).factors[m].A, f.values, f.mask, 2.0)
                                           for m, f in t.factors.items()})])
        for seed in range(1, 301)
    ]  # fmt: skip
    values = np.array([first_pair(each.values) for each in seen])
    assert abs(values.mean()) < 4 * values.std() / 300**0.5
    # 300 draws give the spread to 4 % (one sd); the null depends a little on the drawn A, so its mean is compared
    assert np.mean([first_pair(each.null_sd) for each in seen]) == pytest.approx(values.std(), rel=0.15)
    assert np.std([first_pair(each.z) for each in seen]) == pytest.approx(1, abs=0.15)


def projected(name: str, updates: dict[str, Tensor], seed: int, shared: bool = False) -> Adapter:
    """The updates of all of W, on the rows of A alone: dW = G P, P the projection on orthonormal rows."""
    config = AdapterConfig(rank=4, sparsity=0.0, projection_seed=seed, shared_projection=shared)
    factors = {}
    for module, f in blank(name, SHAPES, config).factors.items():
        A = torch.linalg.qr(f.A.T.double()).Q.T
        factors[module] = dense_factors(A, updates[module].double() @ A.T)
    return Adapter(name, config, factors)


def test_independent_projections_leave_related_tasks_rank_by_width_of_their_cosine():
    generator = torch.Generator().manual_seed(0)
    common, *own = ({m: torch.randn(shape, generator=generator) for m, shape in SHAPES.items()} for _ in range(3))
    updates = [{m: common[m] + 0.3 * each[m] for m in SHAPES} for each in own]
    names = ("math", "code")
    seen = [
        cosine_matrix(*([projected(n, G, seed, shared) for n, G in zip(names, updates, strict=True)]
                        for shared in (False, True)))
        for seed in range(200)
    ]  # fmt: skip
    values = np.array([first_pair(each.values) for each in seen])
    expected = np.mean([first_pair(each.related_mean) for each in seen])
    assert values.mean() == pytest.approx(expected, abs=4 * values.std() / 200**0.5)
    assert expected > 10 * values.std() / 200**0.5
    flat = [torch.cat([each[m].flatten() for m in SHAPES]) for each in updates]
    cosine = torch.cosine_similarity(flat[0], flat[1], dim=0).item()
    assert 4 / 96 * cosine < expected < 4 / 64 * cosine  # r/d of the wider and of the narrower modules


def test_the_line_of_related_tasks_is_for_dense_B_and_frozen_projections_alone():
    dense, shared = (pair(sparsity=0.0, shared=each) for each in (False, True))
    line = cosine_matrix(dense, shared).related_mean
    assert line[0][1] is not None and line[0][0] is None
    assert cosine_matrix(dense).related_mean == ()
    assert cosine_matrix(pair(sparsity=0.5), shared).related_mean == ()
    trained = [Adapter(each.name, each.config.changed(train_projection=True), each.factors) for each in dense]
    assert cosine_matrix(trained, shared).related_mean == ()


def test_the_cosines_null_spread_comes_near_the_formula_of_B_alone_and_stays_below_its_bound():
    wide = {"q": (16, 4096)}
    config = AdapterConfig(rank=4, sparsity=0.0)
    adapters = []
    for seed, name in enumerate(("math", "code")):
        A = blank(name, wide, config).factors["q"].A
        B = torch.randn(16, 4, generator=torch.Generator().manual_seed(seed))
        adapters.append(Adapter(name, config, {"q": dense_factors(A, B)}))
    B_s, B_t = (adapter.factors["q"].B for adapter in adapters)
    expected = ((B_s.T @ B_t).norm() / (4096**0.5 * B_s.norm() * B_t.norm())).item()
    spread = first_pair(cosine_matrix(adapters).null_sd)
    assert spread == pytest.approx(expected, rel=0.05)
    assert spread < 1 / 4096**0.5


def test_a_shared_projection_stands_out_where_independent_ones_do_not():
    same_B = [drawn(name, shared=True, B_seed=3) for name in ("math", "code")]
    apart = [drawn(name, B_seed=3) for name in ("math", "code")]
    z_shared, z_apart = (first_pair(cosine_matrix(adapters).z) for adapters in (same_B, apart))
    assert z_shared > 10
    assert abs(z_apart) < 4
    angles_shared, angles_apart = (first_pair(principal_angles(adapters).z) for adapters in (same_B, apart))
    assert angles_shared > 10
    assert abs(angles_apart) < 4


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), c=st.floats(0.01, 100), k=st.floats(0.01, 100))
def test_update_metrics_do_not_depend_on_how_an_update_is_written_as_factors(seed, c, k):
    s, t = pair()
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for module, f in s.factors.items():
        Q = torch.linalg.qr(torch.randn(f.rank, f.rank, generator=generator, dtype=torch.float64)).Q
        factors[module] = dense_factors(c * Q @ f.A.double(), k * f.B.double() @ Q.T, f.scaling / (c * k))
    rewritten = with_factors(s, factors)
    assert update_norm(rewritten) == pytest.approx(update_norm(s), rel=1e-6)
    for name, measure in UPDATE_MEASURES.items():
        before, after = measure([s, t]), measure([rewritten, t])
        assert after.values[0][1] == pytest.approx(before.values[0][1], rel=1e-6, abs=1e-9), name
        assert after.null_mean[0][1] == pytest.approx(before.null_mean[0][1]), name
        if name != "largest":
            assert after.null_sd[0][1] == pytest.approx(before.null_sd[0][1], rel=1e-6), name


def test_the_cosine_of_opposite_updates_is_minus_one_whatever_their_size():
    s = drawn("math", B_seed=1)
    opposite = {m: Factors(f.A, -3 * f.values, f.mask, f.scaling) for m, f in s.factors.items()}
    assert cosine_matrix([s, with_factors(s, opposite)]).values[0][1] == pytest.approx(-1)


def test_a_module_without_an_update_has_no_value_and_an_adapter_without_one_has_none_at_all():
    s, t = pair()
    partly, empty = with_zero_B(t, {"layers.0.q"}), with_zero_B(t, set(SHAPES))
    for name, measure in UPDATE_MEASURES.items():
        found = measure([s, partly])
        assert found.by_module["layers.0.q"][0][1] is None, name
        assert found.by_module["layers.0.q"][1][1] is None, name
        assert found.values[0][1] is not None, name
        found = measure([s, empty])
        assert found.values[0][1] is found.values[1][1] is found.null_sd[0][1] is found.z[0][1] is None, name
        assert found.values[0][0] == pytest.approx(1), name
    assert update_norm(empty) == 0.0
    assert principal_angles([s, empty], "projection").values[0][1] is not None  # A is there all the same


def test_mask_overlap_is_jaccard_and_its_null_that_of_columns_in_any_order():
    s, t = drawn("math", sparsity=0.9, B_seed=1), drawn("code", sparsity=0.9, B_seed=2)
    found = mask_overlap([s, t])
    sets = [
        {(m, i) for m, f in a.factors.items() for i in f.mask.flatten().nonzero().flatten().tolist()} for a in (s, t)
    ]
    assert found.values[0][1] == pytest.approx(len(sets[0] & sets[1]) / len(sets[0] | sets[1]))
    assert found.values[0][0] == 1

    generator, seen, anywhere = np.random.default_rng(0), [], []
    for _ in range(2000):
        both = either = even_both = even_either = 0
        for module in SHAPES:
            one, other = (a.factors[module].mask.numpy() for a in (s, t))
            turned = other[:, generator.permutation(other.shape[1])]
            both, either = both + (one & turned).sum(), either + (one | turned).sum()
            strewn = generator.permutation(other.flatten()).reshape(other.shape)
            even_both, even_either = even_both + (one & strewn).sum(), even_either + (one | strewn).sum()
        seen.append(both / either)
        anywhere.append(even_both / even_either)
    # first order in the number of common entries: the mean of a convex function lies a little above it
    assert found.null_mean[0][1] == pytest.approx(np.mean(seen), rel=0.05)
    assert found.null_sd[0][1] == pytest.approx(np.std(seen), rel=0.1)
    assert found.even_mean[0][1] == pytest.approx(np.mean(anywhere), rel=0.05)
    assert found.even_mean[0][0] is None


def masks_of_rows(*rows: slice) -> list[Adapter]:
    """Adapters whose masks keep these outputs of every module, whole."""
    adapters = [drawn(name, sparsity=0.0) for name in ("math", "code")]
    made = []
    for adapter, kept in zip(adapters, rows, strict=True):
        masks = {m: torch.zeros(out, 4, dtype=torch.bool) for m, (out, _) in SHAPES.items()}
        for mask in masks.values():
            mask[kept] = True
        made.append(adapter.with_masks(masks))
    return made


def test_masks_that_prefer_the_same_outputs_overlap_more_than_by_counts_and_agree_on_nothing():
    same = mask_overlap(masks_of_rows(slice(0, 10), slice(0, 10)))
    assert same.values[0][1] == same.null_mean[0][1] == 1  # any order of the columns shares as much
    assert first_pair(same.even_mean) < 0.5
    assert same.z[0][1] is None


def test_under_one_shared_projection_the_columns_of_masks_belong_together():
    masks = {m: torch.zeros(out, 4, dtype=torch.bool) for m, (out, _) in SHAPES.items()}
    for mask in masks.values():
        mask[::2, 0] = mask[::3, 1] = True
    apart, together = (
        [drawn(name, shared=shared).with_masks(masks) for name in ("math", "code")] for shared in (False, True)
    )
    assert first_pair(mask_overlap(together).null_mean) > first_pair(mask_overlap(apart).null_mean)


def test_the_null_of_masks_that_crowd_into_one_module_lies_above_the_plain_line():
    masks = {m: torch.zeros(out, 4, dtype=torch.bool) for m, (out, _) in SHAPES.items()}
    masks["layers.0.q"][:, :2] = True
    crowded = [drawn(name, sparsity=0.0).with_masks(masks) for name in ("math", "code")]
    kept = 40 / sum(mask.numel() for mask in masks.values())
    null = first_pair(mask_overlap(crowded).null_mean)
    assert null == first_pair(mask_overlap(crowded).even_mean)  # no output is preferred
    assert null == pytest.approx(20 / 60)  # of 80 entries each keeps 40: 20 in common, 60 in either
    assert null > 2 * random_jaccard(1 - kept)
    spread = [drawn(name, sparsity=0.8, B_seed=1) for name in ("math", "code")]
    assert mask_overlap(spread).even_mean[0][1] == pytest.approx(random_jaccard(0.8), rel=0.05)


def test_full_masks_leave_chance_no_room_and_empty_masks_have_no_overlap():
    full = [drawn(name, sparsity=0.0) for name in ("math", "code")]
    assert mask_overlap(full).values[0][1] == mask_overlap(full).null_mean[0][1] == 1
    assert mask_overlap(full).z[0][1] is None
    nothing = {m: torch.zeros(out, 4, dtype=torch.bool) for m, (out, _) in SHAPES.items()}
    assert mask_overlap([a.with_masks(nothing) for a in full]).values[0][1] is None


def test_principal_angles_are_those_of_the_subspaces_of_the_dense_updates():
    s, t = pair()
    spaces: dict[Space, Callable[[Factors], Tensor]] = {
        "projection": lambda factors: factors.A.T,
        "row": lambda factors: factors.update.T,
        "column": lambda factors: factors.update,
    }
    for space, of in spaces.items():
        cosines = {}
        for module in SHAPES:
            bases = [torch.linalg.svd(of(a.factors[module]).double(), full_matrices=False).U[:, :4] for a in (s, t)]
            cosines[module] = torch.linalg.svdvals(bases[0].T @ bases[1])
        mean, largest = principal_angles([s, t], space), principal_angles([s, t], space, "largest")
        together = torch.cat(list(cosines.values()))
        assert mean.values[0][1] == pytest.approx(together.square().mean().item(), rel=1e-4)
        assert largest.values[0][1] == pytest.approx(together.max().item(), rel=1e-4)
        assert mean.by_module["layers.0.up"][0][1] == pytest.approx(
            cosines["layers.0.up"].square().mean().item(), rel=1e-4
        )


def test_random_subspaces_have_the_mean_the_spread_and_the_largest_cosine_that_theory_says():
    d, r, k = 40, 5, 3
    generator = torch.Generator().manual_seed(0)
    mean, config = [], AdapterConfig(rank=r)
    for _ in range(600):
        A_s, A_t = (torch.randn(n, d, generator=generator) for n in (r, k))
        adapters = [
            Adapter(n, config, {"q": dense_factors(A, torch.ones(2, len(A)))}) for n, A in (("s", A_s), ("t", A_t))
        ]
        mean.append(principal_angles(adapters))
    values = np.array([each.values[0][1] for each in mean])
    null_mean, null_sd = mean[0].null_mean[0][1], mean[0].null_sd[0][1]
    assert null_mean == pytest.approx(r / d)
    assert values.mean() == pytest.approx(null_mean, abs=4 * values.std() / 600**0.5)
    assert values.std() == pytest.approx(null_sd, rel=0.12)

    def largest(rank_s: int, rank_t: int, dimension: int) -> float:
        bases = [torch.linalg.qr(torch.randn(dimension, n, generator=generator)).Q for n in (rank_s, rank_t)]
        return torch.linalg.svdvals(bases[0].T @ bases[1])[0].item()

    assert random_largest_cosine(64, 64, 1024) == pytest.approx(2 * (1 / 16 * 15 / 16) ** 0.5)
    for ranks in ((64, 64), (96, 32)):
        assert np.mean([largest(*ranks, 1024) for _ in range(5)]) == pytest.approx(
            random_largest_cosine(*ranks, 1024), rel=0.03
        )
    assert largest(20, 30, 40) == pytest.approx(random_largest_cosine(20, 30, 40), abs=1e-4)  # they must meet


def test_forgetting_is_the_best_score_since_a_task_was_learned_minus_the_final_one():
    matrix = ((0.9, 0.8, 0.1), (0.95, 0.7, 0.2), (0.6, 0.75, 0.8))
    assert forgetting(matrix) == pytest.approx((0.35, -0.05, 0.0))  # the 0.8 came before the task was learned
    assert forgetting(((0.5,),)) == (0.0,)


@pytest.mark.parametrize("measure", [cosine_matrix, mask_overlap, principal_angles])
def test_matrices_are_symmetric_and_follow_the_order_of_the_adapters(measure):
    adapters = [drawn(name, B_seed=seed) for seed, name in enumerate(("math", "code", "safety"))]
    forward, backward = measure(adapters), measure(adapters[::-1])
    assert forward.names == ("math", "code", "safety")
    for s, t in itertools.product(range(3), repeat=2):
        assert forward.values[s][t] == pytest.approx(forward.values[t][s])
        assert forward.values[s][t] == pytest.approx(backward.values[2 - s][2 - t])


def test_masks_of_another_rank_are_refused_and_updates_of_another_rank_are_compared():
    adapters = [drawn("math", rank=4), drawn("code", rank=5)]
    for measure in (mask_overlap,):
        with pytest.raises(IncompatibleAdapters) as raised:
            measure(adapters)
        assert raised.value.key == "masks_differ"
        assert raised.value.in_language("en") != raised.value.in_language("ja")
    for name, measure in UPDATE_MEASURES.items():
        assert measure(adapters).values[0][1] is not None, name
