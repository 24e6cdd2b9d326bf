"""Errors that lori_core raises on purpose. A message says what came, what was expected, what to do.

LoRIError
├── ConfigError           a setting is outside its range or does not fit another
├── DataError             a file, a row or a field of the user's data cannot be used
├── TaskError             no task of that name, or it cannot be scored here
├── ModelError            a base cannot be loaded or adapted
├── AdapterError          an adapter is missing, damaged, or does not belong to this base
│   └── IncompatibleAdapters  adapters that cannot be merged or compared
├── RunError              a run folder is missing, in use, or cannot go on
├── StorageError          the disk refused: full, read-only, locked
└── Stopped               somebody asked the work to stop; it can be resumed

A LoRIError carries a key and values, not a sentence, so that the message exists in every language of translate.py.
"""

import math
import re

from lori_core.translate import translate

QUOTED = 200  # characters that a message quotes of a value; files and names of strangers have any length
LISTED = 2000  # of "known", what there is to choose from

# What a terminal would obey, and halves of characters, which cannot be written: controls, directions, surrogates.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class LoRIError(Exception):
    """LoRIError(key, **values): the message is the translation of `error.<key>`, filled in with the values.

    Values are kept as they are where they are short, else as a text with the middle left out.
    """

    def __init__(self, key: str, **values: object) -> None:
        quoted = {name: _quoted(value, LISTED if name == "known" else QUOTED) for name, value in values.items()}
        super().__init__(key, quoted)
        self.key = key
        self.values = quoted

    def plain_values(self) -> dict[str, int | float | str]:
        """The values as JSON has them; a message filled in with them reads the same."""
        return {
            key: value if isinstance(value, int | float | str) else str(value) for key, value in self.values.items()
        }

    def in_language(self, language: str) -> str:
        return translate(f"error.{self.key}", language, **self.values)

    def __str__(self) -> str:
        return self.in_language("en")

    def __reduce__(self):  # keyword values do not survive pickling by default
        return (_rebuild, (type(self), self.key, self.values))


def _quoted(value: object, most: int) -> object:
    """The value, or its text where that is what can be shown and kept: of errors, long values, unsafe characters."""
    if isinstance(value, int):  # a number stays one, since messages have forms for numbers
        return value if abs(value) < 10**100 else math.inf
    if value is None or isinstance(value, float):
        return value
    text = str(value)
    if len(text) > most:
        text = f"{text[: most * 2 // 3]} … {text[3 - most // 3 :]}"
    safe = _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return safe if isinstance(value, BaseException) or safe != str(value) else value


def _rebuild(kind: type[LoRIError], key: str, values: dict[str, object]) -> LoRIError:
    return kind(key, **values)


class ConfigError(LoRIError):
    """A setting is outside its range or does not fit another."""


class DataError(LoRIError):
    """A file, a row or a field of the user's data cannot be used."""


class TaskError(LoRIError):
    """No task of that name, or it cannot be scored here."""


class ModelError(LoRIError):
    """A base cannot be loaded or adapted."""


class AdapterError(LoRIError):
    """An adapter is missing, damaged, or does not belong to this base."""


class IncompatibleAdapters(AdapterError):
    """Adapters that cannot be merged or compared."""


class RunError(LoRIError):
    """A run folder is missing, in use, or cannot go on."""


class StorageError(LoRIError):
    """The disk refused: full, read-only, locked."""


class Stopped(LoRIError):
    """Somebody asked the work to stop; it can be resumed."""
