"""The benchmark of retention: its features against rows of inputs, its forecast against made-up merges."""

import numpy as np
import pytest
import tiny
import torch

from benchmarks.retention import WAYS, Row, alone, chosen_weights, effects, judged
from lori_core.method.footprint import Footprint, moments_of
from lori_core.method.merge import merge

BASE = tiny.base()
ADAPTERS = [tiny.strong(BASE, seed, name) for seed, name in enumerate(("after", "before", "both"))]
ROWS = 40  # of inputs


def inputs(seed: int) -> dict[str, torch.Tensor]:
    """module -> (ROWS, in_features), with directions of their own for each task."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for module, factors in ADAPTERS[0].factors.items():
        width = factors.A.shape[1]
        mix = torch.randn(width, width, generator=generator, dtype=torch.float64)
        found[module] = torch.randn(ROWS, width, generator=generator, dtype=torch.float64) @ mix
    return found


def footprint(name: str, x: dict[str, torch.Tensor]) -> Footprint:
    moments = {
        m: moments_of(each.T @ each / ROWS, each.shape[1], each.square().sum().item() / ROWS) for m, each in x.items()
    }
    return Footprint(name, {module: module for module in x}, moments, ROWS)


INPUTS = [inputs(seed) for seed in range(len(ADAPTERS))]
FOOTPRINTS = [footprint(a.name, x) for a, x in zip(ADAPTERS, INPUTS, strict=True)]


@pytest.mark.parametrize("method", ["concat", "ties", "removal", "tsv_m"])
def test_effects_are_those_on_the_rows_themselves(method: str):
    merged = merge(ADAPTERS, method, [0.7, 1.0, 1.3], "merged", FOOTPRINTS)
    for adapter, x, known in zip(ADAPTERS, INPUTS, FOOTPRINTS, strict=True):
        found = effects(merged, adapter, known)
        owns = [x[m] @ f.update.double().T for m, f in adapter.factors.items()]
        wholes = [x[m] @ f.update.double().T for m, f in merged.factors.items()]
        own, whole = (torch.cat([each.flatten() for each in every]) for every in (owns, wholes))
        along = (own @ whole / (own @ own)).item()
        assert found["along"] == pytest.approx(along, rel=2e-2, abs=2e-3)  # footprints are rounded to 16 bits
        assert found["beside"] == pytest.approx(((whole - along * own).norm() / own.norm()).item(), rel=2e-2, abs=2e-3)
        pushed = 0.0
        for o, w, m in zip(owns, wholes, adapter.factors, strict=True):
            beside = w - (o * w).sum() / o.square().sum() * o
            pushed += (beside.square().sum() / x[m].square().sum()).item()
        assert found["pushed"] == pytest.approx(pushed**0.5, rel=2e-2, abs=2e-3)


def test_an_adapter_merged_with_nobody_is_left_as_it_was():
    alone = merge(ADAPTERS[:1], "concat", [0.5], "merged")
    found = effects(alone, ADAPTERS[0], FOOTPRINTS[0])
    assert found["along"] == pytest.approx(0.5)
    assert found["beside"] == pytest.approx(0, abs=1e-5) and found["pushed"] == pytest.approx(0, abs=1e-5)


def rows(noise: float = 0.0) -> list[Row]:
    """Of six sources, four ways, four tasks; what is kept follows from `alone` and `pushed`."""
    random = np.random.default_rng(0)
    made = []
    for source in range(6):
        for way in WAYS[:4]:
            for task in range(4):
                pushed, alone = float(random.uniform(0.1, 4)), float(random.uniform(0.5, 1))
                kept = alone / (1 + pushed**3) + noise * float(random.normal())
                row = {
                    "source": f"s{source}",
                    "way": way.label,
                    "task": f"t{task}?level=4",
                    "kept": kept,
                    "alone": alone,
                }
                features = {"along": way.weight, "beside": float(random.uniform(0.1, 4)), "pushed": pushed}
                made.append(row | features | {"own": float(random.uniform(0.2, 0.4))})
    return made


def test_what_an_adapter_keeps_alone_is_read_between_the_scales_that_were_scored():
    by_scale = {"0.15": 0.1, "0.3": 0.3, "0.5": 0.5, "0.8": 0.7}
    row = {"single": 0.9, "bare": 0.1}
    found = [alone(row | {"along": along}, by_scale) for along in (0.0, 0.15, 0.3, 0.3 * (5 / 3) ** 0.5, 0.8, 1.0, 1.4)]
    assert found == pytest.approx([0, 0, 0.25, 0.375, 0.75, 1, 1])


def test_a_curve_finds_what_was_kept_because_of_two_features():
    found = judged(rows())
    assert found["forecast"]["spearman"] > 0.98 and found["forecast"]["mean_absolute_error"] < 0.02
    assert abs(found["way"]["spearman"]) < 0.5 and found["merges"] == 24 and found["rows"] == 96


def test_intervals_cover_about_as_many_as_they_say():
    assert 0.8 <= judged(rows(noise=0.05))["covered"] <= 0.97


def test_no_row_of_a_task_is_forecast_by_a_curve_that_saw_the_task():
    made = rows()
    for row in made:
        if row["task"].startswith("t0"):
            row["kept"] = 0.5  # whatever was pushed
    others = [row for row in made if not row["task"].startswith("t0")]
    own = [row for row in made if row["task"].startswith("t0")]
    # had curves seen the tasks they are judged on, those of the three others would be as much off as that of t0
    whole, without = judged(made)["forecast"], judged(others)["forecast"]
    assert without["mean_absolute_error"] < 0.02
    assert whole["mean_absolute_error"] * len(made) > 0.2 * len(own)


def test_what_a_chosen_weight_costs_is_beside_the_best_that_was_measured():
    made = [row for row in rows() if row["source"] == "s0"]
    kept = {way.label: value for way, value in zip(WAYS[:4], (0.9, 0.95, 0.7, 0.2), strict=True)}
    for row in made:
        row["kept"] = kept[row["way"]]
    first = chosen_weights(made, np.array([1.0 if row["way"] == WAYS[0].label else 0.0 for row in made]))
    assert first["sets"]["s0"]["chosen"] == WAYS[0].weight
    assert first["sets"]["s0"]["lost"] == pytest.approx(0.05) and first["within_2_points"] == 0
