"""Plain Python values as JSON: what goes to a program and comes back, and nothing that could run.

dumps(value)  numbers (inf, nan and integers of any length too), texts, bytes, None, lists, tuples, sets, dicts, ranges
loads(text)   such values again, whoever wrote the text
"""

import json
from collections.abc import Callable
from typing import Any

WORD = 2**63  # larger integers are written in hexadecimal: decimal digits take time that grows with their square

MADE: dict[str, Callable[[Any], object]] = {
    "int": lambda digits: int(digits, 16),
    "bytes": lambda text: text.encode("latin-1"),
    "complex": lambda parts: complex(*parts),
    "range": lambda ends: range(*ends),
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
}


def dumps(value: object) -> bytes:
    """One line. A value of a derived type is written as what it equals: a Counter as a dict. TypeError for others."""
    # Surrogates stay as they are: written as escapes, two halves would be read as one character.
    return json.dumps(_tagged(value), ensure_ascii=False).encode("utf-8", "surrogatepass")


def loads(text: bytes) -> Any:
    """The value. Text that dumps did not write raises an Exception of one kind or another, and nothing worse."""
    return json.loads(text.decode("utf-8", "surrogatepass"), object_hook=_made)


def _made(tagged: dict[str, Any]) -> object:
    ((tag, content),) = tagged.items()
    return MADE[tag](content)


def _tagged(value: Any) -> object:
    match value:
        case None | bool():
            return value
        case int():
            return int(value) if abs(value) < WORD else {"int": hex(value)}
        case float():
            return float(value)
        case str():
            return str(value)
        case bytes() | bytearray():
            return {"bytes": value.decode("latin-1")}
        case complex():
            return {"complex": [value.real, value.imag]}
        case range():
            return {"range": [_tagged(end) for end in (value.start, value.stop, value.step)]}
        case dict():
            return {"dict": [[_tagged(key), _tagged(each)] for key, each in value.items()]}
        case list():
            return [_tagged(each) for each in value]
        case tuple() | set() | frozenset():
            tag = next(kind.__name__ for kind in (tuple, set, frozenset) if isinstance(value, kind))
            return {tag: [_tagged(each) for each in value]}
    raise TypeError(type(value).__name__)
