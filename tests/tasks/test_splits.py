"""Splits follow the rows, not their wording; what differs only in how it is written stays on one side."""

import json
import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest

from lori_core.tasks.registry import load_task
from lori_core.tasks.splits import near, row_text
from lori_core.tasks.task import SPLITS, Task


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def sides(task: Task) -> dict[str, str]:
    """response -> the split that it is in."""
    return {example.response.strip(): split for split in SPLITS for example in task.examples(split)}


def test_another_template_moves_no_row(tmp_path: Path):
    file = write(tmp_path / "a.jsonl", [{"q": f"question {n}", "a": f"{n}"} for n in range(120)])
    templates = ["{q}", "Q: {q}\nA:", "Answer in one word. {q} =>"]
    found = [sides(load_task(f"t={file}?template={quote(each)}&response=a")) for each in templates]
    assert found[0] == found[1] == found[2] and set(found[0].values()) == set(SPLITS)


WRITTEN = {
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "full width": lambda text: text.translate({ord("7"): "７", ord("?"): "？"}),
    "spaces": lambda text: f"  {text.replace(' ', '  ')} ",
    "line ends": lambda text: text.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_rows_that_differ_in_how_they_are_written_go_to_one_split(how: str, tmp_path: Path):
    texts = [f"ガラス café\n7 {n}?" for n in range(100)]
    rows = [{"q": text, "a": f"{n}"} for n, text in enumerate(texts)]
    rows += [{"q": WRITTEN[how](text), "a": f"{n} again"} for n, text in enumerate(texts)]
    found = sides(load_task(f"t={write(tmp_path / 'a.jsonl', rows)}?prompt=q&response=a"))
    assert all(found[f"{n}"] == found[f"{n} again"] for n in range(100)) and set(found.values()) == set(SPLITS)


def test_what_is_nearly_in_the_test_file_is_not_learned_and_counted_apart(tmp_path: Path):
    write(tmp_path / "train.jsonl", [{"prompt": f"say {n}", "response": "x"} for n in range(40)])
    write(tmp_path / "test.jsonl", [{"prompt": "say 1", "response": "x"}, {"prompt": "say  ２", "response": "x"}])
    task = load_task(f"t={tmp_path}")
    told = [reason for reasons in task.dropped.values() for reason, rows in reasons.items() for _ in range(rows)]
    assert sorted(told) == ["duplicate", "near_duplicate"]
    assert not {near(e.prompt) for e in task.examples("train")} & {near(e.prompt) for e in task.examples("test")}


def test_a_row_is_the_same_whatever_the_order_of_its_columns_and_the_type_of_its_numbers():
    assert row_text({"q": "two\r\n", "a": 2}) == row_text({"a": "2", "q": " two", "note": None, "tag": ""})
    assert row_text({"q": "two", "a": ["x"]}) != row_text({"q": "two", "a": ["y"]})
