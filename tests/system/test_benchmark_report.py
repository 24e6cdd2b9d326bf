"""benchmarks/report.py: the page holds what the JSON files hold, and no more."""

import json

import pytest

from benchmarks import report


def test_the_page_has_a_row_for_each_subject_and_a_section_for_each_file_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    taken = {"seconds": 2.0, "times_floor": 1.25, "times_peft": 0.875}
    parts = {"steps": {"found": {"floor": taken, "<ours>": taken}}}
    (tmp_path / "speed.json").write_text(json.dumps({"machine": {"cores": 2}, "results": parts}))
    page = report.page()
    assert "<td>steps</td><td>&lt;ours&gt;</td><td>2</td><td>1.25</td><td>0.875</td>" in page
    assert page.count("<h2>") == 1 and "speed.json" in page
    assert page.count("plotly.js v") == 1  # the library is there once, for reading without a network


@pytest.mark.parametrize("name", report.SECTIONS)
def test_every_committed_file_of_results_can_be_drawn(name):
    path = report.RESULTS / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{name}.json is not there yet")
    assert report.SECTIONS[name](report.results_of(path))
