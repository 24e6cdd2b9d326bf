import random
from dataclasses import replace
from statistics import fmean
from typing import Any

import plotly.graph_objects as go
import pytest
from example_results import METHODS, calibration, classified, diverged, example, modules, score, without_nulls
from plotly.colors import hex_to_rgb, label_rgb, sample_colorscale, unlabel_rgb

from lori_core import figures
from lori_core.figures.means import Interval, mean_score
from lori_core.figures.wording import number, percent, size
from lori_core.results import Loss, MaskLayout, MaskPair, MergeTrial

RESULT = example()
LANGUAGES = ("en", "ja")


def trial() -> MergeTrial:
    """A merge of three adapters, before and after, with scores drawn by a seeded generator."""
    random_ = random.Random(0)
    scores = [{task: score(random_, task, level) for task in ("nlu", "math", "code")} for level in (0.1, 0.9, 0.8)]
    base, before, after = scores
    validation = {"0.5": 0.8, "1": 0.7}
    return MergeTrial(("nlu", "math", "code"), ("a", "b", "c"), "concat", (0.5,) * 3, validation, base, before, after)


def traces(drawing: figures.Drawing) -> list[Any]:
    return list(drawing.figure.data)  # plotly gives its traces no type


def all_drawings(language: str) -> list[figures.Drawing]:
    sequence, matrix = RESULT.continual[0], RESULT.interference[0]
    looks = [single.calibration for single in RESULT.singles if single.calibration]
    return [
        figures.scores(RESULT, language),
        figures.confusion(classified(), "nlu", language),
        figures.merged(RESULT, "concat", language),
        figures.merge_weights(RESULT, "concat", language),
        figures.mask(looks[0], language),
        figures.mask_settling(looks, language),
        figures.pairs(*matrix, language),
        figures.continual_matrix(sequence, language),
        figures.continual_axes(RESULT.continual, language),
        figures.forgetting(RESULT.continual, language),
        figures.before_after(trial(), language),
        figures.weight_search(trial(), language),
        figures.losses(RESULT, "math", language),
        figures.cost(RESULT, language),
        figures.mask_gain(dict.fromkeys(("random_mask", "matched_mask", "calibrated"), trial().after), language),
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_figure_has_axis_titles_words_and_a_table_of_one_width(language):
    for drawing in all_drawings(language):
        layout = drawing.figure.to_dict()["layout"]
        assert layout["xaxis"]["title"]["text"] and layout["yaxis"]["title"]["text"], drawing.title
        assert drawing.title and drawing.summary and drawing.limits
        assert drawing.rows and all(len(row) == len(drawing.header) for row in drawing.rows), drawing.title


def test_saved_data_have_the_same_names_in_both_languages():
    """As chart.js takes them: a series by its meta, its group or its name, an axis by what it measures."""
    for drawn in zip(*map(all_drawings, LANGUAGES), strict=True):
        drawn_data = [[trace for trace in traces(drawing) if trace.hoverinfo != "skip"] for drawing in drawn]
        names = [[trace.meta or trace.legendgroup or trace.name for trace in some] for some in drawn_data]
        assert names[0] == names[1], drawn[0].title
        assert drawn[0].axes == drawn[1].axes and drawn[0].axes, drawn[0].title


def test_nine_curves_look_different_and_a_smoothed_one_stands_before_its_own():
    curve = [(1, 1.0), (2, None), (3, 0.0), (4, 1.0)]
    drawing = figures.live_losses({f"task {number}": curve for number in range(42)}, log=True)
    assert len({(trace.line.color, trace.line.dash) for trace in traces(drawing)}) == 42
    assert drawing.figure.to_dict()["layout"]["yaxis"]["type"] == "log"
    own, smooth = traces(figures.live_losses({"math": curve}, smoothing=0.5))
    assert own.y == (1.0, None, 0.0, 1.0) and own.opacity < 1
    assert smooth.y == pytest.approx((1.0, None, 1 / 3, 5 / 7))  # weights 1/2, then 1/4 1/2, then 1/8 1/4 1/2


def test_the_two_languages_have_the_same_numbers_and_other_words():
    for english, japanese in zip(all_drawings("en"), all_drawings("ja"), strict=True):
        assert english.limits != japanese.limits
        assert len(english.rows) == len(japanese.rows)


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["model.layers.3.mlp.up_proj"], [(3, "up_proj")]),
        (["transformer.h.0.attn.c_attn"], [(0, "c_attn")]),
        (["gpt_neox.layers.0.attention.dense"], [(0, "dense")]),
        (["h.11.attn.c_proj", "h.11.mlp.c_proj"], [(11, "attn.c_proj"), (11, "mlp.c_proj")]),
        (["lm_head"], [(-1, "lm_head")]),
        (["encoder.layers.0.fc1", "decoder.layers.0.fc1"], [(0, "encoder.layers.*.fc1"), (0, "decoder.layers.*.fc1")]),
    ],
)
def test_module_names_give_layer_and_projection(names, places):
    assert list(figures.layer_and_projection(names).values()) == places


