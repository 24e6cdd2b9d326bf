"""Comments, docstrings and documents that name a file name one that exists."""

import io
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [Path(name) for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()]
KNOWN = {str(path) for path in FILES}
DOCUMENTS = [path for path in FILES if path.suffix == ".md"]
MODULES = [path for path in FILES if path.suffix == ".py" and path.parts[0] != "tests"]
NAME = re.compile(r"(?<![\w./*-])[\w/]*\w\.py\b")


def said(path: Path) -> str:
    """A document whole; of a module its comments and the strings that hold several words."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    parts = [token.string for token in tokens if token.type in (tokenize.COMMENT, tokenize.STRING)]
    return "\n".join(part for part in parts if " " in part)


@pytest.mark.parametrize("path", [*DOCUMENTS, *MODULES], ids=str)
def test_every_file_that_is_named_exists(path: Path):
    for name in NAME.findall(said(path)):
        assert any(each == name or each.endswith(f"/{name}") for each in KNOWN), f"{path} names {name}"
