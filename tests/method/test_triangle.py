"""Weighted merges forecast from footprints: every point against dense updates and second moments written out."""

from dataclasses import replace

import pytest
import tiny
import torch
from moments import footprint, inputs, moments

from lori_core import figures
from lori_core.config import AdapterConfig
from lori_core.method.adapter import Adapter, blank
from lori_core.method.footprint import Footprint
from lori_core.method.forecast import forecast
from lori_core.method.triangle import STEPS, foreign_over_own, joint_energies, weighted_merges
from lori_core.translate import LANGUAGES

NAMES = ("math", "code", "nlu")
SHAPES = {"m": (8, 20), "n": (3, 12)}  # the second has fewer outputs than two adapters have ranks


@pytest.fixture(scope="module")
def adapters() -> list[Adapter]:
    config = AdapterConfig(rank=4, sparsity=0)
    return [tiny.filled(blank(name, SHAPES, config), seed) for seed, name in enumerate(NAMES)]


@pytest.fixture(scope="module")
def footprints() -> list[Footprint]:
    return [
        footprint(name, {m: moments(inputs(300, width, 7 * seed + width)) for m, (_, width) in SHAPES.items()})
        for seed, name in enumerate(NAMES)
    ]


def energy(adapters: list[Adapter], weights: list[float], footprint: Footprint) -> float:
    """E‖Σ w dW x‖², the updates written out."""
    total = 0.0
    for module in SHAPES:
        each = [adapter.factors[module] for adapter in adapters]
        parts = [w * f.scaling * f.B.double() @ f.A.double() for w, f in zip(weights, each, strict=True)]
        dW = torch.stack(parts).sum(0)
        total += torch.trace(dW @ footprint.of(module).matrix @ dW.T).item()
    return total


def test_each_point_is_what_the_updates_written_out_give(adapters, footprints):
    found = weighted_merges(adapters, footprints)
    assert len(found.weights) == (STEPS + 1) * (STEPS + 2) // 2 == len(set(found.weights))
    for weights, ratios in list(zip(found.weights, found.ratios, strict=True))[::17]:
        assert sum(weights) == pytest.approx(1)
        for t, ratio in enumerate(ratios):
            own = energy([adapters[t]], [weights[t]], footprints[t])
            others = [place for place in range(3) if place != t]
            foreign = energy([adapters[s] for s in others], [weights[s] for s in others], footprints[t])
            assert ratio == (None if own == 0 else pytest.approx((foreign / own) ** 0.5, rel=1e-4))


def test_two_adapters_at_equal_weights_are_the_forecast_s_cross_talk(adapters, footprints):
    found, known = weighted_merges(adapters[:2], footprints[:2]), forecast(adapters[:2], footprints[:2])
    assert found.weights[STEPS // 2] == (0.5, 0.5)
    assert found.ratios[STEPS // 2] == pytest.approx((known.values[1][0], known.values[0][1]))


def test_only_ratios_of_weights_count_and_opposite_adapters_may_cancel(adapters, footprints):
    energies = joint_energies(adapters, footprints)
    weights = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64)
    assert torch.allclose(foreign_over_own(energies, weights), foreign_over_own(energies, 3 * weights))
    turned = {m: replace(f, values=-f.values) for m, f in adapters[1].factors.items()}
    against = [adapters[0], adapters[1], replace(adapters[1], factors=turned)]
    found = foreign_over_own(joint_energies(against, footprints), torch.ones(1, 3, dtype=torch.float64))
    assert found[0, 0] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_figure_has_a_point_a_merge_names_the_quantity_and_calls_it_no_score(adapters, footprints, count, language):
    found = weighted_merges(adapters[:count], footprints[:count])
    drawing = figures.merge_triangle(found, language)
    first = drawing.figure.to_dict()["data"][0]
    assert len(first["x"]) == len(found.weights) == len(drawing.rows)
    assert all(name in drawing.title for name in NAMES[:count]) and drawing.summary and drawing.limits
    assert len(drawing.header) == 2 == len(drawing.rows[found.least])
    least = found.worst[found.least]
    assert least == min(each for each in found.worst if each is not None) and f"{least:.2f}" in drawing.summary
