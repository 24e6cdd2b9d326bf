"""What a message quotes of strangers' files is short, and safe to print."""

import pickle

import pytest

from lori_core.errors import LISTED, QUOTED, AdapterError, StorageError
from lori_core.translate import LANGUAGES


def said(**values: object) -> list[str]:
    """The message of an error that quotes path and reason, in every language."""
    error = AdapterError("adapter_unreadable", **({"path": "a", "reason": "b"} | values))
    return [error.in_language(language) for language in LANGUAGES]


@pytest.mark.parametrize("value", ["x" * 10**7, ValueError("x" * 10**7), ["x" * 1000]])
def test_a_long_value_is_quoted_by_its_ends(value):
    plain = said()
    for message, short in zip(said(reason=value), plain, strict=True):
        assert len(message) <= len(short) + QUOTED and " … " in message


def test_a_number_is_quoted_as_one_however_large_it_is():
    for number in (7, True, 10**30, 10**1000, -(10**5000)):
        error = AdapterError("adapter_claims", path="a", drawn=number, bytes=number)
        assert all(len(error.in_language(language)) < 500 for language in LANGUAGES)


def test_of_what_there_is_to_choose_from_more_is_listed():
    known = ", ".join(f"name_{number}" for number in range(1000))
    error = AdapterError("no_version", reference="x", path="y", known=known)
    assert QUOTED < len(str(error)) < LISTED + QUOTED


@pytest.mark.parametrize("unsafe", ["\x1b[2J", "\ud800", "\x00", "\u202e", "\x9b"])
def test_what_a_terminal_would_obey_or_could_not_print_is_written_out(unsafe):
    for message in said(path=f"a{unsafe}b"):
        assert unsafe not in message
        message.encode()


def test_short_values_keep_their_types_and_survive_pickling():
    values = {"path": ("a", 1), "pid": 7}
    error = StorageError("in_use", **values)
    assert error.values == values
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.key, again.values) == (StorageError, "in_use", values)
