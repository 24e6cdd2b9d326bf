"""Translations: translate(key, language), every sentence that people read, in English and Japanese.

A message is one entry of `assets/translations/<language>/<subject>.json`, under the same key in each language, with
`{name}` where a value goes: {"error.unknown_task": "There is no task {name!r}. Known: {known}."}
"""

import json
from functools import cache

from lori_core.assets import ASSETS

LANGUAGES = ("en", "ja")


@cache
def messages(language: str) -> dict[str, str]:
    """All messages of one language; a key that two files define is a mistake and raises ValueError."""
    found: dict[str, str] = {}
    for path in sorted((ASSETS / "translations" / language).glob("*.json")):
        entries = json.loads(path.read_text(encoding="utf-8"))
        if twice := found.keys() & entries.keys():
            raise ValueError(f"{path.name} defines again: {', '.join(sorted(twice))}")
        found |= entries
    return found


def translate(key: str, language: str = "en", **values: object) -> str:
    """The message of that key with its values filled in; an unknown key raises KeyError (a test walks all of them)."""
    return messages(language)[key].format(**values)