def test_no_two_modules_share_a_cell():
    names = [*modules(40), "lm_head"]
    assert len(set(figures.layer_and_projection(names).values())) == len(names)


def test_the_mask_heatmap_shows_each_module_where_its_name_says():
    given = calibration(random.Random(3), "math")
    heatmap = traces(figures.mask(given))[0]
    assert isinstance(heatmap, go.Heatmap)
    assert (
        heatmap.to_plotly_json()["z"][5][2] == given.kept["model.layers.2.mlp.up_proj"]
    )  # up_proj is the sixth projection


def test_the_colours_of_masks_and_of_ratios_are_the_same_whatever_is_shown():
    def scale(drawing: figures.Drawing) -> Any:
        heatmap = traces(drawing)[0]
        return heatmap.zmin, heatmap.zmax, heatmap.colorscale

    layouts = [MaskLayout("math", 0.9, dict.fromkeys(modules(4), kept), {}, True) for kept in (0.01, 0.5)]
    assert scale(figures.mask_layout(layouts[0])) == scale(figures.mask_layout(layouts[1])) and scale(
        figures.mask_layout(layouts[0])
    )[:2] == (0, 1)
    pairs = [MaskPair(("a", "b"), {"m.0.a": n}, {"m.0.a": 1}, {"m.0.a": 1}, {"m.0.a": 10**6}) for n in (0, 999)]
    assert scale(figures.mask_pair(pairs[0])) == scale(figures.mask_pair(pairs[1]))
    even = figures.mask_layout(layouts[0]).summary
    assert even.count("%") == 1 and "ewest" not in even


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_written_into_cells_is_read_on_every_colour(language):
    """The contrast to the cell's colour, by the formula of WCAG 2.2, is at least 4.5 : 1."""
    written = [drawing for drawing in all_drawings(language) if traces(drawing)[0].type == "heatmap"]
    for drawing in written:
        heatmap, texts = traces(drawing)
        for x, y, ink in zip(texts.x, texts.y, texts.textfont.color, strict=True):
            share = (heatmap.z[y][x] - heatmap.zmin) / (heatmap.zmax - heatmap.zmin)
            (cell,) = sample_colorscale(as_rgb(heatmap.colorscale), [min(1, max(0, share))])
            lighter, darker = sorted((luminance(unlabel_rgb(cell)), 1.0 if ink == "#fff" else 0.0), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (drawing.title, share, ink)
    assert len(written) >= 3


def as_rgb(scale: Any) -> list[list[Any]]:
    return [[place, label_rgb(hex_to_rgb(each)) if each.startswith("#") else each] for place, each in scale]


def luminance(colour: Any) -> float:
    linear = [part / 255 / 12.92 if part <= 0.04045 * 255 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_big_marks_are_the_means_of_the_seeds():
    runs = [s.score.value for s in RESULT.singles if (s.task, s.method) == ("math", "lori_d")]
    trace = next(t for t in traces(figures.scores(RESULT)) if t.name == "LoRI-D")
    assert trace.x[RESULT.tasks.index("math")] == pytest.approx(fmean(runs))


def test_pair_colours_are_distances_from_what_chance_gives_that_pair():
    method, matrix = next(pair for pair in RESULT.interference if pair[1].measure == "jaccard")
    heatmap = traces(figures.pairs(method, matrix))[0]
    assert heatmap.zmin == -heatmap.zmax
    value, chance = matrix.values[0][1], matrix.null_mean[0][1]
    assert value is not None and chance is not None
    assert heatmap.z[0][1] == pytest.approx(value - chance)
    assert heatmap.text[0][1] == number(value)
    assert all(heatmap.z[i][i] is None for i in range(len(matrix.names)))


@pytest.mark.parametrize("of_one_method", [True, False])
def test_a_matrix_without_a_null_says_so_and_does_not_explain_its_colours_by_chance(of_one_method):
    known, plain = (result.interference[0] for result in (RESULT, without_nulls(RESULT)))
    drawn, without = (figures.pairs(method if of_one_method else None, matrix) for method, matrix in (known, plain))
    assert "not determined" in without.summary + without.limits
    assert "independent adapters" in drawn.limits and "independent adapters" not in without.limits


def test_a_loss_that_is_not_a_number_is_a_gap():
    broken = diverged(RESULT)
    drawing = figures.losses(broken, broken.tasks[0])
    line = traces(drawing)[0]
    assert line.y[-1] is None and line.y[0] is not None and line.connectgaps is False
    assert "diverged" in drawing.summary


def test_names_cannot_become_markup_in_a_figure():
    drawing = figures.scores(example(("<b>bold</b>",), (0,), merges=False))
    assert list(drawing.figure.to_dict()["layout"]["yaxis"]["ticktext"]) == ["&lt;b&gt;bold&lt;/b&gt;"]
    assert "<b>" not in str(drawing.figure.to_json()).replace("<br>", "")


def test_the_control_stands_beside_the_merge_and_only_where_it_was_run():
    names = [trace.name for trace in traces(figures.merged(RESULT, "concat"))]
    assert "one shared A (control)" in names
    assert len([name for name in names if name == "LoRA"]) == 2  # single and merged ends


@pytest.mark.parametrize(
    ("count", "text"), [(None, "–"), (999, "999 B"), (1000, "1.0 kB"), (4e6, "4.0 MB"), (5e12, "5.0 TB")]
)
def test_sizes_read_in_decimal_units(count, text):
    assert size(count) == text


def test_small_shares_are_not_rounded_to_nothing():
    assert percent(0.004) == "0.4\N{NO-BREAK SPACE}%"


def test_each_method_has_its_own_shape_and_colour():
    marks = {(t.marker.symbol, t.marker.color) for t in traces(figures.continual_axes(RESULT.continual))}
    assert len(marks) == len(METHODS)


def test_forgetting_curves_are_the_columns_of_the_matrices_averaged_over_seeds():
    drawing = figures.forgetting(RESULT.continual)
    by_method = {method: [s for s in RESULT.continual if s.method == method] for method in METHODS}
    order = RESULT.continual[0].order
    expected = [
        [fmean(s.scores[step][place].value for s in found) for step in range(place, len(order))]
        for found in by_method.values()
        if found
        for place in range(len(order))
    ]
    assert [list(trace.y) for trace in traces(drawing)] == [pytest.approx(each) for each in expected]
    assert sum(trace.showlegend for trace in traces(drawing)) == len(order)  # a task stands in the legend once


def test_sequences_whose_entries_were_kept_apart_have_a_panel_of_their_own():
    (first, *_) = RESULT.continual
    both = figures.forgetting([first, replace(first, overlap="exclude")])
    assert {row[0] for row in both.rows} == {"LoRA", "LoRA · overlap excluded"}


def test_sequences_that_went_on_at_another_rate_have_a_panel_of_their_own():
    (first, *_) = RESULT.continual
    both = figures.forgetting([first, replace(first, later_rate=0.1)])
    names = {"LoRA", "LoRA · later tasks at 0.1 of the rate"}
    assert {row[0] for row in both.rows} == names
    axes = figures.continual_axes([first, replace(first, later_rate=0.1)])
    assert {row[0] for row in axes.rows} == {trace.name for trace in traces(axes)} == names
    assert len({trace.marker.symbol for trace in traces(axes)}) == 2


def test_the_two_ways_to_find_later_masks_are_told_apart_where_there_are_masks():
    sequences = [each for each in RESULT.continual if each.method in ("lora", "lori_s")]
    both = [*sequences, *(replace(each, later_masks="own_run") for each in sequences)]
    names = {"LoRA", "LoRI-S", "LoRI-S · masks of own runs"}
    for drawing in (figures.forgetting(both), figures.continual_axes(both)):
        assert {row[0] for row in drawing.rows} == names
    titles = {figures.continual_matrix(each).title for each in both}
    assert sum("masks of own runs" in title for title in titles) == len({each.seed for each in both})


def test_sequences_of_two_runs_are_averaged_each_over_its_own_seeds():
    first, second, *_ = (each for each in RESULT.continual if each.method == "lori_s")
    scores = tuple(tuple(replace(each, value=0.0) for each in row) for row in first.scores)
    worse = replace(first, scores=scores, matrix=tuple(tuple(each.value for each in row) for row in scores))
    runs = ["rank 8", "rank 8", "rank 32"]  # one seed of the two is the same
    both, alone = figures.forgetting([first, second, worse], "en", runs), figures.forgetting([first, second], "en")
    names = ["LoRI-S · rank 8", "LoRI-S · rank 32"]
    assert list(dict.fromkeys(row[0] for row in both.rows)) == names
    assert [row[1:] for row in both.rows if row[0] == names[0]] == [row[1:] for row in alone.rows]
    assert {row[3] for row in both.rows if row[0] == names[1]} == {"0.000"}
    assert all(name in both.summary for name in names)
    axes = figures.continual_axes([first, second, worse], "en", runs)
    assert {row[0] for row in axes.rows} == {trace.name for trace in traces(axes)} == set(names)
    assert len({trace.marker.symbol for trace in traces(axes)}) == 2
    for drawing in (both, axes):
        assert len({trace.meta for trace in traces(drawing)}) == len(traces(drawing))  # the series of a CSV file


def test_the_run_of_a_sequence_is_named_only_beside_another_run_of_the_same_condition():
    runs = [sequence.method for sequence in RESULT.continual]  # a run for each method
    for draw in (figures.forgetting, figures.continual_axes):
        plain = draw(RESULT.continual, "en")
        for some in (["one"] * len(runs), runs):
            named = draw(RESULT.continual, "en", some)
            assert (named.rows, named.summary, named.figure) == (plain.rows, plain.summary, plain.figure)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_said_of_forgetting_names_what_was_learned_and_the_rates_where_they_differ(language: str):
    (lora, *_), (lori_s, *_) = (
        [each for each in RESULT.continual if each.method == method] for method in ("lora", "lori_s")
    )
    rates = {"lora": 4e-4, "lori_s": 1e-3}
    both = [replace(each, learning_rate=rates[each.method]) for each in (lora, lori_s)]
    same = [replace(each, learning_rate=4e-4) for each in (lora, lori_s)]
    for draw in (figures.forgetting, figures.continual_axes):
        summary = draw(both, language).summary
        for each in both:
            learned = fmean(each.matrix[i][i] for i in range(1, len(each.order)))
            assert f"{learned:.2f}" in summary and f"{each.learning_rate:g}" in summary
        assert "0.0004" not in draw(same, language).summary


def test_a_confusion_matrix_is_of_the_method_that_validation_prefers_with_seeds_counted_together():
    drawing = figures.confusion(classified(), "nlu")
    heatmap, texts = traces(drawing)
    assert "nlu, LoRI-D" in drawing.title
    assert [list(row) for row in heatmap.z] == [[40 / 42, 2 / 42, 0], [0, 21 / 40, 19 / 40]]
    assert list(texts.text) == ["40", "2", "0", "0", "21", "19"]
    assert list(drawing.figure.to_dict()["layout"]["xaxis"]["ticktext"]) == ["no", "yes", "no class"]
    assert "LoRI-D yes 0.53" in drawing.summary and "LoRI-S yes 0.53" in drawing.summary
    assert ["LoRI-S", "no", "yes", "4", "0.091"] in drawing.rows


def test_a_confusion_matrix_is_there_for_tasks_whose_answers_are_classes_alone():
    assert figures.confused_tasks(classified()) == ["nlu"]
    assert figures.confused_tasks(RESULT) == []


def test_a_dumbbell_joins_the_score_before_with_the_one_after():
    shown = trial()
    joints = traces(figures.before_after(shown))[1]
    ends = [(joints.x[place], joints.x[place + 1]) for place in range(0, len(joints.x), 3)]
    assert ends == [(shown.before[task].value, shown.after[task].value) for task in shown.tasks]
    before, after = traces(figures.before_after(shown))[2:]
    for marks, scores in ((before, shown.before), (after, shown.after)):
        assert list(marks.error_x.array) == [scores[task].high - scores[task].value for task in shown.tasks]


def test_the_steps_of_a_mask_s_gain_add_up_to_the_whole_and_the_mean_of_seeds_can_be_drawn():
    steps = {step: {task: [score(random.Random(seed), task, level) for seed in range(3)] for task in ("nlu", "math")}
             for step, level in (("random_mask", 0.4), ("matched_mask", 0.6), ("calibrated", 0.7))}  # fmt: skip
    means = {step: {task: mean_score(seeds) for task, seeds in by_task.items()} for step, by_task in steps.items()}
    drawing = figures.mask_gain(means)
    for row in drawing.rows:
        random_mask, _, calibrated, density, position = (float(cell.replace("−", "-")) for cell in row[1:])
        assert density + position == pytest.approx(calibrated - random_mask, abs=2e-3)
    density, position, *marks = traces(drawing)
    for place, task in enumerate(("nlu", "math")):
        ends = [means[step][task].value for step in means]
        assert [*density.x[3 * place : 3 * place + 2], position.x[3 * place + 1]] == ends
        assert [mark.x[place] for mark in marks] == ends


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_search_of_single_weights_says_what_it_tried_and_reached(language):
    searched = replace(trial(), groups={"attention": (0.5, 0.0), "mlp": (1.0, 0.3)}, climbed=0.875, tried=17)
    assert "0.5, 0" not in figures.weight_search(trial(), language).summary
    summary = figures.weight_search(searched, language).summary
    assert all(part in summary for part in ("attention 0.5, 0", "mlp 1, 0.3", "0.88", "17"))


def test_the_ring_of_a_search_is_the_best_scale():
    ring = traces(figures.weight_search(trial()))[-1]
    assert (list(ring.x), list(ring.y)) == ([0.5], [0.8])


def test_the_held_out_loss_stands_beside_scores_that_have_one_and_nowhere_else():
    known = Loss(1.25, 1.0, 1.5, 40, 400)
    of_base = {task: replace(each, loss=known) for task, each in RESULT.base_scores.items()}
    singles = tuple(replace(each, score=replace(each.score, loss=known)) for each in RESULT.singles)
    drawing = figures.scores(replace(RESULT, base_scores=of_base, singles=singles), "en")
    place = drawing.header.index("loss (nats a token)")
    assert {row[place] for row in drawing.rows} == {"1.250"}
    assert "loss (nats a token)" not in figures.scores(RESULT, "en").header


def test_a_mean_loss_is_that_of_all_seeds_or_none():
    scores = [single.score for single in RESULT.singles[:2]]
    with_loss = [
        replace(each, loss=Loss(value, None, None, 1, 1)) for each, value in zip(scores, (1.0, 2.0), strict=True)
    ]
    assert mean_score(with_loss).loss == 1.5
    assert mean_score([with_loss[0], scores[1]]).loss is None


def test_the_difference_of_two_scores_has_the_interval_of_a_normal_difference_where_theirs_are_symmetric():
    one, other = Interval(0.8, 0.74, 0.86), Interval(0.5, 0.42, 0.58)
    difference = one.minus(other)
    assert difference[:3] == pytest.approx((0.3, 0.2, 0.4))  # 0.06² + 0.08² = 0.1²
    back = other.minus(one)
    assert (back.value, back.low, back.high) == pytest.approx((-0.3, -0.4, -0.2))
