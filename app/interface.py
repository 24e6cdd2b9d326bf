"""Interface for programs: named endpoints of the app at /en, which any client of gradio's can call; docs/programs.md.

A program may start, see and read what its user's pages may: the same workspace, checks and queue.
"""

import json

from gradio.events import api

from app.following import follow
from app.lab import Context
from app.wording import state_of
from lori_core.config import parse
from lori_core.errors import ConfigError, LoRIError
from lori_core.study.runs import Run
from lori_core.study.specs import JOBS

ENDPOINTS = ("start", "state", "result", "forecast")


def offer(context: Context) -> None:
    """Adds the endpoints to the blocks that are being built."""
    interface = Interface(context)
    for name in ENDPOINTS:
        api(getattr(interface, name), api_name=name)


class Interface:
    def __init__(self, context: Context) -> None:
        self._context = context

    def start(self, kind: str, config: dict) -> str:
        """Put a run into the queue: a kind and settings as in the file that `lori run` takes. Returns its name."""
        try:
            if not isinstance(kind, str) or kind not in JOBS:
                raise ConfigError("unknown_kind", kind=str(kind)[:80], known=", ".join(JOBS))
            settings = parse(JOBS[kind], json.dumps(config))
        except LoRIError as error:
            raise self._context.error(error) from None
        return self._context.submit(kind, settings)

    def state(self, run: str) -> dict:
        """Where a run is: its state, how many of its units are done and planned, seconds left in its stage."""
        known = self._run(run)
        found, state = follow(known), state_of(self._context, known)
        left = found.pace.seconds_left if found.pace and state == "running" else None
        said = "queued" if state == "waiting" else state
        return {"state": said, "done": len(found.done), "planned": found.planned, "seconds_left": left}

    def result(self, run: str) -> dict:
        """What a finished run measured: the content of its result.json."""
        try:
            return json.loads(self._run(run).result())
        except LoRIError as error:
            raise self._context.error(error) from None

    def forecast(self, tasks: list[str], rank: int = 32) -> dict:
        """Cross-talk before any training, on the embedded base: for each blend of A, from random (0) to conditioned
        (1), how much of each task (column) the A of each (row) lets through, its own task 1."""
        (answer,) = self._context.stream("before_training", tasks=tasks, rank=rank)
        forecasts = answer["forecasts"]
        return {
            "tasks": forecasts[0]["names"],
            "blends": [place / (len(forecasts) - 1) for place in range(len(forecasts))],
            "values": [each["values"] for each in forecasts],
        }

    def _run(self, name: str) -> Run:
        try:
            return self._context.workspace.run(str(name))
        except LoRIError as error:
            raise self._context.error(error) from None
