"""The shelf as a process of its own, so that whoever asks it imports no torch.

    python -m lori_core.shelf_process STORE RUNS EXPORTS

A line of JSON in, {"do": an operation of Shelf, "with": its arguments}; a line out, {"result": ...} or, of a LoRIError,
{"error": [key, values]}. It ends when its input does, and so with the process that started it.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from lori_core.errors import LoRIError
from lori_core.shelf import Shelf

OPERATIONS = (
    "contents",
    "folders",
    "show",
    "diff",
    "verify",
    "tag",
    "delete",
    "check_name",
    "keep",
    "take_in",
    "export",
)


def answer(shelf: Shelf, line: str) -> str:
    """The line to a line."""
    asked = json.loads(line)
    try:
        if asked["do"] not in OPERATIONS:
            raise ValueError(asked["do"])
        return json.dumps({"result": getattr(shelf, asked["do"])(**asked["with"])}, ensure_ascii=False)
    except LoRIError as error:
        return json.dumps({"error": [error.key, plain(error.values)]}, ensure_ascii=False)


def plain(values: dict[str, object]) -> dict[str, Any]:
    """Values of an error as JSON has them; a message shows the same."""
    return {key: value if isinstance(value, int | float | str) else str(value) for key, value in values.items()}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    shelf = Shelf(*map(Path, sys.argv[1:4]))
    for line in sys.stdin:
        print(answer(shelf, line), file=answers, flush=True)


if __name__ == "__main__":
    main()
