"""Every control is judged by one rule, from intervals: shown, not shown, or the opposite."""

import re

import pytest

from lori_core.evaluation.intervals import share_of
from lori_core.lessons.controls import Judged, judge, normal
from lori_core.results import Share
from lori_core.translate import LANGUAGES
from notebooks.build import sources


def share(right: int, n: int) -> Share:
    return share_of([1.0] * right + [0.0] * (n - right))


def test_for_two_shares_the_interval_is_newcombes():
    """His example (a) by method 10: 56/70 against 48/80."""
    found = judge({"": share(56, 70)}, {"": share(48, 80)})
    assert (found.difference, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.2, "shown"), (-0.01, 0.2, "not_shown"), (0.0, 0.2, "not_shown"), (-0.2, -0.01, "opposite")],
)
def test_the_verdict_follows_from_the_interval_alone(low: float, high: float, verdict: str):
    assert Judged((low + high) / 2, low, high).verdict == verdict


def test_turning_claim_and_control_round_turns_the_verdict_round():
    good, bad = {"a": share(60, 64), "b": share(50, 64)}, {"a": share(30, 64), "b": share(20, 64)}
    assert judge(good, bad).verdict == "shown"
    assert judge(bad, good).verdict == "opposite"


def test_one_task_of_two_is_no_law():
    """Clearly better on one task and as clearly worse on the other: the mean shows nothing."""
    ours, theirs = {"a": share(60, 64), "b": share(20, 64)}, {"a": share(20, 64), "b": share(60, 64)}
    assert judge(ours, theirs).verdict == "not_shown"


def test_more_tasks_make_the_interval_narrower():
    one, two = (judge({t: share(48, 64) for t in tasks}, {t: share(40, 64) for t in tasks}) for tasks in ("a", "ab"))
    assert two.high - two.low == pytest.approx((one.high - one.low) / 2**0.5)


def test_a_normal_error_has_its_95_percent_interval():
    found = normal(1.0, 0.5)
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 0.02, 1.98), abs=1e-3)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sentence_has_the_numbers_that_the_verdict_follows_from(language: str):
    for found in (Judged(0.2, 0.1, 0.3), Judged(0.1, -0.1, 0.3), Judged(-0.2, -0.3, -0.1)):
        said = found.said("ours", "theirs", language)
        numbers = [float(each.replace("−", "-")) for each in re.findall(r"−?\d\.\d+", said)]
        assert numbers == ([0.1, -0.1, 0.3] if found.verdict == "not_shown" else [0.2, 0.1, 0.3])
        higher = "theirs" if found.verdict == "opposite" else "ours"
        assert re.findall("ours|theirs", said)[0] == higher


EXACT = {"01_from_lora_to_lori"}  # it counts entries, without an error


@pytest.mark.parametrize("source", [each for each in sources() if each.stem not in EXACT], ids=lambda each: each.stem)
def test_a_notebook_with_a_measured_control_judges_it_so_in_both_languages(source):
    text = source.read_text(encoding="utf-8")
    assert re.search(r"^\w+ = judge\(", text, re.MULTILINE)
    assert text.count(".said(") % len(LANGUAGES) == 0 and ".said(" in text
    assert ".low >" not in text and ".high <" not in text, "a second rule of judging"
