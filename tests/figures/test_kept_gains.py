"""What merges keep of a gain: every share and its interval stands in the figure, also below the bare base."""

import pytest

from lori_core import figures
from lori_core.figures.means import Interval
from lori_core.translate import LANGUAGES

KEPT = {
    "random_at_one": {"math": Interval(-0.24, -0.8, 0.2), "code": Interval(0.62, 0.4, 0.8)},
    "conditioned_at_one": {"math": Interval(0.96, 0.9, 1.0), "code": Interval(1.07, 1.0, 1.1)},
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_merge_has_its_marks_intervals_and_rows(language: str):
    drawn = figures.kept_gains(KEPT, language)
    for trace in drawn.figure.data:
        shares = list(KEPT[trace.meta].values())
        assert list(trace.x) == [share.value for share in shares]
        assert [x - low for x, low in zip(trace.x, trace.error_x.arrayminus, strict=True)] == pytest.approx(
            [share.low for share in shares]
        )
    assert [row[0] for row in drawn.rows] == ["math", "code"] * 2 and len(drawn.header) == 5
    assert drawn.figure.layout.xaxis.range is None  # below 0 nothing is cut off
    assert {line.x0 for line in drawn.figure.layout.shapes if line.x0 == line.x1} == {0, 1}
    assert "math −0.24" in drawn.summary and "0.19" in drawn.summary  # mean of the random A's two tasks
