"""Conditioned A against the generalised eigenproblem solved the direct way, and its integers against plain Python's."""

import pytest
import torch
from moments import footprint, inputs, moments
from torch import Tensor

from lori_core.errors import ConfigError
from lori_core.method.conditioned import Conditions, conditioned, recover_rows, stored_rows
from lori_core.method.footprint import random_rows

RANK, FEATURES = 4, 40


def conditions(directions: int | None = None) -> Conditions:
    """Three tasks, one module "m"."""
    first, *others = (
        footprint(str(seed), {"m": moments(inputs(400, FEATURES, seed), directions)}) for seed in range(3)
    )
    return Conditions(first, others)


def energies(given: Conditions, A: Tensor) -> tuple[float, float]:
    """On the own task, and the mean on the others."""
    others = [each.of("m").through(A) for each in given.others]
    return given.own.of("m").through(A), sum(others) / len(others)


@pytest.mark.parametrize("directions", [None, 16])
def test_the_rows_span_the_leading_solutions_of_the_generalised_eigenproblem(directions):
    given, ridge = conditions(directions), 0.01
    A = conditioned(given, ["m"], RANK, ridge)["m"].double()
    rows = torch.eye(FEATURES, dtype=torch.float64) if directions is None else random_rows(directions, FEATURES)
    own, others = given.own.of("m"), [each.of("m") for each in given.others]
    mean = sum(each.matrix for each in others) / len(others)
    energy = sum(each.energy for each in others) / len(others)
    penalty = mean + ridge * energy / FEATURES * rows @ rows.T
    values, vectors = torch.linalg.eig(torch.linalg.solve(penalty, own.matrix))
    leading = values.real.argsort()[-RANK:]
    expected = vectors.real[:, leading].T @ rows
    angles = torch.linalg.svdvals(torch.linalg.qr(A.T).Q.T @ torch.linalg.qr(expected.T).Q)
    torch.testing.assert_close(angles, torch.ones(RANK, dtype=torch.float64), rtol=0, atol=1e-5)


def test_it_lets_as_much_of_its_task_through_as_a_random_A_and_far_less_of_the_others():
    given = conditions()
    own, others = energies(given, conditioned(given, ["m"], RANK, 0.01)["m"])
    assert own == pytest.approx(RANK * given.own.of("m").energy / (3 * FEATURES), rel=1e-3)
    assert others < 0.1 * own


def test_conditioned_on_the_wrong_task_it_lets_the_others_through():
    """The control: own task and another exchanged."""
    given = conditions()
    wrong = Conditions(given.others[0], [given.own, given.others[1]])
    own, _ = energies(given, conditioned(wrong, ["m"], RANK, 0.01)["m"])
    assert given.others[0].of("m").through(conditioned(wrong, ["m"], RANK, 0.01)["m"]) > 10 * own


@pytest.mark.parametrize("directions", [None, 16])
def test_A_comes_back_to_the_bit_from_its_16_bit_integers(directions):
    A = conditioned(conditions(directions), ["m"], RANK, 0.01)["m"]
    stored = recover_rows(A, directions)
    assert stored is not None
    assert stored.W.dtype == torch.int16
    assert torch.equal(stored.expand(FEATURES), A)


def test_the_integers_are_summed_exactly():
    stored = stored_rows(torch.randn(2, 16, dtype=torch.float64))
    A, rows = stored.expand(FEATURES), random_rows(16, FEATURES)
    for i in range(2):
        whole = sum(int(w) * int(r * 2**23) for w, r in zip(stored.W[i], rows[:, 7], strict=True))
        assert A[i, 7].item() == torch.tensor(whole * 2.0 ** (int(stored.exponents[i]) - 23)).item()


def test_an_A_that_was_drawn_has_no_such_integers():
    assert recover_rows(torch.randn(RANK, FEATURES), None) is None
    assert recover_rows(torch.randn(RANK, FEATURES), 16) is None


def test_modules_that_read_one_input_share_their_A():
    given = conditions()
    twins = [
        type(each)(each.name, {"m": "m", "n": "m"}, each.moments, each.tokens) for each in (given.own, *given.others)
    ]
    found = conditioned(Conditions(twins[0], twins[1:]), ["m", "n"], RANK, 0.01)
    assert torch.equal(found["m"], found["n"])


def test_what_cannot_be_conditioned_is_refused_in_both_languages():
    given = conditions()
    refused = {
        "conditioned_on_nothing": (Conditions(given.own, []), RANK),
        "footprints_differ": (Conditions(given.own, conditions(16).others), RANK),
        "too_few_directions": (given, FEATURES + 1),
    }
    for key, (wrong, rank) in refused.items():
        with pytest.raises(ConfigError) as raised:
            conditioned(wrong, ["m"], rank, 0.01)
        assert raised.value.key == key
        assert raised.value.in_language("en") != raised.value.in_language("ja")
