import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from example_results import classified, diverged, example, without_nulls
from markupsafe import escape
from plotly.offline import get_plotlyjs_version

from lori_core.assets import PLOTLY_JS
from lori_core.figures.means import Interval
from lori_core.report.compared import compared
from lori_core.report.findings import findings, warnings
from lori_core.report.page import study_page
from lori_core.results import Output, from_json, to_json
from lori_core.translate import translate

HOSTILE = "<script>alert('x')</script>"


class Tags(HTMLParser):
    """Collects the start tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_page_says_its_language_and_loads_nothing(language):
    tags = Tags(study_page(example(), language)).found
    assert ("html", {"lang": language}) in tags
    assert not [tag for tag, attributes in tags if {"src", "href"} & attributes.keys()]


def test_every_table_head_has_a_scope_and_every_figure_a_caption():
    tags = Tags(study_page(example())).found
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in tags if tag == "th")
    names = [tag for tag, _ in tags]
    assert names.count("figure") == names.count("figcaption") > 0


def test_names_and_outputs_from_users_are_escaped_everywhere():
    result = example((HOSTILE, "math"), (0,))
    result = replace(result, samples={HOSTILE: (Output(HOSTILE, HOSTILE, HOSTILE, 0.0),)}, base=HOSTILE)
    result = replace(result, config={"tasks": [HOSTILE]}, versions={HOSTILE: HOSTILE})
    page = study_page(result)
    assert HOSTILE not in page
    assert [tag for tag, _ in Tags(page).found].count("script") == 4  # figures, plotly.js, drawing, money


@pytest.mark.parametrize(
    "result",
    [example(("solo",), (0,), merges=False), diverged(example()), without_nulls(example())],
    ids=["one task", "diverged", "no null"],
)
def test_odd_studies_have_a_report_too(result):
    for language in ("en", "ja"):
        assert study_page(from_json(type(result), to_json(result)), language)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_what_held_the_programs_of_a_model_stands_where_their_scores_do_and_nowhere_else(language):
    result = example()
    names, limits = (translate(f"report.isolation.{held}", language) for held in ("namespaces", "limits"))
    assert names not in study_page(result, language) and limits not in study_page(result, language)
    single = replace(result.singles[0], score=replace(result.singles[0].score, isolation="namespaces"))
    last = result.merges[-1]
    code = replace(last.scores["code"], isolation="limits")
    merge = replace(last, scores=last.scores | {"code": code})
    page = study_page(
        replace(result, singles=(single, *result.singles[1:]), merges=(*result.merges[:-1], merge)), language
    )
    headings = [translate(f"report.section.{name}", language) for name in ("scores", "merging", "continual")]
    places = [page.index(f"<h2>{escape(heading)}</h2>") for heading in headings]
    assert places[0] < page.index(str(escape(names))) < places[1] < page.index(str(escape(limits))) < places[2]
    assert page.count(str(escape(names))) == page.count(str(escape(limits))) == 1


def test_a_confusion_matrix_stands_in_the_report_where_a_task_s_answers_are_classes_and_nowhere_else():
    title = translate("figures.confusion.title", "en", task="nlu", method="LoRI-D")
    assert study_page(classified()).count(f"<h3>{title}</h3>") == 1
    assert "Which class is taken for which" not in study_page(example())


def test_the_report_is_the_same_text_each_time():
    assert study_page(example()) == study_page(example())


def test_the_spec_on_the_page_is_the_configuration():
    result = example()
    (spec,) = re.findall(r"<pre><code>(\{.*?)</code>", study_page(result), re.DOTALL)
    assert json.loads(spec.replace("&#34;", '"')) == {"kind": "study", "version": 1, "config": result.config}


def test_overlapping_intervals_show_no_difference():
    scores = {"a": Interval(0.5, 0.4, 0.6)}
    assert "no difference is shown" in compared(scores, {"a": Interval(0.6, 0.5, 0.7)}, "X", "Y", "en")


def test_a_loss_of_lori_is_said():
    low, high = {"a": Interval(0.5, 0.4, 0.6)}, {"a": Interval(0.9, 0.8, 1.0)}
    assert compared(low, high, "LoRI-S", "LoRA", "en") == "LoRA is higher on a."


def test_the_shares_in_the_findings_are_those_of_the_numbers():
    result = example()

    def mean(method: str) -> float:
        values = [single.score.value for single in result.singles if single.method == method]
        return sum(values) / len(values)

    sentence = next(text for text in findings(result) if text.startswith("LoRI-S reaches"))
    assert f"{100 * mean('lori_s') / mean('lora'):.0f}\N{NO-BREAK SPACE}%" in sentence
    assert "5.0\N{NO-BREAK SPACE}% of its trained parameters" in sentence


def test_a_single_seed_is_warned_of_and_two_are_not():
    assert any("One seed only" in text for text in warnings(example(seeds=(0,))))
    assert not any("One seed only" in text for text in warnings(example(seeds=(0, 1))))


def test_a_diverged_training_and_a_missing_null_are_warned_of():
    assert any("diverged" in text for text in warnings(diverged(example())))
    assert any("chance" in text for text in warnings(without_nulls(example())))


def test_a_task_on_which_nothing_beats_the_base_is_named():
    result = example()
    high = replace(result.base_scores["math"], value=0.99, low=0.98, high=1.0)
    assert any("on math" in t for t in warnings(replace(result, base_scores=result.base_scores | {"math": high})))


def test_the_part_of_plotly_js_that_we_ship_is_of_the_version_that_plotly_brings():
    assert (
        PLOTLY_JS.read_text(encoding="utf-8").splitlines()[1]
        == f"* plotly.js (cartesian - minified) v{get_plotlyjs_version()}"
    )


def test_a_page_is_small_enough_to_be_mailed():
    assert len(study_page(example()).encode()) < 2_500_000
