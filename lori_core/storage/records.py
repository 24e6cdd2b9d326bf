"""readable(record): what the program may rely on in an adapter's record.

A record is free: another program, or a later version of this one, writes into it what it likes. So an entry that is
read here and has another shape counts as absent, and the adapter can be shown, merged and handed out all the same.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat, JsonValue, TypeAdapter, ValidationError


class _Entry(BaseModel):
    """What must be there in an entry, and of which kind; more may be."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Base(_Entry):
    name: str | None = None
    revision: str | None = None
    fingerprint: str | None = None
    quantization: str | None = None


class _Parent(_Entry):
    name: str
    version: str | None = None
    id: str | None = None


class _Merge(_Entry):
    method: str
    weights: list[FiniteFloat]


class _Train(_Entry):
    steps: int
    batch_size: int
    learning_rate: FiniteFloat
    seed: int


class _Reduced(_Entry):
    rank: int
    error: FiniteFloat


class _Wording(_Entry):
    prompts: str | None = None
    template: str | None = None
    system: str | None = None
    chat: bool = False
    chat_template: str | None = None
    end: str | None = None


_SHAPES: dict[str, TypeAdapter[Any]] = {
    "base": TypeAdapter(_Base),
    "parents": TypeAdapter(list[_Parent]),
    "merge": TypeAdapter(_Merge),
    "train": TypeAdapter(_Train),
    "reduced": TypeAdapter(_Reduced),
    "imported": TypeAdapter(dict[str, JsonValue]),
    "task": TypeAdapter(str),
    "wording": TypeAdapter(_Wording),
}


def readable(record: dict[str, Any]) -> dict[str, Any]:
    """The record without those of its entries that have not the shape in which they are read."""
    return {key: value for key, value in record.items() if key not in _SHAPES or _fits(_SHAPES[key], value)}


def _fits(shape: TypeAdapter[Any], value: Any) -> bool:
    try:
        shape.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True
