"""First page of the report: what it says of studies whose numbers are known."""

from dataclasses import replace
from html import unescape

import pytest
from example_results import METHODS, in_part

from lori_core.figures.overview import overview
from lori_core.report.page import study_page
from lori_core.report.verdict import duration, first_page, verdict
from lori_core.results import Score, StudyResult
from lori_core.translate import LANGUAGES, translate
from lori_core.wilson import wilson

EVERY = frozenset(("merges", "sequences"))


def at(score: Score, right: int, n: int, **more: object) -> Score:
    low, high = wilson(right, n)
    return replace(score, value=right / n, low=low, high=high, n=n, **more)


def one_task(right: int, n: int, **more: object) -> StudyResult:
    """One task, LoRI-S alone, with so many right answers, and a base that has none."""
    result = in_part(("math",), (0,), ("lori_s",), frozenset())
    singles = tuple(replace(single, score=at(single.score, right, n, **more)) for single in result.singles)
    return replace(result, singles=singles, base_scores={"math": at(result.base_scores["math"], 0, n)})


@pytest.mark.parametrize("language", LANGUAGES)
def test_of_ten_examples_the_report_says_that_they_are_too_few_and_how_far_the_interval_reaches(language: str):
    state, word, reason = verdict(one_task(8, 10), language)
    assert (state, word) == ("not_yet", translate("report.verdict.not_yet", language))
    assert "n = 10" in reason and f"± {100 * (0.8 - wilson(8, 10)[0]):.0f}" in reason
    assert any("100" in step for step in first_page(one_task(8, 10), language).next_steps)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_study_of_one_task_is_judged_against_the_base_and_compares_nothing_else(language: str):
    result = one_task(180, 200)
    assert verdict(result, language)[0] == "go"
    texts = unescape(study_page(result, language).partition('<script type="application/json"')[0])
    assert translate("report.finding.against_base", language, method="LoRI-S", ours="0.90", base="0.00") in texts
    assert translate("report.way.single", language) in texts
    assert translate("report.way.merged", language) not in texts and "LoRA " not in texts


def test_the_weakest_class_is_named_with_its_share_and_what_chance_would_give():
    confusion = {"spam": {"mail": 40}, "mail": {"mail": 160}}
    state, _, reason = verdict(one_task(160, 200, confusion=confusion))
    assert state == "no_go"
    said = "math: class spam is not recognised (0 % of 40 examples, 50 % by chance)."
    assert said in reason.replace("\N{NO-BREAK SPACE}", " ")


def test_the_table_has_a_row_a_task_and_method_with_the_numbers_of_the_study():
    result = in_part(("math", "code"), (0, 1), METHODS, EVERY)
    page = first_page(result)
    assert [row.cells[0] for row in page.rows] == ["math"] * len(METHODS) + ["code"] * len(METHODS)
    row = next(row for row in overview(result) if (row.task, row.method) == ("code", "lori_s"))
    cells = page.rows[len(METHODS) + METHODS.index("lori_s")].cells
    final = [s.scores[-1][s.order.index("code")] for s in result.continual if s.method == "lori_s"]
    merged = [m.scores["code"] for m in result.merges if m.method == "lori_s" and not m.shared_projection]
    for scores, way in ((merged, "merged"), (final, "sequence")):
        mean = [sum(getattr(score, part) for score in scores) / 2 for part in ("value", "low", "high")]
        assert row.reached[way].score[:3] == pytest.approx(mean)
        assert "{:.2f} ({:.2f}–{:.2f})".format(*mean) in cells


def test_where_merging_loses_a_task_the_next_step_is_to_keep_adapters_apart():
    result = in_part(("math", "code"), (0,), ("lori_s",), frozenset(("merges",)))
    low = [replace(m, scores={task: at(score, 30, 200) for task, score in m.scores.items()}) for m in result.merges]
    result = replace(result, merges=tuple(low))
    page = first_page(result)
    assert [head.rpartition(": ")[2] for head, _ in page.meaning] == ["Go.", "No-go."]
    assert translate("report.next.separate") in page.next_steps
    assert translate("report.next.together") not in page.next_steps


def test_date_machine_and_versions_stand_on_the_first_page_and_of_older_results_what_is_known():
    result = in_part(("math",), (0,), ("lori_s",), frozenset())
    assert [name for name, _ in first_page(result).made] == ["Base model", "Software"]
    machine = {"device": "Some GPU", "precision": "bf16", "processor": "Some CPU", "cores": "8", "system": "Linux"}
    made = dict(first_page(replace(result, machine=machine, finished="2026-11-27T10:00:00+00:00")).made)
    assert made["Machine"] == "Some GPU, Some CPU, Linux" and made["Cores"] == "8" and "2026-11-27" in made["Date"]


def test_a_duration_has_the_unit_that_fits():
    assert [duration(seconds, "en") for seconds in (0.4, 52, 90, 5400)] == ["0 s", "52 s", "1.5 min", "1.5 h"]
