"""The front door: its names are there, each is the module's own, and opening it loads no torch."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import lori_core

ROOT = Path(__file__).parents[1]


def fresh(program: str) -> str:
    """What a new interpreter prints."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("name", lori_core.__all__)
def test_every_public_name_is_there_and_is_the_same_at_the_second_look(name: str):
    assert getattr(lori_core, name) is getattr(lori_core, name)
    assert name in dir(lori_core)


def test_names_for_type_checkers_are_the_names_that_are_imported():
    source = Path(lori_core.__file__).read_text(encoding="utf-8")
    block = source.partition("if TYPE_CHECKING:\n")[2].partition("\n\n")[0]
    found = {}
    for line in block.splitlines():
        module, names = line.strip().removeprefix("from lori_core.").split(" import ")
        found[module] = tuple(names.split(", "))
    assert found == lori_core._MODULES
    assert {name for names in found.values() for name in names} == set(lori_core.__all__)


def test_no_public_name_is_a_wing_s():
    """An import of the wing would put the module in the name's place."""
    wings = {path.parent.name for path in (ROOT / "lori_core").glob("*/__init__.py")}
    assert not wings & set(lori_core.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        lori_core.nonsense  # noqa: B018


def test_importing_the_package_loads_no_torch_and_types_are_declared():
    assert fresh("import sys, lori_core; print('torch' in sys.modules)") == "False"
    assert (ROOT / "lori_core" / "py.typed").is_file()


def test_settings_and_errors_of_the_front_door_load_no_torch():
    program = "import sys; from lori_core import AdapterConfig, LoRIError, StudyConfig; print('torch' in sys.modules)"
    assert fresh(program) == "False"


def test_the_page_of_the_front_door_is_what_the_code_says():
    spec = importlib.util.spec_from_file_location("api", ROOT / "docs" / "api.py")
    assert spec and spec.loader
    api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(api)
    assert api.PAGE.read_text(encoding="utf-8") == api.page(), "run python docs/api.py"


def test_notebooks_and_readme_use_the_front_door():
    """Beside it figures and, in notebooks, the lessons' own helpers."""
    lessons = {f"lori_core.lessons.{module}" for module in ("by_hand", "controls", "real_rows", "showing")}
    allowed = {"lori_core", "lori_core.lessons"} | lessons
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "notebooks" / "source").glob("*.py")]
    texts += [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ja.md")]
    for text in texts:
        modules = {line.split()[1] for line in text.splitlines() if line.startswith("from lori_core")}
        assert modules <= allowed, json.dumps(sorted(modules - allowed))
