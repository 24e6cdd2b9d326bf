"""Values as JSON: they arrive as what they equal, and text of a stranger makes nothing but such values."""

import json
import math
from collections import Counter, OrderedDict, namedtuple
from enum import IntEnum

import pytest

from lori_core.sandbox.literals import WORD, dumps, loads


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, -1, WORD, -WORD, 10**6000, -(10**6000), 0.1, -0.0, math.inf, -math.inf, 3j, 1.5 - 2j),
        *("", "a\nb", 'é"\\', "\ud83d", "\ud83d\ude00", "😀", "\x00", b"", bytes(range(256))),
        *(
            [],
            [[1], (2, [3])],
            (),
            {1, 2},
            frozenset({1}),
            {frozenset({1}), (2, "3")},
            range(3),
            range(9, -WORD * 2, -3),
        ),
        *({}, {1: "a", "1": "b", (1, 2): [None], None: {}}, {"tuple": [1]}, {"int": "ff"}),
    ],
    ids=lambda value: type(value).__name__,  # a set's own text differs from process to process
)
def test_a_value_comes_back_equal_and_of_its_type(value: object):
    found = loads(dumps(value))
    assert found == value and type(found) is type(value)
    assert b"\n" not in dumps(value)


def test_nan_comes_back_and_so_does_the_sign_of_zero():
    assert math.isnan(loads(dumps([math.nan]))[0])
    assert math.copysign(1, loads(dumps(-0.0))) == -1


def test_a_derived_type_comes_back_as_what_it_equals():
    point, colour = namedtuple("Point", "x y"), IntEnum("Colour", "RED")
    values = [Counter("aab"), OrderedDict(a=1), point(1, 2), colour(1), bytearray(b"x")]
    assert loads(dumps(values)) == [{"a": 2, "b": 1}, {"a": 1}, (1, 2), 1, b"x"]


@pytest.mark.parametrize("value", [object(), len, iter([]), [{1: object}], ...])
def test_what_is_no_plain_value_is_refused(value: object):
    with pytest.raises(TypeError):
        dumps(value)


@pytest.mark.parametrize(
    "text",
    [
        *('{"eval": "1"}', '{"int": 5}', '{"bytes": 5}', '{"bytes": "é€"}', '{"tuple": 1}', '{"set": [[]]}', "{}"),
        *('{"range": []}', '{"int": "1", "set": []}', '{"complex": ["a"]}', '{"dict": [1]}', "", "nul", "[" * 10**6),
    ],
    ids=lambda text: text[:20],
)
def test_text_of_a_stranger_is_an_ordinary_exception(text: str):
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError, RecursionError)):
        loads(text.encode())


def test_finite_values_without_tags_are_plain_json():
    assert json.loads(dumps([1, 2.5, "a", None, True, [[]]])) == [1, 2.5, "a", None, True, [[]]]
