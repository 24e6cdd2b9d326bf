"""Every sentence exists in each language, fits its values, and is used."""

import ast
import re
import string
from functools import cache
from pathlib import Path

import pytest

from lori_core import errors
from lori_core.assets import ASSETS
from lori_core.config import METHOD_OPTIONS
from lori_core.errors import LoRIError
from lori_core.translate import LANGUAGES, messages, translate

ROOT = Path(__file__).parent.parent
KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, LoRIError)}


def placeholders(message: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(message) if field is not None}


def pattern(node: ast.expr, prefix: str) -> str | None:
    """The keys that an argument can be, as a regular expression; None where it is not a literal."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(prefix + node.value)
    if isinstance(node, ast.JoinedStr):
        parts = (re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".+" for p in node.values)
        return re.escape(prefix) + "".join(parts)
    return None


@cache
def used() -> tuple[tuple[str, str, frozenset[str] | None], ...]:
    """(place, key pattern, names of the values; None where they are given as **values) of each call."""
    found = []
    for path in sorted((ROOT / "lori_core").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                prefix = "error." if name in KINDS else "" if name == "translate" else None
                arguments = (
                    [node.args[0].body, node.args[0].orelse] if isinstance(node.args[0], ast.IfExp) else [node.args[0]]
                )
                for argument in arguments if prefix is not None else []:
                    if (key := pattern(argument, prefix or "")) is not None:
                        names = {word.arg for word in node.keywords}
                        place = f"{path.name}:{node.lineno}"
                        found.append((place, key, None if None in names else frozenset(filter(None, names))))
    return tuple(found)


def test_languages_have_equal_keys():
    english = messages("en").keys()
    assert english
    for language in LANGUAGES:
        assert messages(language).keys() == english


def test_languages_have_equal_placeholders():
    for key, message in messages("en").items():
        for language in LANGUAGES:
            assert placeholders(messages(language)[key]) == placeholders(message), f"{key} in {language}"


def test_every_key_in_use_exists():
    missing = [
        (place, key) for place, key, _ in used() if not any(re.fullmatch(key, known) for known in messages("en"))
    ]
    assert not missing


def test_every_raised_error_gives_the_values_that_its_message_names():
    wrong = [
        (place, key)
        for place, key, names in used()
        if key.startswith(r"error\.") and names is not None
        for known, message in messages("en").items()
        if re.fullmatch(key, known) and not {re.split(r"[.\[]", p)[0] for p in placeholders(message)} <= names
    ]
    assert not wrong


def test_every_merge_method_has_a_name_on_the_page_that_offers_it():
    assert {f"app.merge.method.{method}" for method in METHOD_OPTIONS} <= messages("en").keys()


def test_every_key_of_the_report_page_exists():
    page = (ASSETS / "report" / "report.html").read_text(encoding="utf-8")
    keys = re.findall(r'say\("([^"]+)"', page)
    assert keys and set(keys) <= messages("en").keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_error_message_takes_its_values(language):
    for key, message in messages(language).items():
        if key.startswith("error."):
            values = {re.split(r"[.\[]", name)[0]: 1 for name in placeholders(message)}
            assert translate(key, language, **values), key
