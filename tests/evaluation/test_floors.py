"""Chance, the commonest answer and the confusion of classes, each against a case that can be counted by hand."""

import pytest

from lori_core.evaluation.floors import chance_of, confusion_of, majority_of
from lori_core.tasks.task import Example

FIXED = tuple(Example("q", text, ("no", "yes"), answer) for text, answer in [("no", 0)] * 3 + [("yes", 1)])
LABELS = {"labels": ["ham", "spam"]}
SPAM = [Example("q", label, checks=LABELS) for label in ["ham"] * 19 + ["spam"]]


def test_of_95_in_100_of_one_label_the_commonest_answer_is_right_in_95():
    assert majority_of("exact", SPAM) == majority_of("label", SPAM) == 0.95
    assert chance_of("label", SPAM) == 0.5 and chance_of("exact", SPAM) is None


def test_a_choice_is_drawn_among_those_of_its_row():
    four = Example("q", "a", ("a", "b", "c", "d"), 0)
    assert chance_of("choice", [*FIXED, four]) == pytest.approx((4 * 0.5 + 0.25) / 5)
    assert majority_of("choice", FIXED) == 0.75


def test_kinds_weigh_the_same_and_one_answer_is_given_to_all():
    refusals = [Example("q", "", kind="harmful")] * 9 + [Example("q", "", kind="benign")]
    assert majority_of("refusal", refusals) == 0.5
    assert majority_of("refusal", refusals[:9]) is None  # to refuse is what is asked
    assert majority_of("number", [Example("q", "#### 7"), Example("q", "7.0"), Example("q", "8")]) == 2 / 3
    assert majority_of("program", [Example("q", "x")]) is None


def test_the_confusion_counts_what_was_said_of_each_class():
    outputs = ["Ham.", "it is SPAM", *["ham"] * 16, "neither", "ham"]
    found = confusion_of("label", SPAM, outputs)
    assert found == {"ham": {"ham": 17, "spam": 1, "": 1}, "spam": {"ham": 1}}
    assert confusion_of("choice", FIXED, ["0", "0", "1", ""]) == {"no": {"no": 2, "yes": 1}, "yes": {"": 1}}


def test_free_texts_and_choices_of_their_own_are_no_classes():
    assert confusion_of("exact", [Example("q", str(n)) for n in range(10)], ["1"] * 10) == {}
    other = Example("q", "owl", ("owl", "oak"), 0)
    assert confusion_of("choice", [*FIXED, other], ["0"] * 5) == {}
