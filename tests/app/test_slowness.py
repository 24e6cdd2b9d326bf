"""The machine's slowness is measured once, where no study has told it, and a failure leaves it unknown."""

import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from app import slowness
from app.pages.home import OFFERS
from lori_core.study.layout import planned
from lori_core.study.runs import Run
from lori_core.study.yardstick import Yardstick, yardstick

DEMO, FULL = (offer.config for offer in OFFERS)


@pytest.fixture
def page(tmp_path, monkeypatch) -> Any:
    """A page of a workspace without runs, in an app that has measured nothing."""
    monkeypatch.setattr(slowness, "_found", [])
    return SimpleNamespace(workspace=SimpleNamespace(runs=tmp_path / "runs"))


def says(monkeypatch, tmp_path, what: str) -> None:
    """The measurement prints that, and leaves a letter in a file."""
    script = f"open({str(tmp_path / 'count')!r}, 'a').write('x'); print({what!r})"
    monkeypatch.setattr(slowness, "COMMAND", (sys.executable, "-c", script))


def measure() -> Yardstick:
    found = yardstick(FULL)
    assert found is not None
    return found


def test_several_who_ask_at_once_wait_for_one_measurement(page, tmp_path, monkeypatch):
    says(monkeypatch, tmp_path, "2.5")
    assert slowness.time_of(page, FULL) == (None, False) and not slowness.is_measured()
    askers = [threading.Thread(target=slowness.measure, args=(page,)) for _ in range(3)]
    for each in askers:
        each.start()
    for each in askers:
        each.join()
    assert (tmp_path / "count").read_text() == "x"
    assert slowness.time_of(page, FULL) == (pytest.approx(2.5 * measure().whole(FULL)), False)


def test_where_a_study_tells_it_nothing_is_measured(page, tmp_path, monkeypatch):
    says(monkeypatch, tmp_path, "2.5")
    run = Run.create(page.workspace.runs, "study", DEMO.model_dump(mode="json"))
    (run.path / "seconds").mkdir()
    for unit in planned(DEMO):
        (run.path / "seconds" / unit).write_text(str(3 * measure().seconds(unit, DEMO)))
    slowness.measure(page)
    assert not (tmp_path / "count").exists()
    assert slowness.time_of(page, FULL) == (pytest.approx(3 * measure().whole(FULL)), True)


def test_a_measurement_that_fails_leaves_the_time_unknown_and_is_not_tried_again(page, tmp_path, monkeypatch):
    says(monkeypatch, tmp_path, "no number")
    for _ in range(2):
        slowness.measure(page)
    assert slowness.is_measured() and slowness.time_of(page, FULL) == (None, False)
    assert (tmp_path / "count").read_text() == "x"
