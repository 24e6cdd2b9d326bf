"""The wheel: an installed lori_core has its assets and needs nothing of the checkout."""

import json
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest
import tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(ROOT)], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_file_of_assets_and_the_documents_that_the_app_shows(wheel: Path):
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = ["git", "ls-files", "assets", "docs", "notebooks/README.md"]
    tracked = subprocess.run(wanted, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert tracked, "the checkout tracks no assets"
    assert {f"lori_core/{name}" for name in tracked.split()} <= packed


def test_an_installed_wheel_finds_its_own_assets_and_loads_its_base(wheel: Path, tmp_path: Path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = (
        "from lori_core.assets import ASSETS; from lori_core.bases.load import load_base, target_modules;"
        "print(ASSETS); print(len(target_modules(load_base().model)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True, env={"PATH": ""}
    ).stdout.split()
    assert Path(found[0]) == tmp_path / "lori_core" / "assets"
    assert int(found[1]) > 0


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment that holds the wheel and sees what it needs, but nothing of the checkout."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-index", str(wheel)], check=True, capture_output=True)
    places = json.loads(
        subprocess.check_output(
            [programs / "python", "-c", "import json, site; print(json.dumps(site.getsitepackages()))"]
        )
    )
    needed = Path(pytest.__file__).parents[1]  # .pth files in a folder that a .pth file names are not read
    Path(places[0], "needed.pth").write_text(f"{needed}\n")
    return programs


def test_no_top_level_package_has_a_name_as_common_as_app(installed: Path, tmp_path: Path):
    program = "import importlib.util; print(importlib.util.find_spec('app'))"
    assert subprocess.check_output([installed / "python", "-c", program], cwd=tmp_path, text=True).strip() == "None"


def test_an_installed_wheel_runs_a_study(installed: Path, tmp_path: Path):
    tiny.saved_base(tmp_path / "base")
    rows = [{"prompt": f"after {a}{b}:", "response": chr(ord(b) + 1)} for a in "abcd" for b in "bcdefghijk"]
    (tmp_path / "after.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [installed / "lori", "study", "--task", f"after={tmp_path / 'after.jsonl'}", "--method", "lori_s"]
    command += ["--base", tmp_path / "base", "--rank", "4", "--steps", "2", "--out", tmp_path / "runs"]
    subprocess.run(list(map(str, command)), cwd=tmp_path, check=True, capture_output=True)
    assert len(list((tmp_path / "runs").glob("*/report.ja.html"))) == 1


def test_an_installed_wheel_opens_the_lab_s_first_page(installed: Path, tmp_path: Path):
    command = [str(installed / "lori"), "lab", "--port", "0", "--store", str(tmp_path / "lab")]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as lab:
        try:
            assert lab.stdout
            address = lab.stdout.readline().strip()  # with a token, which a cookie keeps
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with browser.open(address, timeout=120) as page:
                assert page.status == 200 and "LoRI Lab" in page.read().decode()
        finally:
            lab.terminate()
