"""The report of every study that leaves parts out says nothing of them, and every sentence of it is whole."""

import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from example_results import diverged, in_part, unsettled, without_nulls, without_room

from lori_core.figures.wording import mean_and_worst
from lori_core.report.findings import findings, warnings
from lori_core.report.page import study_page
from lori_core.results import StudyResult
from lori_core.translate import LANGUAGES, translate

PARTS = ("controls", "merges", "sequences", "interference", "masks", "samples")
LATER_PARTS = ("weight 1", "forecast")  # that results of older studies lack
EVERY = frozenset((*PARTS, *LATER_PARTS))
METHODS = (
    ("lora", "lori_d", "lori_s"),
    ("lora",),
    ("lori_d",),
    ("lori_s",),
    ("lora", "lori_s"),
    ("lori_d", "lori_s"),
    ("full",),
    ("lora", "full"),
    ("lora", "lori_d", "lori_d_conditioned"),
    ("lori_s", "lori_s_conditioned"),
    ("lori_d_conditioned",),
)
TASKS = (("math",), ("math", "code"), ("nlu", "math", "code"))
SEEDS = ((0,), (0, 1, 2))
# what is said of a part, in any sentence, heading, axis or legend, and of nothing else
WORDS = {
    "controls": r"shared? (one )?A\b|control|共有した|A を共有|対照",
    "merges": r"merg|マージ",
    "sequences": r"one after another|forget|earlier task|old task|順次|順に学習|忘却|以前のタスク",
    "interference": r"by chance|cosine|independent|cross-talk|How the tasks|偶然|コサイン|独立|混信|干渉",
    "masks": r"mask|Jaccard|マスク",
    "samples": r"Sample outputs|出力例",
    "weight 1": r"weight 1\b|係数 1|係数を 1",
    "forecast": r"forecast|footprint|before training|予測と|予測は|予測 |の予測|フットプリント|学習前",
    "conditioned A": r"conditioned|条件付き",
    "frozen beside": r"frozen beside|固定して並置",
    "several seeds": r"single seeds|each seed|are seeds|first seed|個々のシード|シードごと|シードの違い|最初のシード",
    "one seed": r"One seed only|シードが1つだけ",
    "several tasks": r"worst|all tasks|the other tasks|最悪|全タスク|ほかのタスク",
}
LABELS = {
    "lora": r"LoRA\b",
    "lori_d": r"LoRI-D(?!, conditioned|（条件付き)",
    "lori_s": r"LoRI-S(?!, conditioned|（条件付き)",
    "full": "full fine-tuning|全パラメータ学習",
}
BROKEN = {
    "not a number": r"\b(nan|NaN|None|inf|undefined)\b",
    "a key or a placeholder": r"\{|\}|\b(figures|report)\.\w+",
    "space": r"  |\s[,.;:!?)\]](\s|$)|[(\[（［]\s|\s[、。）］]",
    "punctuation": r"[,;:(（［\[、：]\s*([.,;)\]）］、。]|$)|\.\.|。。|\(\)|\[\]",
    "no number": r"(^|[^\d\s.])\s?–|–\s?($|[^\d\s−])",
    "of no cases": r"\b(all|of) 0 |\b0 cases|（0 |^0 通り",
}


class Texts(HTMLParser):
    """The texts of a page by the element that holds them, without code, scripts and what users wrote; its tables."""

    BLOCKS = ("p", "li", "h1", "h2", "h3", "figcaption", "summary", "caption", "th", "td", "dt")
    SKIPPED = ("pre", "script", "style")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.inside.append(tag)
        if tag in ("meta", "br"):
            self.inside.pop()
        elif tag in self.BLOCKS:
            self.found.append("")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if set(self.inside) & set(self.SKIPPED) or not set(self.inside) & set(self.BLOCKS):
            return
        self.found[-1] += data
        if {"td", "th"} & set(self.inside):
            self.tables[-1][-1][-1] += data


