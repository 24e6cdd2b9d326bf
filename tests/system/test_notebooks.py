"""The notebooks: built from their sources, of one shape, run to the end; students stop where they have to think."""

import glob
import json
import os
import re
import subprocess
import sys
from base64 import b64decode
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jupytext
import nbformat
import pytest
import torch
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from lori_core.lessons import checks
from lori_core.lessons.showing import PLOTLY
from lori_core.lessons.wrong_answer import WrongAnswer
from lori_core.translate import translate
from notebooks.build import FOLDER, KINDS, LANGUAGES, METADATA, built, notebook, sources, unsolved
from notebooks.offline import executed

SOURCES = sources()
NAMES = [source.stem for source in SOURCES]
REAL = NAMES[-1]  # needs the real model
FIRST_CHECK = re.compile(r"checks\.\w+\(\w+, LANGUAGE\)")


@cache
def cells(name: str) -> tuple[NotebookNode, ...]:
    return tuple(jupytext.reads((FOLDER / "source" / f"{name}.py").read_text(encoding="utf-8"), fmt="py:percent").cells)


def tagged(name: str, tag: str, language: str | None = None) -> list[int]:
    """Places of the cells that have the tag, in one language's notebook."""
    return [
        place
        for place, cell in enumerate(cells(name))
        if tag in cell.metadata.get("tags", []) and cell.metadata.get("lang", language) == language
    ]


def run(made: NotebookNode, folder: Path, bf16: bool | None = None) -> NotebookNode:
    """Executed in an empty folder.

    bf16: whether the kernel's processor says that it has bf16 arithmetic; None: what it has.
    """
    if bf16 is not None:
        asked = f"import torch; torch.cpu.get_capabilities = lambda: {{'avx512_bf16': {bf16}}}"
        made.cells.insert(0, nbformat.v4.new_code_cell(asked))
    return executed(made, folder)


def figures_in_export(made: NotebookNode, folder: Path, browser: Any) -> int:
    """How many figures are drawn where plain nbconvert made HTML of the notebook, opened without a network."""
    nbformat.write(made, folder / "run.ipynb")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", str(folder / "run.ipynb")]
    settings = {"JUPYTER_CONFIG_PATH": str(FOLDER / "jupyter")}
    subprocess.run(command, check=True, capture_output=True, env=os.environ | settings)
    page = browser.new_page()
    page.route(lambda url: url.startswith("http"), lambda route: route.abort())
    page.goto((folder / "run.html").as_uri(), wait_until="load")
    page.wait_for_function(
        "[...document.querySelectorAll('[id^=lori-]')].every(each => each.querySelector('.main-svg'))"
    )
    found = page.locator("[id^=lori-].js-plotly-plot").count()
    page.close()
    return found


def test_there_are_nine():
    assert [name[:2] for name in NAMES] == [f"0{number}" for number in range(1, 10)]


def test_what_is_built_is_what_the_sources_say():
    there = {path: path.read_text(encoding="utf-8") for path in FOLDER.glob("[st]*/*/*.ipynb")}
    assert there == built(), "run python -m notebooks.build"


def test_built_notebooks_are_valid_and_hold_no_output():
    for path, content in built().items():
        made = nbformat.reads(content, as_version=4)
        nbformat.validate(made)
        assert made.metadata == METADATA, path
        assert len({cell.id for cell in made.cells}) == len(made.cells)
        assert not any(cell.get("outputs") for cell in made.cells)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_picture_that_a_text_shows_lies_in_its_cell_as_a_whole_file(language: str, kind: str):
    first = nbformat.read(FOLDER / kind / language / "01_from_lora_to_lori.ipynb", 4).cells[0]
    assert re.findall(r"\]\(attachment:(\S+)\)", first.source) == list(first.attachments) == ["factors.svg"]
    drawn = b64decode(first.attachments["factors.svg"]["image/svg+xml"])
    assert ElementTree.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg" and b"currentColor" not in drawn


