"""Wording: what stands around the rows of a task while an adapter learns it, and has to stand there when it serves.

{"prompts": "lab-1", "template": "", "system": "", "chat": True, "chat_template": "9f86d081", "end": "<|im_end|>"}
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from lori_core.bases.load import Base
from lori_core.tasks.task import Task

_ALWAYS = ("chat", "chat_template", "system", "end")  # the same whatever the task is; template, prompts: the task's own


def wording_of(base: Base, task: Task) -> dict[str, Any]:
    """JSON values only. chat_template: the first 8 letters of its sha256, where prompts stand in it; end: of an answer.

    Args:
        base, task: both as in_chat() gives them, where the task is learned in a chat template.
    """
    template = base.tokenizer.chat_template if task.chat else ""
    return {
        "prompts": task.prompts,
        "template": task.template,
        "system": task.system,
        "chat": task.chat,
        "chat_template": sha256(str(template).encode()).hexdigest()[:8] if template else "",
        "end": None if base.tokenizer.eos_token is None else str(base.tokenizer.eos_token),
    }


def wording_notes(record: Mapping[str, Any], base: Base, tasks: Iterable[Task]) -> tuple[str, ...]:
    """Translation keys of what is worded otherwise than an adapter with that record learned it."""
    trained = record.get("wording")
    if not isinstance(trained, Mapping):
        return ()
    differing: dict[str, None] = {}
    for task in tasks:
        same_rows = task.source == (record.get("data") or {}).get("source")
        now = wording_of(base, task)
        for key in (*_ALWAYS, *(("template", "prompts") if same_rows else ())):
            if key in trained and trained[key] != now[key]:
                differing[key] = None
    return tuple(f"note.other_wording.{key}" for key in differing)
