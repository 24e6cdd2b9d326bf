"""Writes docs/api.md, the front door's names with their signatures and first lines: python docs/api.py"""

import inspect
from pathlib import Path
from typing import Any

import lori_core

PAGE = Path(__file__).with_name("api.md")
HEAD = """# Front door

`from lori_core import ...`: every public name, in alphabetical order. Written by `python docs/api.py` from the code;
whole docstrings: `help(lori_core.learn)`. Figures are in `lori_core.figures`; what is not listed here may change.
"""


def page() -> str:
    return HEAD + "".join(_entry(name, getattr(lori_core, name)) for name in sorted(lori_core.__all__, key=str.lower))


def _entry(name: str, value: Any) -> str:
    if not callable(value):
        return f"\n### `{name}`\n\n{type(value).__name__} with the keys {', '.join(f'`{key}`' for key in value)}.\n"
    first = (inspect.getdoc(value) or "").partition("\n")[0]
    module = inspect.getmodule(value)
    where = module.__name__.removeprefix("lori_core.").replace(".", "/") if module else ""
    return f"\n### `{name}{_signature(value)}`\n\n{first} (`{where}.py`)\n"


def _signature(value: Any) -> str:
    """Names and defaults; types are in the code, fields of settings in config.py."""
    if issubclass(type(value), type) and issubclass(value, Exception):
        return ""
    parameters = inspect.signature(value).parameters.values()
    shown = [each.replace(annotation=inspect.Parameter.empty) for each in parameters if each.name != "self"]
    text = str(inspect.Signature(shown))
    return text if len(text) < 400 else "(...)"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
