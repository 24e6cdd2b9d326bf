"""Guesses: numbers in a range, graded by distance, kept once, gathered from a class without a network."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lori_core.commands import app
from lori_core.errors import DataError
from lori_core.lessons import showing
from lori_core.lessons.class_page import class_page
from lori_core.lessons.guesses import FILE, QUESTIONS, Guess, Question, checked, gathered, kept, read_guesses
from lori_core.lessons.wrong_answer import WrongAnswer
from lori_core.translate import LANGUAGES, translate
from notebooks.build import sources

PERCENT = Question(1, 0, 100, close=5)


@pytest.mark.parametrize("guess", [0, 5, 5.0, 100])
def test_a_number_in_the_range_is_a_guess(guess: float):
    assert checked(guess, PERCENT, "en") == float(guess)


@pytest.mark.parametrize("guess", ["5%", "5", [5], (5,), True, {5: 1}, "about a tenth", 5j, print])
def test_what_is_no_number_is_told_how_to_write_one(guess: Any):
    for language in LANGUAGES:
        with pytest.raises(WrongAnswer) as caught:
            checked(guess, PERCENT, language)
        assert caught.value.key == "guess.not_a_number"
        assert ("`guess = 5`" if "5" in str(guess) and isinstance(guess, str) else "`guess = ") in str(caught.value)


@pytest.mark.parametrize("guess", [-1, 101, float("nan"), float("inf")])
def test_a_number_outside_the_range_is_told_the_range(guess: float):
    with pytest.raises(WrongAnswer, match="from 0 to 100, and this is") as caught:
        checked(guess, PERCENT, "en")
    assert caught.value.key == "guess.outside"


@pytest.mark.parametrize(("guess", "grade"), [(50, "close"), (55, "close"), (56, "near"), (70, "near"), (71, "far")])
def test_the_grade_is_the_distance_in_what_counts_as_close(guess: float, grade: str):
    assert Guess(guess, 50).grade(PERCENT) == grade


def test_the_first_guess_counts_and_the_result_is_the_last(tmp_path: Path):
    assert kept("cosine", Guess(0.5, 0.1), tmp_path) == Guess(0.5, 0.1)
    assert kept("cosine", Guess(0.1, 0.2), tmp_path) == Guess(0.5, 0.2)
    kept("retained", Guess(1, 0.9), tmp_path)
    assert read_guesses(tmp_path / FILE) == {"cosine": Guess(0.5, 0.2), "retained": Guess(1, 0.9)}


def test_a_notebook_says_how_far_off_a_guess_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    found = [str(showing.guessed("share_of_lora", guess, 5.25, "en").data) for guess in (None, 20, 5)]
    assert found[0] == translate("lessons.no_guess", "en", measured="5.25")
    assert found[1] == translate("lessons.guessed.far", "en", guess="20", measured="5.25", off="14.8")
    assert found[2].startswith(found[1]) and "first guess counts" in found[2]
    nothing = showing.guessed("retained", 1, float("nan"), "en").data
    assert nothing == translate("lessons.no_measure", "en")


def test_without_a_guess_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    showing.guessed("cosine", None, 0.1, "en")
    with pytest.raises(WrongAnswer):
        showing.guessed("cosine", "0.1", 0.1, "en")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"cosine": 3}', '{"cosine": {"guess": "x"}}', '{"unheard": {"guess": 1, "measured": 1}}'],
)
def test_a_file_that_holds_no_guesses_is_refused_by_name(tmp_path: Path, content: str):
    (tmp_path / "ada.json").write_text(content)
    with pytest.raises(DataError, match=r"ada\.json"):
        gathered(tmp_path)


def a_class(folder: Path) -> Path:
    for number, guess in enumerate((20, 5, 50, 10)):
        kept("share_of_lora", Guess(guess, 5.25), folder / f"student {number}")
    kept("retained", Guess(1, float("nan")), folder / "student 0")
    return folder


def test_a_class_is_the_files_of_one_folder(tmp_path: Path):
    found = gathered(a_class(tmp_path))
    assert list(found) == ["share_of_lora", "retained"]
    assert sorted(each.guess for each in found["share_of_lora"]) == [5, 10, 20, 50]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_command_writes_a_page_of_histograms(tmp_path: Path, language: str):
    out = tmp_path / "class.html"
    done = CliRunner().invoke(app, ["class", str(a_class(tmp_path)), "--out", str(out), "--language", language])
    assert done.exit_code == 0, done.output
    page = out.read_text(encoding="utf-8")
    assert translate("lessons.asked.share_of_lora", language) in page
    assert page == class_page(gathered(tmp_path), language)
    figures = json.loads(page.partition('id="figures">')[2].partition("</script>")[0])
    assert sum(figures[0]["data"][0]["y"]) == 4
    assert figures[0]["data"][1]["x"] == [5.25, 5.25]
    assert len(figures[1]["data"]) == 1  # nothing was measured


def test_the_line_is_the_median_of_what_could_be_measured_in_whatever_order_the_files_are():
    for order in itertools.permutations([0.7, 0.8, 0.95, float("nan")]):
        page = class_page({"retained": [Guess(1, measured) for measured in order]})
        (figure,) = json.loads(page.partition('id="figures">')[2].partition("</script>")[0])
        assert figure["data"][1]["x"] == [0.8, 0.8]


def test_an_empty_folder_is_told_what_to_put_there(tmp_path: Path):
    done = CliRunner().invoke(app, ["class", str(tmp_path)])
    assert done.exit_code == 2
    assert FILE in done.output and "Traceback" not in done.output


def test_every_question_is_asked_once_in_its_notebook_and_has_its_words():
    asked = {}
    for source in sources():
        for line in source.read_text(encoding="utf-8").splitlines():
            if line.startswith('guessed("'):
                asked[line.split('"')[1]] = int(source.name[:2])
    assert asked == {name: question.notebook for name, question in QUESTIONS.items()}
    assert all(translate(f"lessons.asked.{name}", language) for name in QUESTIONS for language in LANGUAGES)
