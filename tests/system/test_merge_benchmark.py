"""The benchmark of merge methods: its control, and that it goes on from the rows that are there."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import merge_methods
from benchmarks.footprint_sets import AdapterSet
from benchmarks.merge_methods import (
    METHODS,
    ROWS,
    ROWS_OF_SETS,
    SETS,
    TASK_SETS,
    Unit,
    one,
    over_kinds,
    random_values,
    shown,
    table,
    units,
)
from lori_core.config import METHOD_OPTIONS
from lori_core.embedded.ready_made import ready_made

UNIT = Unit("lori_s", ("nlu", "math"), "concat")


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Unit]:
    """What is measured, with made-up scores, from now on."""
    asked: list[Unit] = []

    def made_up(examples: int, unit: Unit) -> dict[str, dict[str, float]]:
        asked.append(unit)
        return {"scores": {"nlu": 0.5, "math": 0.5 if unit.how == "concat" else 0.7}}

    monkeypatch.setattr(merge_methods, "FOLDER", tmp_path)
    monkeypatch.setattr(merge_methods, "measure", made_up)
    return asked


def test_a_random_adapter_has_the_same_a_mask_and_norms_and_other_values():
    adapter = ready_made("math", "lori_s")
    drawn = random_values(adapter)
    for module, factors in adapter.factors.items():
        other = drawn.factors[module]
        assert torch.equal(other.A, factors.A) and torch.equal(other.mask, factors.mask)
        assert other.values.norm() == pytest.approx(float(factors.values.norm()))
        assert abs(torch.nn.functional.cosine_similarity(other.values, factors.values, dim=0)) < 0.5


def test_a_row_is_measured_once_and_the_table_holds_those_that_are_there(measured):
    for unit in (UNIT, UNIT._replace(how="tsv_m"), UNIT):
        one(10, unit)
    assert [unit.how for unit in measured] == ["concat", "tsv_m"]
    rows = table(10)["lori_s"]["nlu+math"]
    assert rows.keys() == {"concat", "tsv_m"}
    assert rows["tsv_m"]["worst"] == 0.5 and rows["tsv_m"]["beside_concat"] == pytest.approx(0.1)
    assert "| tsv_m | 60.0 (50) |" in shown(table(10))
    assert json.loads(UNIT.file(10).read_text())["scores"] == rows["concat"]["scores"]


def test_every_row_of_every_task_set_has_a_file_of_its_own_and_every_option_is_one_of_its_method():
    files = [unit.file(10) for unit in units()]
    assert len(set(files)) == len(files) == 4 * 3 * len(ROWS) + len(SETS) * len(ROWS_OF_SETS)
    assert all(options.keys() <= set(METHOD_OPTIONS[method]) for method, options in METHODS.items())


def test_over_seeds_is_what_every_seed_was_measured_for(measured):
    for how in ("concat", "ties"):
        for seed in (0, 1, 2):
            one(10, Unit(AdapterSet("lori_d", seed).label, TASK_SETS[0], how))
    one(10, Unit(AdapterSet("lori_d", 0).label, TASK_SETS[0], "pico"))
    found = over_kinds(table(10))
    assert found.keys() == {"lori_d conditioned"} and found["lori_d conditioned"].keys() == {"concat", "ties"}
    assert found["lori_d conditioned"]["ties"]["beside_concat"]["seeds"] == pytest.approx([0.1] * 3)
