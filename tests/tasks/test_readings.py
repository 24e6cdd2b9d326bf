"""How answers name choices: by the sign beside them first, decided once over all splits, refused where in doubt."""

import csv
import random
from pathlib import Path

import pytest

from lori_core.errors import DataError, TaskError
from lori_core.tasks.readings import column_signs, plain_sign, text_signs
from lori_core.tasks.registry import load_task
from lori_core.tasks.task import SPLITS, Task

LETTERED = "prompt=q&response=answer&choices=A,B,C,D"
WORDS = ["O", "A", "B", "AB", "C", "D", "1", "2", "3", "0", "true", "川", "山", "海", "空", "owl", "an oak", "なし"]


def write(path: Path, rows: list[list[str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def named(task: Task) -> dict[str, str]:
    """prompt -> the text of the choice that is right."""
    examples = [example for split in SPLITS for example in task.examples(split)]
    return {example.prompt: example.choices[example.answer or 0].strip() for example in examples}


def test_the_answer_letter_goes_before_a_choice_of_that_text(tmp_path: Path):
    rows = [["q", "A", "B", "C", "D", "answer"], ["blood type?", "O", "A", "B", "AB", "B"]]
    task = load_task(f"t={write(tmp_path / 'a.csv', rows)}?{LETTERED}")
    assert named(task) == {"blood type?": "A"}


@pytest.mark.parametrize("asked", [LETTERED, ""])
def test_of_7097_rows_as_jmmlu_has_them_none_is_mislabelled(asked: str, tmp_path: Path):
    drawn = random.Random(0)
    name = "q" if asked else "question"
    rows, expected = [[name, "A", "B", "C", "D", "answer"]], {}
    for number in range(7097):
        texts, letter = drawn.sample(WORDS, 4), drawn.choice("ABCD")
        rows.append([f"問{number}", *texts, letter])
        prompt = f"問{number}" if asked else f"Question: 問{number}\nAnswer:"
        expected[prompt] = texts["ABCD".index(letter)]
    task = load_task(f"t={write(tmp_path / 'jmmlu.csv', rows)}?{asked}")
    assert named(task) == expected and task.scorer == "choice"


def test_numbering_is_decided_once_over_all_splits(tmp_path: Path):
    header = ["q", "x", "y", "z", "w", "answer"]
    texts = ["oak", "owl", "ant", "elm"]
    write(tmp_path / "train.csv", [header, *([f"a{n}", *texts, str(n)] for n in (1, 2, 3, 4))])
    write(tmp_path / "test.csv", [header, *([f"b{n}", *texts, answer] for n, answer in enumerate("12321"))])
    found = named(load_task(f"t={tmp_path}?prompt=q&response=answer&choices=x,y,z,w"))
    assert [found[f"b{n}"] for n in range(5)] == ["oak", "owl", "ant", "owl", "oak"]


def test_numbering_that_no_answer_decides_is_refused_and_first_says_which(tmp_path: Path):
    rows = [
        ["q", "x", "y", "z", "w", "answer"],
        *([f"{n}?", "oak", "owl", "ant", "elm", a] for n, a in enumerate("12321")),
    ]
    spec = f"t={write(tmp_path / 'a.csv', rows)}?prompt=q&response=answer&choices=x,y,z,w"
    with pytest.raises(
        DataError, match=r"row 1: 'answer' holds '1'\. With first=0 that is 'owl', with first=1 .*'oak'"
    ):
        load_task(spec)
    assert named(load_task(f"{spec}&first=1"))["0?"] == "oak"
    assert named(load_task(f"{spec}&first=0"))["0?"] == "owl"
    with pytest.raises(TaskError, match=r"first is '2'\. .* 0, 1, A, text"):
        load_task(f"{spec}&first=2")


def test_a_letter_that_is_a_choice_too_is_refused_where_nothing_is_lettered(tmp_path: Path):
    rows = [["q", "w", "x", "y", "z", "answer"], ["blood type?", "O", "A", "B", "AB", "B"]]
    spec = f"t={write(tmp_path / 'a.csv', rows)}?prompt=q&response=answer&choices=w,x,y,z"
    with pytest.raises(DataError, match=r"first=text that is 'B', with first=A it is 'A'"):
        load_task(spec)
    assert named(load_task(f"{spec}&first=A")) == {"blood type?": "A"}
    assert named(load_task(f"{spec}&first=text")) == {"blood type?": "B"}


@pytest.mark.parametrize("answer", ["B", "b", "(B)", "Ｂ", "B.", "optionB"])
def test_a_letter_is_read_however_it_is_typed(answer: str, tmp_path: Path):
    rows = [["q", "optionA", "optionB", "answer"], ["bird?", "oak", "owl", answer]]
    task = load_task(f"t={write(tmp_path / 'a.csv', rows)}?prompt=q&response=answer&choices=optionA,optionB")
    assert named(task) == {"bird?": "owl"}


def test_signs_that_the_choices_begin_with_name_them_in_any_order(tmp_path: Path):
    rows = [["q", "c", "answer"], ["bird?", '["B. owl", "A. oak"]', "A"], ["tree?", '["A. oak", "B. owl"]', "A"]]
    task = load_task(f"t={write(tmp_path / 'a.csv', rows)}?prompt=q&response=answer&choices=c")
    assert named(task) == {"bird?": "A. oak", "tree?": "A. oak"}


def test_signs_are_found_where_there_are_some():
    assert column_signs(["answerA", "answerB", "answerC"]) == ("A", "B", "C")
    assert column_signs([f"choice{n}" for n in range(12)]) == tuple(map(str, range(12)))
    assert column_signs(["option1", "option2"]) == ("1", "2")
    assert column_signs(["right", "wrong"]) == column_signs(["A"]) == column_signs(["B", "A"]) == ()
    assert text_signs(["(1) oak", "(2) owl"]) == ("1", "2") and text_signs(["Ａ．木", "Ｂ．鳥"]) == ("Ａ", "Ｂ")
    assert text_signs(["A. oak", "owl"]) == text_signs(["A bird", "A tree"]) == ()
    assert plain_sign("（ｂ）") == "B"
