"""The line below a cell that works for long: it comes late, says how far the cell is, and goes."""

import sys
from collections import defaultdict

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from lori_core.lessons.working import told

SETUP = """
from types import SimpleNamespace
import torch
from lori_core.lessons import working
model = torch.nn.Linear(2, 2)
base = working.watched(SimpleNamespace(model=model), "en")
"""
RUN = """
for _ in range(2):
    model(torch.ones(2))
with torch.no_grad():
    model(torch.ones(2))
"""
STUDY = """
told = working.told("ja").on_event
told({"kind": "plan", "units": 4, "done": ["a"]})
for name in ("b", "b"):
    told({"kind": "unit", "name": name, "state": "done"})
"""
CELLS = {
    "setup": SETUP,
    "short": RUN,
    "no more patience": "working.PATIENCE = working.BETWEEN = 0.0",
    "long": RUN,
    "with a result": RUN + "'result'",
    "failing": RUN + "raise ValueError",
    "study": STUDY,
}


SEEN: dict[int, list[str]] = defaultdict(list)  # place of a cell -> what was displayed while it ran


class Watching(NotebookClient):
    """Keeps what was displayed while cells ran."""

    def process_message(self, msg, cell, cell_index):  # pyright: ignore
        if msg["msg_type"] in ("display_data", "update_display_data"):
            SEEN[cell_index].append(msg["content"]["data"]["text/plain"])
        return super().process_message(msg, cell, cell_index)


@pytest.fixture(scope="module")
def ran() -> tuple[dict[str, list[str]], dict[str, NotebookNode]]:
    """Cell -> what was displayed while it ran, and cell -> what is left."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS.values()])
    client = Watching(made, timeout=600, kernel_name="python3", allow_errors=True)
    client.create_kernel_manager()
    assert client.km is not None
    client.km.kernel_cmd = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]  # pyright: ignore
    client.execute()
    seen = {name: SEEN[place] for place, name in enumerate(CELLS)}
    return seen, dict(zip(CELLS, made.cells, strict=True))


def test_a_long_cell_says_how_often_it_ran_the_model_learning_and_otherwise(ran):
    assert ran[0]["long"] == [
        "Working: 0 s so far; 1 training steps, the model run 0 more times.",
        "Working: 0 s so far; 2 training steps, the model run 0 more times.",
        "Working: 0 s so far; 2 training steps, the model run 1 more times.",
        "",
    ]


def test_each_cell_counts_from_its_own_beginning(ran):
    assert ran[0]["with a result"] == ran[0]["long"]


def test_nothing_of_it_is_left_but_an_empty_output(ran):
    for name, kinds in {
        "long": ["display_data"],
        "with a result": ["display_data", "execute_result"],
        "failing": ["display_data", "error"],
    }.items():
        outputs = ran[1][name].outputs
        assert [each.output_type for each in outputs] == kinds
        assert outputs[0].data == {"text/html": "", "text/plain": ""}


def test_a_short_cell_says_nothing(ran):
    assert ran[0]["short"] == [] and ran[1]["short"].outputs == []


def test_a_study_says_how_many_of_its_parts_are_done_each_once(ran):
    said = "計算中：0 秒経過。スタディの 4 個の部分のうち {} 個が済みました。"
    assert ran[0]["study"] == [said.format(1), said.format(2), said.format(2), ""]


def test_outside_a_kernel_nothing_is_shown(capsys: pytest.CaptureFixture[str]):
    told("en").on_event({"kind": "plan", "units": 4, "done": []})
    assert capsys.readouterr().out == ""
