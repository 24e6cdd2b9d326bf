"""Imports point one way: a module imports only from rows above its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROWS = [
    ["assets"],
    ["translate"],
    ["errors"],
    ["config", "files", "results"],
    ["projection", "pairs", "recipes", "targets", "quantize", "fingerprint", "intervals"],
    ["masks"],
    ["adapter", "layer", "packing"],
    ["merge_methods", "mask_files"],
    ["merge", "metrics", "inject", "adapter_files", "model_card", "store_index"],
    ["adapter_diff"],
    ["judge", "examine", "jail"],  # run in a process of their own, without the package
    ["runs", "sandbox", "store", "exchange", "models"],
    ["published", "merged_base", "bench", "pace"],
    ["uploads"],
    ["shelf"],
    ["mask_looks", "origins"],
    ["tasks"],
    ["train", "answers"],
    ["evaluate", "merge_trial"],
    ["harness"],
    ["calibrate", "probe", "estimate"],
    ["pipeline", "interference", "trying"],
    ["continual"],
    ["study"],
    ["figures"],
    ["findings"],
    ["report"],
    ["embedded"],
    ["lessons"],
    ["execute", "worker"],
    ["progress", "summary"],
    ["commands"],
    ["__main__"],
]
NO_TORCH = ["assets", "translate", "errors", "config", "files", "results", "figures", "findings", "report", "pace"]
PACKAGE = Path(__file__).parent.parent / "lori_core"
ROW_OF = {module: row for row, modules in enumerate(ROWS) for module in modules}


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"lori_core.{alias.name}" for alias in node.names}
            found |= names if node.module == "lori_core" else {node.module or ""}
    return found


def files_of(module: str) -> list[Path]:
    return [path for path in (PACKAGE / f"{module}.py",) if path.exists()] or sorted((PACKAGE / module).rglob("*.py"))


def test_every_module_has_a_row():
    there = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert there - {"__init__"} <= ROW_OF.keys()


@pytest.mark.parametrize("module", ROW_OF)
def test_imports_only_from_rows_above(module):
    for path in files_of(module):
        for name in imports(path):
            if name.startswith("lori_core.") and name != "lori_core.__version__":
                other = name.split(".")[1]
                allowed = other == module or ROW_OF.get(other, len(ROWS)) < ROW_OF[module]
                assert allowed, f"{path.name} imports {name}"


def test_figures_know_results_and_translations_only():
    inner = {
        name.split(".")[1] for path in files_of("figures") for name in imports(path) if name.startswith("lori_core.")
    }
    assert inner <= {"results", "translate", "figures"}


def test_peft_is_imported_in_exchange_only():
    users = {path.stem for path in PACKAGE.rglob("*.py") if any(name.split(".")[0] == "peft" for name in imports(path))}
    assert users <= {"exchange"}


def test_no_torch_where_a_figure_or_a_report_is_made():
    code = (
        f"import sys; {'; '.join(f'import lori_core.{module}' for module in NO_TORCH)}; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout.strip() == "False"