def labels(found: Any) -> list[str]:
    """What a figure writes: legends, titles of axes, its own notes."""
    if isinstance(found, list):
        return [text for each in found for text in labels(each)]
    if not isinstance(found, dict):
        return []
    own = [text for key in ("name", "text") if isinstance(text := found.get(key), str)]
    return own + [text for key, each in found.items() if key != "template" for text in labels(each)]


def legends(page: str) -> list[str]:
    (figures,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    return labels(json.loads(figures))


def absent(result: StudyResult, methods: tuple[str, ...]) -> dict[str, str]:
    """What the page must not speak of, as patterns."""
    own_cells = {(m.merge, m.method) for m in result.merges if not m.shared_projection}
    control = any((m.merge, m.method) in own_cells for m in result.merges if m.shared_projection)
    control = control or any(method == "lori_d_shared" for method, _ in result.interference)
    measures = {matrix.measure for _, matrix in result.interference}
    there = {
        "controls": control,
        "merges": bool(own_cells),
        "sequences": bool(result.continual),
        "interference": bool(result.interference),
        "masks": any(single.calibration for single in result.singles) or "jaccard" in measures,
        "samples": any(result.samples.values()),
        "weight 1": any(merge.scores_at_one for merge in result.merges if not merge.shared_projection),
        "forecast": "forecast" in measures,
        "conditioned A": any(method.endswith("conditioned") for method in methods),
        "frozen beside": any(sequence.beside for sequence in result.continual),
        "several seeds": len({single.seed for single in result.singles}) > 1,
        "one seed": len({single.seed for single in result.singles}) == 1,
        "several tasks": len(result.tasks) > 1,
    }
    silent = {part: WORDS[part] for part, here in there.items() if not here}
    silent |= {method: LABELS[method] for method in LABELS if method not in methods}
    if control:
        silent.pop("lori_d", None)
    return silent


def complaints(result: StudyResult, methods: tuple[str, ...], language: str) -> list[tuple[str, str]]:
    page = study_page(result, language)
    texts = Texts(page)
    found = []
    sentences = [text.strip() for text in texts.found if text.strip() not in ("", "–")]
    for text in sentences:
        found += [(fault, text) for fault, pattern in BROKEN.items() if re.search(pattern, text)]
    for text in [*sentences, *legends(page)]:
        found += [(f"speaks of {part}", text) for part, words in absent(result, methods).items()
                  if re.search(words, text, re.IGNORECASE if words.isascii() else 0)]  # fmt: skip
    for table in texts.tables:
        assert all(len(row) == len(table[0]) for row in table)
        found += [("an empty column", table[0][place]) for place, column in enumerate(zip(*table[1:], strict=True))
                  if set(column) <= {"–", ""}]  # fmt: skip
        found += [("no rows", str(table))] * (not table[0])
    return found


def subsets() -> list[tuple[frozenset[str], int]]:
    """Each subset of PARTS, with one of LATER_PARTS in turn."""
    whole = [subset for size in range(len(PARTS) + 1) for subset in itertools.combinations(PARTS, size)]
    later = [subset for size in range(len(LATER_PARTS) + 1) for subset in itertools.combinations(LATER_PARTS, size)]
    return [
        (frozenset((*subset, *later[(place + place // 4) % len(later)])), place) for place, subset in enumerate(whole)
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_of_every_subset_of_its_parts_is_whole_and_silent_about_the_rest(language):
    wrong = {}
    for parts, place in subsets():  # tasks, seeds and methods turn at paces of their own, so that each meets each part
        tasks, seeds = TASKS[1 + place % 2], SEEDS[place // 3 % 2]
        methods = METHODS[(place + place // 8) % len(METHODS)]
        if found := complaints(in_part(tasks, seeds, methods, parts), methods, language):
            wrong[tuple(sorted(parts)), tasks, seeds, methods] = found
    assert not wrong


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("methods", METHODS, ids="+".join)
def test_so_is_the_report_of_all_parts_for_any_methods_tasks_and_seeds(methods, language):
    wrong = {}
    for tasks, seeds in zip((*TASKS, TASKS[0]), (*SEEDS, *SEEDS[::-1]), strict=True):
        if found := complaints(in_part(tasks, seeds, methods, EVERY), methods, language):
            wrong[tasks, seeds] = found
    assert not wrong


ODD = {
    "diverged half way": diverged,
    "diverged at once": lambda result: diverged(result, 0.0),
    "no null": without_nulls,
    "no room for chance": without_room,
    "masks looked at once": unsettled,
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("odd", ODD)
def test_so_is_the_report_of_a_study_in_which_something_has_no_number(odd, language):
    result = ODD[odd](in_part(TASKS[1], (0,), METHODS[0], EVERY))
    assert not complaints(result, METHODS[0], language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_control_that_stands_beside_nothing_is_not_reported(language):
    result = in_part(TASKS[1], (0,), ("lora", "lori_s"), frozenset({"controls", "merges"}))
    assert any(merge.shared_projection for merge in result.merges)
    assert not [text for text in Texts(study_page(result, language)).found if re.search(WORDS["controls"], text)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_beside_every_mean_over_tasks_stands_the_worst_of_them(language):
    result = in_part(TASKS[2], (0, 1), METHODS[0], EVERY)
    texts = Texts(study_page(result, language)).found
    means = [
        text
        for text in texts
        if re.search(r"(M|m)ean (test )?score\b|mean over tasks|平均スコア|スコアの平均は|タスクの平均", text)
    ]
    said = [text for text in means if len(text) > 40]  # the others are heads of columns and titles of axes
    assert len(said) > 8
    assert all(translate("figures.mean_and_worst", language, mean="", task="", worst="")[:3] in text for text in said)


def test_the_worst_task_is_named_with_its_score_and_of_one_task_there_is_no_worst():
    assert mean_and_worst({"math": 0.2, "code": 0.4}, "en") == "0.30 [worst: math 0.20]"
    assert mean_and_worst({"math": 0.2, "code": 0.4}, "en", max) == "0.30 [worst: code 0.40]"
    assert mean_and_worst({"math": 0.2}, "en") == "0.20"


def with_floor(result: StudyResult, floor: float) -> StudyResult:
    known = {task: replace(score, chance=0.05, majority=floor) for task, score in result.base_scores.items()}
    return replace(result, base_scores=known)


@pytest.mark.parametrize("language", LANGUAGES)
def test_shares_are_said_of_scores_above_what_guessing_reaches_and_of_no_others(language: str):
    result = in_part(("math", "code"), (0,), ("lora", "lori_s"), frozenset(("merges",)))
    shares = {floor: findings(with_floor(result, floor), language) for floor in (0.1, 0.95)}
    share = r"\d\s%.*(mean score|平均スコア)|平均スコアの \d+\s%|keeps|保ちました"
    assert re.search(share, " ".join(shares[0.1])) and "0.10" in shares[0.1][0]
    method = translate("figures.method.lori_s", language)
    assert not any(re.search(r"keeps \d|保ちました（平均|reaches \d|達しました（", text) for text in shares[0.95])
    assert any(method in text for text in shares[0.95]) and "0.95" in shares[0.95][0]
    told = [translate("report.warning.at_floor", language, tasks="math") in text for text in warnings(result, language)]
    assert not any(told) and len(warnings(with_floor(result, 0.95), language)) > len(warnings(result, language))


def test_the_floor_stands_in_tables_and_figures():
    page = study_page(with_floor(in_part(("math",), (0,), ("lora", "lori_s"), frozenset()), 0.125), "en")
    cells = [cell for table in Texts(page).tables for row in table for cell in row]
    assert {"chance", "commonest answer", "0.125", "0.050"} <= set(cells)
    assert "chance or commonest answer" in page