def test_building_twice_gives_the_same_bytes():
    assert built() == built()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_languages_differ_in_text_and_in_computed_sentences_only(name: str, kind: str):
    source = (FOLDER / "source" / f"{name}.py").read_text(encoding="utf-8")
    code = []
    for language in LANGUAGES:
        made = [cell.source for cell in notebook(source, kind, (language,)).cells if cell.cell_type == "code"]
        code.append([text for text in made if "say(" not in text and not text.startswith("LANGUAGE")])
    assert code[0] == code[1]
    kinds = [[cell.cell_type for cell in notebook(source, kind, (language,)).cells] for language in LANGUAGES]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_question_a_prediction_a_control_and_exercises(name: str, language: str):
    assert tagged(name, "question", language) == [0 if language == "en" else 1]
    (prediction,) = tagged(name, "prediction", language)
    assert tagged(name, "control", language)
    text = "\n".join(cell.source for cell in cells(name) if cell.metadata.get("lang") == language)
    for heading in {
        "en": ("**Question:", "## Try it yourself", "## What this does not show"),
        "ja": ("**問い：", "## やってみよう", "## ここからはわからないこと"),
    }[language]:
        assert heading in text
    code = [cell.source for cell in cells(name)]
    guess, result = (
        code.index("guess = None"),
        next(i for i, c in enumerate(code) if "guessed(" in c and "import" not in c),
    )
    assert prediction < guess < result


ASKED = re.compile(r"^##+ (?:Exercise|演習) (\d)(?:: |：).+ (★{1,3})$", re.MULTILINE)
HINTS = {
    "en": ("<summary>Hint 1: the idea</summary>", "<summary>Hint 2: nearly the code</summary>"),
    "ja": ("<summary>ヒント 1：考え方</summary>", "<summary>ヒント 2：ほぼコード</summary>"),
}
LEGEND = {"en": "**Exercises:** ★ one line · ★★ ", "ja": "**演習：** ★ は一行、★★ は"}


