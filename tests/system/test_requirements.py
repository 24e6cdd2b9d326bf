"""What is imported is declared, and what is declared is locked with checksums."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {
    "lori_core",
    "app",
    "benchmarks",
    "notebooks",
    "tests",
    *(path.stem for path in (ROOT / "tests/support").glob("*.py")),
}
OPTIONAL = {"lm_eval", "markupsafe", "peft"}  # extras that the lab runs without; jinja2's own strings
LOCKS = ("requirements.lock", "requirements-torch.lock", "requirements-torch-cpu.lock")


def canonical(name: str) -> str:
    return re.sub("[-_.]+", "-", name.split("[")[0]).lower()


def names_of(requirements: list[str]) -> set[str]:
    return {canonical(re.split("[=><;]", line)[0].strip()) for line in requirements}


def pins(file: str) -> list[str]:
    return re.findall(r"^[A-Za-z0-9].*?==[^\s;]+", (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE)


def imported(folder: str) -> set[str]:
    """Distributions of what modules in that folder import."""
    names: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    known = packages_distributions()
    return {canonical(known[name][0]) for name in names - OURS - OPTIONAL - sys.stdlib_module_names}


@pytest.mark.parametrize("folder", ["lori_core", "app", "benchmarks", "notebooks", "tests"])
def test_every_package_that_is_imported_has_a_pin(folder):
    assert imported(folder) <= names_of(pins("requirements.txt"))


def test_every_package_that_the_wheel_imports_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    library = names_of(project["dependencies"] + extras["notebooks"] + extras["sweep"])  # lessons are for notebooks
    assert imported("lori_core") <= library
    only_for_screenshots = {"pillow", "playwright"}
    assert imported("app") <= names_of(project["dependencies"] + extras["app"]) | only_for_screenshots


def test_the_lock_has_every_pin_and_a_checksum_for_every_package():
    locked = [pin for file in LOCKS for pin in pins(file)]
    versions = {(canonical(pin.split("==")[0]), pin.split("==")[1]) for pin in locked}
    assert {(canonical(pin.split("==")[0]), pin.split("==")[1]) for pin in pins("requirements.txt")} <= versions
    for file in LOCKS:
        text = (ROOT / file).read_text(encoding="utf-8")
        packages = re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]
        assert packages and all(re.search(r"--hash=sha256:[0-9a-f]{64}$", package.strip()) for package in packages)
        assert "://" not in text


def test_torch_and_what_it_needs_for_cuda_are_in_locks_of_their_own():
    of_torch = ("torch==", "nvidia-", "cuda-", "triton==")
    assert all(pin.startswith(of_torch) for pin in pins("requirements-torch.lock"))
    assert not any(pin.startswith(of_torch) for pin in pins("requirements.lock"))
    (torch,) = (pin for pin in pins("requirements-torch.lock") if pin.startswith("torch=="))
    assert pins("requirements-torch-cpu.lock") == [f"{torch}+cpu"]
