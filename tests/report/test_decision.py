"""The verdict of a study against cases that can be judged by hand."""

from dataclasses import replace

from lori_core.figures.means import Interval
from lori_core.figures.overview import Reached, Row
from lori_core.report.decision import ENOUGH, ROOM, decisions
from lori_core.results import Share
from lori_core.wilson import wilson


def reached(right: int, n: int, classes: dict[str, tuple[int, int]] | None = None) -> Reached:
    shares = {name: Share(hit / of, *wilson(hit, of), of) for name, (hit, of) in (classes or {}).items()}
    return Reached(Interval(right / n, *wilson(right, n)), shares)


def row(
    right: int, n: int = 200, method: str = "lori_s", task: str = "math", trained: float = 10.0, base: int = 20,
    floor: float | None = None, **ways: int,
) -> Row:  # fmt: skip
    """A task of n examples; right: answers of its own adapter; base: of the base; ways: of merged and sequence."""
    by_way = {"alone": reached(right, n)} | {way: reached(count, n) for way, count in ways.items()}
    before = Interval(base / n, *wilson(base, n))
    return Row(task, method, n, before, floor, by_way, trained, 1000.0, 5.0)


def why(*rows: Row, way: str = "alone") -> tuple[str, list[str]]:
    decision = decisions(rows)[way]
    return decision.state, [reason.what for reason in decision.reasons]


def test_a_score_clearly_above_base_and_guessing_is_a_go():
    assert why(row(180, floor=0.5)) == ("go", [])


def test_ten_examples_decide_nothing_however_good_or_bad_the_score():
    for right in (0, 5, 10):
        assert why(row(right, 10, base=0)) == ("not_yet", ["few"])


def test_with_enough_examples_no_score_is_refused_for_want_of_them():
    for right in range(ENOUGH + 1):
        low, high = wilson(right, ENOUGH)
        assert max(right / ENOUGH - low, high - right / ENOUGH) <= ROOM


def test_a_score_that_the_base_has_too_is_a_no_go():
    assert why(row(100, base=95)) == ("no_go", ["base"])


def test_a_score_that_always_the_commonest_answer_has_too_is_a_no_go():
    assert why(row(160, floor=0.78)) == ("no_go", ["floor"])


def with_classes(classes: dict[str, tuple[int, int]]) -> Row:
    right, n = (sum(counts) for counts in zip(*classes.values(), strict=True))
    return replace(row(right, n), reached={"alone": reached(right, n, classes)})


def test_a_class_that_is_never_recognised_is_a_no_go_whatever_the_score():
    assert why(with_classes({"spam": (0, 40), "mail": (360, 360)})) == ("no_go", ["class_lost"])


def test_a_class_of_three_examples_says_nothing_yet():
    assert why(with_classes({"spam": (2, 3), "mail": (190, 197)})) == ("not_yet", ["class_few"])


def test_classes_that_are_all_recognised_pass():
    assert why(with_classes({"spam": (35, 40), "mail": (150, 160)})) == ("go", [])


def test_merged_clearly_below_its_own_adapter_fails_and_nearly_as_good_passes():
    assert why(row(180, merged=120), way="merged") == ("no_go", ["lower"])
    assert why(row(180, merged=176), way="merged") == ("go", [])
    assert why(row(180, merged=120))[0] == "go"  # what becomes of it merged is no fault of the adapter


def test_one_task_that_fails_fails_its_method_and_another_method_may_pass():
    rows = [row(180), row(22, task="code"), row(180, method="lora"), row(180, method="lora", task="code")]
    assert decisions(rows)["alone"].method == "lora" and why(*rows) == ("go", [])
    assert why(*rows[:2]) == ("no_go", ["base"])


def test_numbers_against_weigh_more_than_missing_examples():
    assert why(row(180, 200), row(5, 10, task="code", base=0), row(20, task="nlu")) == ("no_go", ["few", "base"])


def test_of_methods_that_pass_the_smallest_is_named_unless_it_is_clearly_worse():
    small, large = row(178, trained=1.0), row(182, method="lora", trained=20.0)
    assert decisions([small, large])["alone"].method == "lori_s"
    assert decisions([row(120, trained=1.0), large])["alone"].method == "lora"


def test_only_ways_that_were_measured_are_decided():
    assert list(decisions([row(180)])) == ["alone"]
    assert list(decisions([row(180, merged=180, sequence=30)])) == ["alone", "merged", "sequence"]


def test_a_task_that_was_left_out_of_a_way_does_not_count_there():
    merged = row(180, merged=178)
    assert decisions([merged, row(180, task="code")])["merged"].rows == (merged,)
