"""Figures of the lens: the widest ribbon lies at the bottom, and bars are what the attributions say."""

from dataclasses import replace
from typing import Any

import pytest

from lori_core import figures
from lori_core.figures.lens import lens_top
from lori_core.figures.wording import percent
from lori_core.results import Attribution, Lens
from lori_core.translate import LANGUAGES

WIDE = {"model.layers.0.q": (3.0, 1.0), "model.layers.0.k": (4.0, 0.0), "model.layers.1.q": (1.0, 2.0)}
BASE = {"model.layers.0.q": 6.0, "model.layers.0.k": 8.0, "model.layers.1.q": 4.0}
RECEIPTS = (Attribution(" lo\n", " no", 3.5, (3.0, 0.25)), Attribution("<b>", "<b>", -1.0, (-2.0, 1.0)))
LENS = Lens(("math", "<b>code"), (1.0, 1.0), WIDE, {m: (a / 2, b) for m, (a, b) in WIDE.items()}, BASE, "lo", RECEIPTS)


def traces(drawing: figures.Drawing) -> dict[str, Any]:
    return {trace.meta: trace for trace in drawing.figure.data if trace.meta}


def test_a_width_is_of_a_layer_s_modules_together_as_a_share_of_what_the_base_computes_there():
    drawn = traces(figures.lens_ribbons("LoRI-S", LENS, 0, lens_top([LENS])))
    assert drawn["alone/math"].customdata == pytest.approx([5 / 10, 1 / 4])
    assert drawn["alone/<b>code"].customdata == pytest.approx([1 / 10, 2 / 4])
    assert lens_top([LENS]) == pytest.approx(1 / 4 + 2 / 4)


def test_the_widest_lies_at_the_bottom_of_each_layer_and_its_ribbon_has_its_width():
    drawing = figures.lens_ribbons("LoRI-S", LENS, 0, lens_top([LENS]))
    drawn = traces(drawing)
    assert [drawn[f"alone/{name}"].y[0] < drawn[f"alone/{other}"].y[0] for name, other in both()] == [True, False]
    assert [drawn[f"alone/{name}"].y[1] < drawn[f"alone/{other}"].y[1] for name, other in both()] == [False, True]
    outline: Any = drawing.figure.data[0]
    assert outline.y[0] - outline.y[-1] == pytest.approx(5 / 10)  # at the first layer, upper edge and lower edge


def both() -> list[tuple[str, str]]:
    return [("math", "<b>code"), ("<b>code", "math")]


def test_an_attribution_is_a_row_of_parts_with_the_measured_change_upon_it():
    drawing = figures.attributions("LoRI-S", LENS)
    drawn = traces(drawing)
    assert drawn["math"].x == (3.0, -2.0) and drawn["<b>code"].x == (0.25, 1.0) and drawn["moved"].x == (3.5, -1.0)
    assert tuple(drawing.figure.to_dict()["layout"]["yaxis"]["ticktext"]) == ("·lo⏎", "&lt;b&gt;")
    assert [row[-1] for row in drawing.rows] == ["0.250000"] * 2 + ["0.000000"] * 2
    assert "0.250000" in drawing.summary and "1 of 2" in drawing.summary


def test_two_adapters_of_one_name_each_have_their_share():
    both = replace(LENS, names=("math", "math"))  # |3| + |-2| of 6.25, and |0.25| + |1|
    said = figures.attributions("LoRI-S", both).summary
    assert f"math {percent(5 / 6.25)}, math {percent(1.25 / 6.25)}" in said


def test_names_and_tokens_cannot_become_markup():
    for drawing in (figures.lens_ribbons("LoRI-S", LENS, 1, 1.0), figures.attributions("LoRI-S", LENS)):
        shown = [
            text for trace in drawing.figure.data for text in (trace.name, trace.hovertemplate, *(trace.text or ()))
        ]
        assert not any("<b>" in text for text in shown if text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_both_say_what_they_show_in_words_and_numbers(language):
    for drawing in (
        figures.lens_ribbons("LoRI-S", LENS, 0, 1.0, language),
        figures.attributions("LoRI-S", LENS, language),
    ):
        layout = drawing.figure.to_dict()["layout"]
        assert layout["yaxis"]["title"]["text"] and drawing.title and drawing.summary and drawing.limits
        assert drawing.rows and all(len(row) == len(drawing.header) for row in drawing.rows)
        assert drawing.axes["yaxis"] in ("layer_width", "token")