@pytest.mark.parametrize("name", NAMES)
def test_each_exercise_says_how_hard_it_is_and_has_two_folded_hints(name: str):
    marks = []
    for language in LANGUAGES:
        texts = [c.source for c in cells(name) if c.metadata.get("lang") == language and c.cell_type == "markdown"]
        assert LEGEND[language] in texts[0]
        asked = [text for text in texts if ASKED.search(text)]
        marks.append([match.groups() for text in asked if (match := ASKED.search(text))])
        for text in asked:
            first, second = (text.index(hint) for hint in HINTS[language])
            assert ASKED.search(text).start() < first < second  # pyright: ignore[reportOptionalMemberAccess]
            assert text.count("<details>") == text.count("</details>") == 2
    assert marks[0] == marks[1]
    exercises = sum("exercise" in cell.metadata.get("tags", []) for cell in cells(name))
    assert [number for number, _ in marks[0]] == [str(number + 1) for number in range(exercises)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_each_try_it_yourself_has_an_answer_that_is_computed_in_the_solution_alone(name: str, language: str):
    text = "\n".join(cell.source for cell in cells(name) if cell.metadata.get("lang") == language)
    heading = {"en": "## Try it yourself\n", "ja": "## やってみよう\n"}[language]
    tried = re.findall(r"^- ", text.partition(heading)[2].partition("\n## ")[0], re.MULTILINE)
    made = [c.source for c in (cells(name)[place] for place in tagged(name, "answer", language)) if "say(" in c.source]
    assert len(made) == 1 and len(re.findall(r'^ +(?:\+ )?f"- \*\*', made[0], re.MULTILINE)) == len(tried) >= 2
    source = (FOLDER / "source" / f"{name}.py").read_text(encoding="utf-8")
    student, solution = ({c.id for c in notebook(source, kind, (language,)).cells} for kind in KINDS)
    answers = sum(
        "answer" in c.metadata.get("tags", []) and c.metadata.get("lang", language) == language for c in cells(name)
    )
    assert len(solution) - len(student) == answers


@pytest.mark.parametrize("name", NAMES)
def test_each_has_three_exercises_and_the_check_of_each_below_it(name: str):
    exercises, below = (
        [i for i, c in enumerate(cells(name)) if tag in c.metadata.get("tags", [])] for tag in ("exercise", "check")
    )
    assert len(exercises) >= 3
    assert below == [place + 1 for place in exercises]
    for place in below:
        match = FIRST_CHECK.fullmatch(cells(name)[place].source)
        assert match and hasattr(checks, match[0].split(".")[1].split("(")[0])


@pytest.mark.parametrize("name", NAMES)
def test_the_student_gets_no_solution(name: str):
    source = (FOLDER / "source" / f"{name}.py").read_text(encoding="utf-8")
    student, solution = ({c.id: c for c in notebook(source, kind).cells} for kind in KINDS)
    assert "solution" not in "".join(c.source for c in solution.values() if c.cell_type == "code")
    differing = [c.source for key, c in student.items() if key not in solution]
    assert len(differing) == sum("exercise" in c.metadata.get("tags", []) for c in cells(name))
    assert all("..." in each for each in differing)


@pytest.mark.parametrize("name", NAMES)
def test_text_states_no_measured_number(name: str):
    """Decimal numbers and shares stand in code, where they are computed or set; those in text are settings."""
    settings = {"0.9", "0.1", "1.96", "2504.07448", "10 %", "90 %", "95 %"}  # one of them the paper's address
    for cell in cells(name):
        if cell.cell_type == "markdown":
            prose = re.sub(r"`[^`]*`", "", cell.source)
            assert set(re.findall(r"\d+\.\d+|\d+ ?%", prose)) <= settings, prose


@pytest.mark.parametrize("name", NAMES)
def test_code_that_is_seen_is_not_cut_off(name: str):
    """JupyterLab folds computed sentences; what else is longer than its cell is wide has to be scrolled."""
    seen = [c.source for c in cells(name) if c.cell_type == "code" and "said" not in c.metadata.get("tags", [])]
    assert [line for text in seen for line in text.splitlines() if len(line) > 120] == []


# The embedded base computes in fp32 whatever the processor says (tests/embedded): so one answer a notebook, in turn.
@pytest.mark.parametrize(("name", "bf16"), [(name, place % 2 == 0) for place, name in enumerate(NAMES)])
def test_each_solution_runs_without_a_warning_and_an_export_has_every_figure(
    name: str, bf16: bool, tmp_path: Path, browser: Any, request: pytest.FixtureRequest
):
    """With the cells of both languages: the code that they share runs once, and every sentence is made."""
    if name == REAL:
        request.getfixturevalue("real_base_there")
    source = (FOLDER / "source" / f"{name}.py").read_text(encoding="utf-8")
    (tmp_path / "work").mkdir()
    made = run(notebook(source, "solution"), tmp_path / "work", bf16)
    outputs = [output for cell in made.cells for output in cell.get("outputs", [])]
    assert [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"] == []
    assert "Traceback" not in json.dumps(outputs)
    assert glob.glob(str(tmp_path / "work" / "*")) == []
    shown = sum(PLOTLY in o.get("data", {}) for o in outputs)
    assert shown > 0 or name == NAMES[0]  # the first one counts and compares, and draws nothing
    assert figures_in_export(made, tmp_path, browser) == shown


@pytest.mark.parametrize("name", NAMES)
def test_each_student_notebook_stops_at_its_first_exercise_and_says_so(name: str, tmp_path: Path):
    language = LANGUAGES[NAMES.index(name) % 2]
    made = nbformat.read(FOLDER / "student" / language / f"{name}.ipynb", as_version=4)
    with pytest.raises(CellExecutionError):
        run(made, tmp_path)
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    stopped = next(cell for cell in code if any(o.output_type == "error" for o in cell.outputs))
    assert stopped is next(cell for cell in code if FIRST_CHECK.fullmatch(cell.source))
    (error,) = [o for o in stopped.outputs if o.output_type == "error"]
    assert error.ename == "WrongAnswer"
    assert error.evalue == translate("lessons.unanswered", language)
    assert error.traceback == [f"✗ {error.evalue}"]


@pytest.mark.parametrize("name", NAMES)
def test_every_exercise_that_is_left_open_is_told_so(name: str):
    for place in (i for i, cell in enumerate(cells(name)) if "exercise" in cell.metadata.get("tags", [])):
        scope: dict[str, Any] = {"torch": torch, "nn": torch.nn, "checks": checks, "LANGUAGE": "en"}
        exec(unsolved(cells(name)[place].source), scope)
        with pytest.raises(WrongAnswer) as caught:
            exec(cells(name)[place + 1].source, scope)
        assert caught.value.key == "unanswered"
