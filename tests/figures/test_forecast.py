import re
from dataclasses import replace
from typing import Any

import pytest
from example_results import example, without_nulls

from lori_core import figures
from lori_core.figures.drawing import METHOD_MARKS
from lori_core.figures.forecast import forecast_and_measured, how_well_forecast, rank_correlation, top_of
from lori_core.results import PairMatrix

RESULT = example()
FORECASTS = [(method, matrix) for method, matrix in RESULT.interference if matrix.measure == "forecast"]
LANGUAGES = ("en", "ja")


def traces(drawing: figures.Drawing) -> list[Any]:
    return list(drawing.figure.data)  # plotly gives its traces no type


def heat(matrix: PairMatrix, top: float) -> Any:
    return traces(figures.forecast_matrix("LoRI-D", matrix, top))[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_forecast_has_axes_words_and_a_table_that_holds_each_pair_both_ways_beside_chance(language):
    _, matrix = FORECASTS[0]
    drawing = figures.forecast_matrix("LoRI-D", matrix, 2.0, language)
    layout = drawing.figure.to_dict()["layout"]
    assert layout["xaxis"]["title"]["text"] and layout["yaxis"]["title"]["text"] and drawing.limits
    size = len(matrix.names)
    assert len(drawing.rows) == size * (size - 1) and len(drawing.header) == 3
    assert drawing.rows[0] == [
        f"{matrix.names[0]} → {matrix.names[1]}", f"{matrix.values[0][1]:.3f}", f"{matrix.null_mean[0][1]:.3f}"
    ]  # fmt: skip


def test_random_and_conditioned_forecasts_have_one_scale_of_colours_that_holds_them_both():
    matrices = [matrix for _, matrix in FORECASTS]
    top = top_of(matrices)
    ends = {(heat(matrix, top).zmin, heat(matrix, top).zmax) for matrix in matrices}
    assert ends == {(0, top)}
    largest = [value for matrix in matrices for row in matrix.values for value in row if value is not None]
    assert top >= max(largest)


def test_without_a_chance_value_none_is_spoken_of():
    method, matrix = next((m, p) for m, p in without_nulls(RESULT).interference if p.measure == "forecast")
    drawing = figures.forecast_matrix(method, matrix, 2.0)
    assert "chance" not in drawing.summary and len(drawing.header) == 2


def test_what_pairs_say_of_a_forecast_is_not_that_chance_leaves_no_room():
    assert "no room" not in figures.pairs(*FORECASTS[0]).summary


def test_the_points_are_the_pairs_of_the_methods_that_were_both_forecast_and_measured():
    points = forecast_and_measured(RESULT.interference)
    assert list(points) == [method for method, _ in FORECASTS]
    measured = dict((m, p) for m, p in RESULT.interference if p.measure == "function")
    for method, forecast in FORECASTS:
        first = (f"{forecast.names[0]} → {forecast.names[1]}", forecast.values[0][1], measured[method].values[0][1])
        assert points[method][0] == first
    assert not forecast_and_measured([each for each in RESULT.interference if each[1].measure != "function"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_line_says_where_a_forecast_is_right_and_every_method_keeps_its_mark(language):
    points = forecast_and_measured(RESULT.interference)
    drawing = figures.forecast_against_measured(points, language)
    line, *marks = traces(drawing)
    assert list(line.x) == list(line.y)
    assert [(mark.marker.color, mark.marker.symbol) for mark in marks] == [METHOD_MARKS[method] for method in points]
    assert len(drawing.rows) == sum(map(len, points.values()))


def test_ranks_decide_and_ties_share_their_place():
    rising = [("", x, x**3) for x in (0.1, 0.5, 0.2, 2.0)]
    assert rank_correlation(rising) == pytest.approx(1)
    assert rank_correlation([(name, x, -y) for name, x, y in rising]) == pytest.approx(-1)
    # of ranks (1, 2.5, 2.5, 4) and (1, 2, 3, 4): 4.5 / √(4.5 · 5)
    assert rank_correlation([("", x, y) for x, y in ((0, 1), (1, 2), (1, 3), (2, 4))]) == pytest.approx(0.9**0.5)


def test_of_few_or_equal_pairs_no_correlation_is_said():
    few = [("a → b", 1.0, 2.0), ("b → a", 2.0, 1.0)]
    assert rank_correlation(few) is None and rank_correlation([("", 1.0, y) for y in (1.0, 2.0, 3.0)]) is None
    assert not re.search(r"\d\.\d", how_well_forecast({"lori_d": few}))


def test_a_merge_at_weight_one_stands_in_figure_words_and_table_only_where_it_was_measured():
    drawing = figures.merged(RESULT, "concat")
    strokes = next(trace for trace in traces(drawing) if trace.name == "merged at weight 1")
    of_method = [merge for merge in RESULT.merges if (merge.method, merge.shared_projection) == ("lora", False)]
    expected = sum(merge.scores_at_one["nlu"].value for merge in of_method) / len(of_method)
    assert strokes.x[0] == pytest.approx(expected)
    assert f"{expected:.3f}" in drawing.rows[0] and "weight 1" in drawing.summary and "weight 1" in drawing.limits
    older = replace(RESULT, merges=tuple(replace(merge, scores_at_one={}) for merge in RESULT.merges))
    plain = figures.merged(older, "concat")
    assert "weight 1" not in plain.summary + plain.limits + "".join(plain.header)
    assert all(trace.name != "merged at weight 1" for trace in traces(plain))


def test_a_sequence_whose_earlier_adapters_stay_beside_the_new_one_is_named_so():
    beside = next(each for each in RESULT.continual if each.beside)
    assert figures.condition(beside, "en") == "LoRI-D, conditioned A · earlier adapters frozen beside"
    assert "symbol" in traces(figures.continual_axes([beside]))[0].marker.to_plotly_json()
