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

from lori_core.translate import translate


class LoRIError(Exception):
    """LoRIError(key, **values): the message is the translation of `error.<key>`, filled in with the values."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key, values)
        self.key = key
        self.values = values

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
