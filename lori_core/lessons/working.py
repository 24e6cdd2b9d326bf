"""The line below a cell that works for long: for how long, and how far it has come. It goes once the cell has run.

It is plain text that is replaced in place (an updated display), which every front end knows: JupyterLab, VS Code, Colab
and nbclient; a progress bar of ipywidgets is lost in exports. What is left of it in a notebook is an empty output.
"""

from functools import cache
from time import monotonic
from typing import Any

import torch
from IPython.core.getipython import get_ipython
from IPython.display import DisplayHandle, display

from lori_core.bases.load import Base
from lori_core.training.hooks import Hooks
from lori_core.translate import translate

PATIENCE = 3.0  # seconds that a cell works before the line comes
BETWEEN = 1.0  # seconds between two of its states
GONE = {"text/html": "", "text/plain": ""}


class Line:
    """That of the cell which runs now."""

    def __init__(self) -> None:
        self.begin()

    def begin(self, *_: Any) -> None:
        """A cell begins."""
        self.started = self.said = monotonic()
        self.steps = self.passes = 0
        self.shown: DisplayHandle | None = None

    def say(self, key: str, language: str, **values: int) -> None:
        """The text of `lessons.working.<key>`, where it is time for it."""
        now = monotonic()
        if now - self.started < PATIENCE or now - self.said < BETWEEN:
            return
        self.said = now
        text = translate(f"lessons.working.{key}", language, seconds=f"{now - self.started:.0f}", **values)
        if self.shown is None:
            self.shown = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self.shown.update({"text/plain": text}, raw=True)

    def end(self, *_: Any) -> None:
        """The cell has run, or has failed."""
        if self.shown is not None:
            self.shown.update(GONE, raw=True)


@cache
def _line() -> Line | None:
    """Of this kernel; None where code runs outside of one."""
    shell = get_ipython()
    if shell is None:
        return None
    line = Line()
    shell.events.register("pre_run_cell", line.begin)
    shell.events.register("post_run_cell", line.end)
    return line


def watched(base: Base, language: str) -> Base:
    """The base itself; from now on cells that run it for long say how often, learning and answering."""
    line = _line()
    if line is None:
        return base

    def counted(*_: Any) -> None:
        if torch.is_grad_enabled():
            line.steps += 1
        else:
            line.passes += 1
        line.say("base", language, steps=line.steps, passes=line.passes)

    base.model.register_forward_hook(counted)
    return base


def told(language: str) -> Hooks:
    """Hooks of a study, so that the cell that runs it says how many of its parts are done."""
    line, done, units = _line(), set(), 0

    def on_event(event: dict[str, Any]) -> None:
        nonlocal done, units
        if event["kind"] == "plan":
            done, units = set(event["done"]), event["units"]
        elif event["kind"] == "unit" and event["state"] == "done":
            done.add(event["name"])
        if line is not None and units:
            line.say("study", language, done=len(done), units=units)

    return Hooks(on_event)
