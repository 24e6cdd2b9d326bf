"""Worker: a process that answers the app's questions on adapters and models, so that the app imports no torch.

    python -m lori_core.service.worker STORE RUNS EXPORTS [FOLDER OF BASES ...]

A line of JSON in, {"operation": a name of OPERATIONS, "arguments": {...}}; a line out, {"result": ...} or, of a
LoRIError, {"error": [key, values]}. An operation that yields answers first with a line {"part": ...} each, and before
the next one waits for a line: MORE, or any other to end it. The process ends when its input does, and so with the
process that started it.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any

from pydantic import ValidationError, validate_call

from lori_core.config import Config, parse, refusal
from lori_core.errors import ConfigError, LoRIError
from lori_core.service.base_cache import BaseCache
from lori_core.service.comparing import Interference
from lori_core.service.forecasting import Forecasting
from lori_core.service.mask_views import MaskViews
from lori_core.service.prompt_lens import PromptLens
from lori_core.service.shelf import Shelf
from lori_core.service.trying import Trying
from lori_core.service.weighing import Weighing

MORE = "more"

# owner -> those of its methods that may be asked for; their annotations are what the arguments are checked against
OPERATIONS: dict[type, tuple[str, ...]] = {
    Shelf: (
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
    ),
    MaskViews: (
        "mask_layout",
        "mask_pair",
        "mask_grid",
        "mask_file",
        "mask_magnitudes",
        "mask_replay",
        "mask_code",
    ),
    Interference: ("in_weights", "in_function"),
    Forecasting: ("before_training", "spectrum"),
    BaseCache: ("device",),
    Weighing: ("merge_triangle", "measure_footprints"),
    Trying: ("example", "answers_of", "answer_of_merge"),
    PromptLens: ("prompt_lens",),
}

Operations = dict[str, Callable[..., Any]]


class Question(Config):
    """A line of input."""

    operation: str
    arguments: dict[str, Any]


def operations(shelf: Shelf) -> Operations:
    """Each by its name, checking its arguments."""
    bases = BaseCache()
    over_bases = (each(shelf, bases) for each in (Interference, Forecasting, Weighing, Trying, PromptLens))
    owners = (shelf, bases, MaskViews(shelf), *over_bases)
    return {name: validate_call(getattr(owner, name)) for owner in owners for name in OPERATIONS[type(owner)]}


def answers(known: Operations, line: str) -> Iterator[dict[str, Any]]:
    """The lines to a line, as JSON values."""
    try:
        question = parse(Question, line)
        if question.operation not in known:
            raise ConfigError("unknown_operation", operation=question.operation[:80], known=", ".join(known))
        try:
            found = known[question.operation](**question.arguments)
        except ValidationError as error:
            raise refusal(question.operation, signature(known[question.operation]).parameters, error) from None
        if isinstance(found, Iterator):
            for part in found:
                yield {"part": part}
            found = None
        yield {"result": found}
    except LoRIError as error:
        yield {"error": [error.key, error.plain_values()]}


def main() -> None:
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    known = operations(Shelf(*map(Path, sys.argv[1:])))

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer, ensure_ascii=False), file=output, flush=True)

    while line := sys.stdin.readline():
        for answer in answers(known, line):
            say(answer)
            if "part" in answer and sys.stdin.readline().strip() != MORE:
                say({"result": None})
                break


if __name__ == "__main__":
    main()
