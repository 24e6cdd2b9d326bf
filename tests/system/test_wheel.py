"""The wheel: an installed lori_core has its assets and needs nothing of the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(ROOT)], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_file_of_assets(wheel: Path):
    packed = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(["git", "ls-files", "assets"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
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
