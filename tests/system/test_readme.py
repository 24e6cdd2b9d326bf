"""The README is true: its Python runs, its commands and files exist."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.record import RESULTS, results_of
from benchmarks.table import (
    merge_table,
    real_seeds_table,
    real_sequence_table,
    real_table,
    sequence_table,
    table,
)
from lori_core.__main__ import app
from lori_core.translate import messages

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.ja.md")
USAGES = ("docs/usage.md", "docs/usage.ja.md")
MEASURED = ("docs/measured.md", "docs/measured.ja.md")
SERVING = {"en": "docs/serving.md", "ja": "docs/serving.ja.md"}


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), re.M | re.S)
    return [text for written_in, text in fenced if written_in == language]


def test_the_python_in_the_readme_runs(capsys: pytest.CaptureFixture[str]):
    for code in blocks("README.md", "python"):
        exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("name", [*READMES, *MEASURED])
def test_the_figures_in_the_readme_are_those_that_were_measured(name: str):
    language, text = "ja" if ".ja." in name else "en", (ROOT / name).read_text(encoding="utf-8")
    assert table(language) in text
    further = (merge_table, real_table, real_seeds_table, real_sequence_table, sequence_table)
    assert name in READMES or all(each(language) in text for each in further)


def figures_of_the_findings() -> list[tuple[list[float], list[float]]]:
    """Row by row, on the toy and on the real model, %, in the order in which the README says them."""
    toy = {name: results_of(RESULTS / f"{name}.json") for name in ("methods", "footprints", "sequences")}
    real = results_of(RESULTS / "real.json")
    summary, ends = real["by_seed"]["0"], real["intervals"]["0"]
    designed, removed = toy["footprints"]["designed"], toy["footprints"]["removal"]
    best = [toy["methods"]["merged"][each]["of_single"]["mean"] for each in ("lori_s", "lora")]
    of_lora = {variant: found["of_lora"] for variant, found in summary.items()}
    in_sequence = toy["sequences"]["sequences"]["lori_d"], toy["footprints"]["sequence"]["lori_d conditioned"]
    removals = [removed[each]["removal"]["kept"] for each in ("lori_s", "lora")]
    return [
        ([toy["methods"]["single"]["lori_s"]["of_lora"]["mean"]], [of_lora["lori_s"], *ends["of_lora"]["lori_s"]]),
        (best, [summary[each]["searched"]["mean"] for each in ("lori_s", "lora")]),
        (
            [removed[each]["concat"]["kept"]["mean"] for each in ("lori_s", "lora")],
            [summary[each]["whole"]["mean"] for each in ("lori_s", "lora")],
        ),
        *(
            (
                [designed[each][part]["mean"] for part in ("kept_mean", "kept_worst")],
                [whole["mean"], *ends["kept"][f"merged-{each}_conditioned-0 whole"]["mean"], whole["worst"]],
            )
            for each, whole in ((each, summary[f"{each}_conditioned"]["whole"]) for each in ("lori_d", "lori_s"))
        ),
        (
            [each[part] for part in ("mean", "worst") for each in removals],
            [summary[each]["removal"][part] for part in ("mean", "worst") for each in ("lori_s", "lora")],
        ),
        (
            [each["old_kept"]["mean"] for each in in_sequence],
            [summary[each]["sequence"]["old_kept"] for each in ("lori_d", "lori_d_conditioned")],
        ),
        ([], [of_lora[each] - of_lora[f"{each}_conditioned"] for each in ("lori_d", "lori_s")]),
    ]


@pytest.mark.parametrize("name", READMES)
def test_the_findings_on_a_real_model_have_the_figures_that_were_measured(name: str):
    table = (ROOT / name).read_text(encoding="utf-8").partition("SaferPaca")[2]
    rows = [line.split("|")[2:4] for line in table.partition("\n##")[0].splitlines() if line.startswith("| ")][1:]
    said = [[[int(each) for each in re.findall(r"\d+", cell)] for cell in row] for row in rows]
    assert said == [[[round(100 * each) for each in cell] for cell in row] for row in figures_of_the_findings()]


@pytest.mark.parametrize("name", [*READMES, *USAGES])
def test_the_commands_in_the_readme_exist(name: str):
    commands = {
        command.split()[0]
        for block in blocks(name, "")
        for line in block.splitlines()
        if line.startswith("lori ")
        for command in line.removeprefix("lori ").split("#")[0].split(" --")[0].split("|")
    }
    assert len(commands) > (5 if name in USAGES else 0)
    for command in commands:
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0, command


def test_the_pages_on_serving_have_the_same_commands_in_both_languages():
    commands = {}
    for language, name in SERVING.items():
        lines = re.findall(r"^    (\S.*)", (ROOT / name).read_text(encoding="utf-8"), re.M)
        commands[language] = [re.split(r"\s{3,}", line)[0] for line in lines]
        commands[language] += blocks(name, "python")
    assert commands["en"] == commands["ja"] and len(commands["en"]) > 20


@pytest.mark.parametrize("language", SERVING)
def test_the_pages_on_serving_explain_each_verdict_by_the_word_that_the_command_says(language: str):
    page = (ROOT / SERVING[language]).read_text(encoding="utf-8")
    for verdict in ("active", "no_op", "scale", "module", "rows", "template", "wrong_base"):
        word = messages(language)[f"served.{verdict}"].split(":")[0]
        assert f"\n| {word.lower()} |" in page.lower(), word


@pytest.mark.parametrize("name", READMES)
def test_the_make_targets_in_the_readme_exist(name: str):
    make = shutil.which("make")
    assert make, "the tests are started by make"
    for target in re.findall(r"make (\w+)", "\n".join(blocks(name, ""))):
        subprocess.run([make, "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("name", READMES)
def test_the_tree_of_the_readme_is_short_and_its_files_exist(name: str):
    (tree,) = [block for block in blocks(name, "") if block.startswith("assets/")]
    assert len(tree.splitlines()) <= 16
    for line in tree.splitlines():
        names = re.split(r"\s{2,}", line.strip())[0].split()
        folder = ROOT / "lori_core" if line.startswith("  ") else ROOT
        for each in names:
            assert (folder / each).exists(), each


@pytest.mark.parametrize("name", READMES)
def test_the_pictures_in_the_readme_exist_and_say_what_they_show(name: str):
    pictures = re.findall(r'<img src="([^"]+)"[^>]* alt="([^"]+)"', (ROOT / name).read_text(encoding="utf-8"))
    assert pictures and all((ROOT / path).is_file() for path, _ in pictures)


def test_all_pictures_of_pages_together_stay_small():
    assert 0 < sum(path.stat().st_size for path in (ROOT / "assets" / "screenshots").iterdir()) < 1_500_000


DOCUMENTS = ("CHANGELOG.md", "docs/design.md", "docs/how_to.md", "docs/method.md")


@pytest.mark.parametrize("name", [*READMES, *USAGES, *MEASURED, *DOCUMENTS])
def test_links_between_documents_lead_to_files(name: str):
    text = (ROOT / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / name).parent / link).exists(), link
