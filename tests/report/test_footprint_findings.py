from dataclasses import replace

import pytest
from example_results import TASKS, example, in_part

from lori_core.report.footprint_findings import against_random, footprint_findings
from lori_core.results import Score, StudyResult

RESULT = example(seeds=(0,))
EVERY = frozenset(("merges", "weight 1", "sequences", "interference", "forecast"))


def at_level(scores: dict[str, Score], level: float) -> dict[str, Score]:
    return {task: replace(s, value=level, low=level - 0.01, high=level + 0.01) for task, s in scores.items()}


def merged_at(result: StudyResult, method: str, at_one: float, searched: float) -> StudyResult:
    merges = [
        replace(m, scores_at_one=at_level(m.scores_at_one, at_one), scores=at_level(m.scores, searched))
        if m.method == method
        else m
        for m in result.merges
    ]
    return replace(result, merges=tuple(merges))


def test_weight_one_under_a_conditioned_a_is_compared_with_the_random_a_at_its_best_weight():
    result = merged_at(merged_at(RESULT, "lori_d", 0.1, 0.5), "lori_d_conditioned", 0.9, 0.2)
    finding = next(f for f in footprint_findings(result) if "weight 1" in f and "LoRI-D" in f)
    assert "mean score 0.90" in finding and "mean score 0.50" in finding
    assert f"LoRI-D, conditioned A is higher on {', '.join(TASKS)}" in finding


def test_where_the_random_a_at_its_best_weight_is_higher_that_is_said():
    result = merged_at(merged_at(RESULT, "lori_d", 0.1, 0.9), "lori_d_conditioned", 0.3, 0.2)
    finding = next(f for f in footprint_findings(result) if "weight 1" in f and "LoRI-D" in f)
    assert f"LoRI-D is higher on {', '.join(TASKS)}" in finding


def test_where_intervals_overlap_no_difference_is_claimed():
    result = merged_at(merged_at(RESULT, "lori_d", 0.1, 0.7), "lori_d_conditioned", 0.705, 0.2)
    finding = next(f for f in footprint_findings(result) if "weight 1" in f and "LoRI-D" in f)
    assert "no difference is shown" in finding and "higher" not in finding


def test_the_price_is_that_of_the_single_adapters():
    finding = next(f for f in footprint_findings(RESULT) if f.startswith("Price") and "LoRI-S" in f)
    for method in ("lori_s", "lori_s_conditioned"):
        values = [single.score.value for single in RESULT.singles if single.method == method]
        assert f"{sum(values) / len(values):.2f}" in finding


def test_the_end_of_a_sequence_is_that_of_the_tasks_before_the_last():
    finding = next(f for f in footprint_findings(RESULT) if f.startswith("At the end") and "LoRI-D" in f)
    for method in ("lori_d", "lori_d_conditioned"):
        (sequence,) = [each for each in RESULT.continual if each.method == method]
        kept = sequence.matrix[-1][:-1]
        assert f"{sum(kept) / len(kept):.2f}" in finding


@pytest.mark.parametrize("language", ("en", "ja"))
def test_of_what_was_not_measured_nothing_is_found(language):
    assert footprint_findings(in_part(TASKS, (0,), ("lora", "lori_d", "lori_s"), EVERY - {"forecast"}), language) == []
    alone = in_part(TASKS, (0,), ("lori_d_conditioned",), frozenset(("merges", "weight 1", "sequences")))
    assert against_random(alone) == []
    (finding,) = footprint_findings(alone, language)
    assert "1" in finding
