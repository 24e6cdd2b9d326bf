"""Footprints against dense moments: what is rounded and what is random rows of the input."""

import pytest
import torch
from moments import inputs, moments

from lori_core.method.footprint import random_rows


@pytest.mark.parametrize("tokens", [8, 500])  # fewer than features: a matrix that has no inverse
def test_rounding_to_16_bits_leaves_moments_positive_semidefinite_and_near(tokens):
    x = inputs(tokens, 40)
    exact = x.T @ x / tokens
    found = moments(x).matrix
    assert torch.linalg.eigvalsh(found).min() >= -1e-12 * found.diagonal().sum()
    assert torch.dist(found, exact) <= 1e-3 * exact.norm()


def test_the_energy_through_an_A_is_the_mean_of_its_outputs_squares():
    x, A = inputs(300, 40), torch.randn(6, 40, dtype=torch.float64)
    assert moments(x).through(A) == pytest.approx((x @ A.T).square().sum().item() / 300, rel=1e-3)


def test_of_random_rows_the_energy_through_a_combination_of_them_is_exact_and_through_others_that_of_chance():
    x, rows = inputs(300, 64), random_rows(16, 64)
    W = torch.randn(4, 16, dtype=torch.float64)
    found = moments(x, directions=16)
    assert found.through(W @ rows) == pytest.approx((x @ (W @ rows).T).square().sum().item() / 300, rel=1e-3)
    outside = torch.randn(4, 64, dtype=torch.float64)
    assert found.in_span(outside) is None
    energy = x.square().sum().item() / 300
    assert found.through(outside) == pytest.approx(outside.square().sum().item() * energy / 64)


def test_the_gram_matrix_turns_a_ridge_on_A_into_one_on_its_coordinates():
    W, found = torch.randn(4, 16, dtype=torch.float64), moments(inputs(50, 64), directions=16)
    A = W @ random_rows(16, 64)
    torch.testing.assert_close(torch.trace(W @ found.gram @ W.T), A.square().sum())
    assert torch.equal(moments(inputs(50, 8)).gram, torch.eye(8, dtype=torch.float64))


def test_random_rows_have_the_same_bits_everywhere():
    rows = random_rows(3, 5)
    assert torch.equal(rows * 2**23, (rows * 2**23).round())
    assert [round(value * 2**23) for value in rows[0].tolist()] == [-156032, 7848012, 681581, -1318552, -6867880]
