"""Conversations as rows: every reply of the assistant is an example, whose prompt is all that was said before it.

{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}, ...]}
{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}, ...]}         ShareGPT
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lori_core.errors import DataError
from lori_core.tasks.files import Row
from lori_core.tasks.task import Example, Prompt, Turn

ROLES = {
    "system": "system",
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot"), "assistant"),
}
NAMES = {"system": "System", "user": "User", "assistant": "Assistant"}  # as plain text has them


def is_conversation(value: Any) -> bool:
    """Whether a cell holds turns of either shape."""
    return isinstance(value, list) and bool(value) and all(map(_turn, value))


def conversation_examples(row: Row, column: str, system: str = "") -> list[Example]:
    """One example for each reply; raises DataError where a turn has no text, or nobody answers.

    Args:
        system: what stands before a conversation that has no system text of its own.
    """
    turns = turns_of(row, column, row.values[column])
    if system and turns[0][0] != "system":
        turns = [("system", system), *turns]
    places = [place for place, (role, _) in enumerate(turns) if role == "assistant" and place > 0]
    if not places:
        raise DataError("no_reply", file=row.file, row=row.number, field=column)
    return [example_of(turns[:place], turns[place][1]) for place in places]


def turns_of(row: Row, column: str, value: Any) -> list[Turn]:
    if not is_conversation(value):
        expected = '[{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]'
        raise DataError(
            "wrong_field", file=row.file, row=row.number, field=column, got=repr(value)[:80], expected=expected
        )
    return [turn for each in value if (turn := _turn(each)) is not None]


def example_of(turns: Sequence[Turn], reply: str) -> Example:
    text, data = "", []
    for role, content in turns:
        text += f"{NAMES[role]}: "
        data.append((len(text), len(text) + len(content)))
        text += f"{content}\n"
    return Example(Prompt(f"{text}{NAMES['assistant']}:", data, turns), f" {reply}")


def _turn(value: Any) -> Turn | None:
    if not isinstance(value, Mapping):
        return None
    role, content = value.get("role", value.get("from")), value.get("content", value.get("value"))
    if ROLES.get(str(role)) is None or not isinstance(content, str) or not content.strip():
        return None
    return ROLES[str(role)], content.replace("\r\n", "\n").replace("\r", "\n")
