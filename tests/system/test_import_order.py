"""Imports point one way: a wing imports only from wings before its bar, and inside a wing there are no circles."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BARS = [
    ["ground"],  # the modules beside the wings
    ["method", "figures", "sandbox"],
    ["storage", "report"],
    ["bases"],
    ["tasks"],
    ["training", "evaluation", "serving"],
    ["embedded", "lessons", "study"],
    ["service", "commands"],
    ["app"],
]
BAR_OF = {wing: bar for bar, wings in enumerate(BARS) for wing in wings}
NO_TORCH = ["ground", "figures", "report", "app"]  # and with app what it imports of study
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("lori_core", "app")
    for path in (ROOT / folder).rglob("*.py")
}
ENTRIES = {"lori_core", "lori_core.__main__", "app.__main__"}  # what starts the others


def wing_of(module: str) -> str:
    first, *rest = module.split(".")
    return "app" if first == "app" else rest[0] if rest and rest[0] in BAR_OF else "ground"


@cache
def imports(module: str) -> frozenset[str]:
    """Dotted names that a module imports, also inside functions: our own as whole modules, of others the package."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module.rsplit(".", node.level)[0] if node.level else ""
            source = ".".join(filter(None, (package, node.module)))
            inner = {f"{source}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else source for name in inner}
    return frozenset(found)


def own_imports(module: str) -> set[str]:
    return {name for name in imports(module) if name in MODULES and name != module}


def test_every_folder_is_a_wing_and_says_what_it_knows():
    folders = {path.parent.name for path in (ROOT / "lori_core").glob("*/__init__.py")}
    assert folders == BAR_OF.keys() - {"ground", "app"}
    for folder in folders:
        assert ast.get_docstring(ast.parse((ROOT / "lori_core" / folder / "__init__.py").read_text(encoding="utf-8")))


@pytest.mark.parametrize("module", sorted(MODULES.keys() - ENTRIES))
def test_a_wing_imports_only_from_wings_before_its_bar(module):
    wing = wing_of(module)
    for name in own_imports(module):
        assert wing_of(name) == wing or BAR_OF[wing_of(name)] < BAR_OF[wing], f"{module} imports {name}"


def test_inside_a_wing_there_are_no_circles():
    graph = {module: own_imports(module) - ENTRIES for module in MODULES if module not in ENTRIES}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_nothing_inside_imports_from_the_front_door_but_the_version():
    """The front door imports everything: whoever inside imports from it closes a circle."""
    for module in MODULES.keys() - ENTRIES:
        for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "lori_core" and module.startswith("lori_core"):
                names = {alias.name for alias in node.names}
                assert names <= {"__version__", *BAR_OF}, f"{module} imports {names}"


def test_a_wing_s_own_file_imports_nothing_so_that_picking_a_module_loads_that_module():
    for wing in BAR_OF.keys() - {"ground", "app", "figures", "commands"}:
        assert imports(f"lori_core.{wing}") == set()


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("gradio", {"app"}),
        ("peft", {"serving"}),
        ("transformers", BAR_OF.keys() - {"ground", "method", "figures", "report", "app"}),
    ],
)
def test_a_package_is_imported_only_where_it_belongs(package, allowed):
    users = {wing_of(name) for name in MODULES if any(each.split(".")[0] == package for each in imports(name))}
    assert users <= allowed


def test_figures_know_results_and_translations_only():
    for module in MODULES:
        if wing_of(module) == "figures":
            outside = {name for name in own_imports(module) if wing_of(name) != "figures"}
            assert outside <= {"lori_core.results", "lori_core.translate"}


@pytest.mark.parametrize("wing", NO_TORCH)
def test_no_torch_where_nothing_is_computed(wing):
    names = [name for name in MODULES if wing_of(name) == wing and name not in ENTRIES - {"lori_core"}]
    code = f"import sys; {'; '.join(f'import {name}' for name in sorted(names))}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
