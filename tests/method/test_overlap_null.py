"""The chance overlap of masks against every permutation there is, and its z on masks that are independent."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from lori_core.method.overlap_null import chance_overlap, same_projection


def random_mask(seed: int, outputs: int, rank: int, density: float = 0.5) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((outputs, rank)) < density)


@pytest.mark.parametrize(("outputs", "rank"), [(5, 1), (6, 2), (4, 3), (9, 4), (7, 5)])
def test_under_independent_projections_the_moments_are_those_of_all_orders_of_the_columns(outputs, rank):
    s, t = random_mask(1, outputs, rank), random_mask(2, outputs, rank)
    seen = [int((s & t[:, list(order)]).sum()) for order in itertools.permutations(range(rank))]
    assert chance_overlap(s.numpy(), t.numpy(), shared=False) == pytest.approx((np.mean(seen), np.var(seen)))


@pytest.mark.parametrize("seed", range(3))
def test_under_one_shared_projection_they_are_those_of_all_orders_of_rows_alike(seed):
    generator = np.random.default_rng(seed)
    counts = np.tri(3, dtype=bool)[[0, 0, 0, 0, 0, 1, 1, 1, 2]]  # five rows keep one entry, three keep two, one all
    s, t = (torch.from_numpy(generator.permuted(counts, axis=1)) for _ in range(2))
    seen = []
    for first, second in itertools.product(itertools.permutations(range(5)), itertools.permutations(range(5, 8))):
        seen.append(int((s & t[[*first, *second, 8]]).sum()))
    assert np.var(seen) > 0
    assert chance_overlap(s.numpy(), t.numpy(), shared=True) == pytest.approx((np.mean(seen), np.var(seen)))


def preferring(generator: np.random.Generator, outputs: np.ndarray, ranks: np.ndarray) -> Tensor:
    """The fifth of all entries that came out largest, of sizes that differ by output and by rank."""
    sizes = np.abs(outputs[:, None] * ranks * generator.normal(size=(len(outputs), len(ranks))))
    return torch.from_numpy(sizes > np.quantile(sizes, 0.8))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("uneven", ["nothing", "rows", "columns", "both"])
def test_independent_masks_have_z_of_mean_0_and_deviation_1_whatever_outputs_and_ranks_they_prefer(uneven, shared):
    generator = np.random.default_rng(0)

    def preference(count: int, part: str) -> np.ndarray:
        return np.exp(generator.normal(size=count)) if uneven in (part, "both") else np.ones(count)

    found = []
    for _ in range(500):
        both = mean = variance = 0.0
        for _ in range(3):  # modules
            rows = preference(64, "rows")  # common to both masks
            columns = preference(8, "columns")
            others = columns if shared else preference(8, "columns")
            s, t = (preferring(generator, rows, each) for each in (columns, others))
            by_chance = chance_overlap(s.numpy(), t.numpy(), shared)
            both, mean, variance = both + int((s & t).sum()), mean + by_chance[0], variance + by_chance[1]
        found.append((both - mean) / variance**0.5)
    assert 0.9 < np.std(found) < 1.1
    assert abs(np.mean(found)) < 0.2


def test_entries_in_common_stand_out_from_rows_in_common():
    generator = np.random.default_rng(0)
    rows = np.exp(0.5 * generator.normal(size=512))
    s, t = (preferring(generator, rows, np.ones(8)) for _ in range(2))
    agreeing = torch.where(random_mask(0, 512, 8, 0.3), s, t)
    for shared in (False, True):
        mean, variance = chance_overlap(s.numpy(), agreeing.numpy(), shared)
        assert (int((s & agreeing).sum()) - mean) / variance**0.5 > 5


@pytest.mark.parametrize("shared", [False, True])
def test_masks_without_a_choice_leave_chance_no_room(shared):
    full, other = torch.ones(7, 3, dtype=torch.bool), random_mask(0, 7, 3)
    assert chance_overlap(full.numpy(), other.numpy(), shared) == pytest.approx((int(other.sum()), 0))
    assert chance_overlap(full.numpy(), other.numpy(), shared)[1] == 0.0
    assert chance_overlap(~full.numpy(), other.numpy(), shared) == (0.0, 0.0)


def test_a_projection_is_the_same_by_its_numbers():
    A = torch.arange(6.0).view(2, 3)
    assert same_projection(A, A) and same_projection(A, A.clone())
    assert not same_projection(A, A + 1) and not same_projection(A, A[:1])
