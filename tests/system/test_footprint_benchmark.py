"""The benchmark of footprints: what its sets and its figures mean."""

import json
import math
from itertools import chain
from pathlib import Path

import pytest
import torch

from benchmarks.adapters import adapter_config
from benchmarks.footprint_rivals import least_read
from benchmarks.footprint_sequences import figures
from benchmarks.footprint_sets import SETS, TASKS, AdapterSet, conditions_of, footprint_of, kept, level
from benchmarks.footprints import incoming, rank_correlation
from benchmarks.record import record_part


def test_no_two_sets_share_a_folder_unless_they_are_the_same():
    by_folder: dict[Path, AdapterSet] = {}
    for each in chain.from_iterable(SETS.values()):
        assert by_folder.setdefault(each.folder, each) == each


def test_a_set_says_what_differs_from_the_usual():
    assert AdapterSet().label == "usual"
    assert (
        AdapterSet("lori_s", seed=1, tasks=level(2)[:2]).label == "method=lori_s seed=1 tasks=nlu?level=2+math?level=2"
    )


def test_ranks_of_equal_values_are_their_mean():
    left, right = torch.tensor([1.0, 2.0, 2.0, 5.0]), torch.tensor([3.0, 3.0, 1.0, 9.0])
    # ranks 1, 2.5, 2.5, 4 and 2.5, 2.5, 1, 4; both of mean 2.5
    assert rank_correlation(left, right) == pytest.approx((0 + 0 + 0 + 1.5**2) / 4.5)
    assert rank_correlation(left, 10 * left) == pytest.approx(1)
    assert rank_correlation(left, -left) == pytest.approx(-1)


def test_what_reaches_a_task_is_of_all_others_and_not_of_itself():
    row = {"single": {"a": 1.0, "b": 0.0, "c": 1.0}, "forecast": [0.1, 0.2, 3.0, 4.0, 0.5, 0.6]}
    row["kept"] = kept({"a": 0.5, "b": 0.0, "c": 0.9}, row["single"])
    # off the diagonal: a -> b, c; b -> a, c; c -> a, b. b had nothing to keep
    assert row["kept"]["of"] == {"a": 0.5, "c": 0.9} and row["kept"]["worst"] == 0.5
    assert incoming(row, "forecast") == pytest.approx([math.hypot(3.0, 0.5), math.hypot(0.2, 4.0)])


def test_a_sequence_says_what_earlier_tasks_keep_and_what_later_ones_learn():
    found = figures([[0.8, 0.0, 0.1], [0.4, 0.9, 0.2], [0.6, 0.9, 0.7]])
    assert found["old_kept"] == pytest.approx((0.75 + 1.0) / 2) and found["worst_kept"] == pytest.approx(0.75)
    assert found["new_learned"] == pytest.approx(0.8)


def test_wrong_conditions_are_wrong_and_right_ones_are_right():
    every = [footprint_of(name, 8, None) for name in TASKS]
    right = conditions_of(AdapterSet(examples=8), 1)
    exchanged = conditions_of(AdapterSet(examples=8, blind_to="exchanged"), 1)
    unknown = conditions_of(AdapterSet(examples=8, blind_to="one_unknown"), 1)
    text = conditions_of(AdapterSet(examples=8, blind_to="text"), 1)
    assert right and exchanged and unknown and text
    assert right.own is every[1] and set(map(id, right.others)) == {id(every[i]) for i in (0, 2, 3)}
    assert exchanged.own is every[2] and set(map(id, exchanged.others)) == {id(every[i]) for i in (0, 1, 3)}
    assert set(map(id, unknown.others)) == {id(every[i]) for i in (0, 3)}
    assert [each.name for each in text.others] == ["text"]
    assert conditions_of(AdapterSet(projection="kaiming_uniform"), 1) is None


def test_shuffled_footprints_have_the_same_moments_in_another_order():
    shuffled = conditions_of(AdapterSet(examples=8, blind_to="shuffled"), 0)
    assert shuffled
    for module, moments in footprint_of(TASKS[0], examples=8).moments.items():
        other = shuffled.own.moments[module]
        values = [torch.linalg.eigvalsh(each.matrix) for each in (moments, other)]
        assert torch.allclose(*values, rtol=1e-6, atol=1e-9 * moments.energy)
        assert not torch.allclose(moments.matrix, other.matrix, atol=1e-3 * moments.energy)


def test_osrm_starts_where_the_others_have_least_energy():
    config = adapter_config(0)
    A = least_read(0, config)
    for module, rows in A.items():
        others = torch.stack([footprint_of(name).of(module).matrix for name in TASKS[1:]]).mean(dim=0)
        unit = rows.double() / rows.double().norm(dim=1, keepdim=True)
        read = torch.trace(unit @ others @ unit.T)
        assert read == pytest.approx(torch.linalg.eigvalsh(others)[: config.rank].sum().item(), rel=1e-4, abs=1e-6)


def test_each_part_keeps_the_commit_it_was_measured_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for part, commit in (("one", "aaa"), ("two", "bbb"), ("one", "ccc")):
        monkeypatch.setenv("LORI_COMMIT", commit)
        path = record_part("parts", part, {"at": commit}, {"test": 5}, tmp_path)
    content = json.loads(path.read_text())
    assert content["results"] == {"one": {"at": "ccc"}, "two": {"at": "bbb"}}
    assert content["config"] == {"test": 5, "commits": {"one": "ccc", "two": "bbb"}}
