"""The benchmark of sequences at equal learning: how curves are read off, and that what is done is not done again."""

from dataclasses import replace

import pytest
from example_results import example

from benchmarks import sequences_at_equal_learning as benchmark
from lori_core.results import to_json

KNOWN = example().continual[0]


def test_what_is_kept_is_read_off_where_the_new_tasks_reach_the_same_score():
    slow, fast = [(0.5, 0.9), (0.9, 0.5)], [(0.9, 0.7), (0.7, 0.9), (0.6, 0.95)]
    assert benchmark.kept_at(slow, 0.7) == pytest.approx(0.7)
    found = benchmark.at_equal_learning({"slow": [slow, slow], "fast": [fast, fast]})
    assert found["new_learned"] == pytest.approx([0.6, 0.675, 0.75, 0.825, 0.9])
    assert [level["mean"] for level in found["old_kept"]["slow"]] == pytest.approx([0.8, 0.725, 0.65, 0.575, 0.5])
    assert found["old_kept"]["fast"][0]["mean"] == pytest.approx(0.95)


def test_curves_without_a_score_in_common_are_compared_at_none():
    found = benchmark.at_equal_learning({"slow": [[(0.2, 1.0), (0.3, 0.9)]], "fast": [[(0.5, 1.0), (0.9, 0.2)]]})
    assert found == {"new_learned": [], "old_kept": {"slow": [], "fast": []}}


def test_a_sequence_that_was_done_is_read_and_both_ways_to_find_masks_have_files_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "FOLDER", tmp_path)
    done = {}
    for number, (variant, seed, share) in enumerate(
        (variant, seed, share) for variant in benchmark.VARIANTS for seed in benchmark.SEEDS for share in (1.0, 0.03)
    ):
        result = replace(KNOWN, method=variant.method, seed=seed, later_rate=share, forgetting={"n": float(number)})
        (tmp_path / f"{variant.name}-{seed}-{share:g}.json").write_text(to_json(result), encoding="utf-8")
        done[variant, seed, share] = result
    assert len(list(tmp_path.iterdir())) == len(done)
    assert {unit: benchmark.one(unit) for unit in done} == done
    assert not list(tmp_path.glob("first-*"))
