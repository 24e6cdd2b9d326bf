"""Run of a command: made and carried out with progress on the screen; Ctrl-C stops it so that `lori resume` goes on."""

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from lori_core.commands.telling import console, say
from lori_core.config import Config
from lori_core.errors import LoRIError, RunError, Stopped
from lori_core.processes import own_folder
from lori_core.study.layout import Layout
from lori_core.study.runs import Run
from lori_core.study.specs import JOBS

STOPPED = 130  # exit code


def start(out: Path, language: str, kind: str, model: type[Config], **values: Any) -> None:
    """A new run with these settings, which are checked before its folder is made."""
    config = model(**values).model_dump(mode="json")
    with own_folder(out) as place:
        carry_out_fresh(Run.create(place, kind, config), language)


def carry_out_fresh(run: Run, language: str) -> None:
    """A new run; one that is refused before any work began is not left behind.

    A misspelt task, column or base is refused before torch is loaded, which takes many seconds.
    """
    from lori_core.study.there import check_there

    try:
        if run.kind in JOBS:  # else it is refused where it is carried out
            check_there(JOBS[run.kind](**run.config))
        carry_out(run, language)
    except LoRIError:
        if all(event["kind"] in ("state", "base", "plan", "left_out") for event in run.events()):
            shutil.rmtree(run.path, ignore_errors=True)  # somebody else may have removed it
        raise


def carry_out(run: Run, language: str) -> None:
    """Execute with progress on the screen; exit code 130 where it was stopped."""
    say("command.run", language, path=run.path)
    try:
        with _asked_to_stop(language) as should_stop:
            from lori_core.commands.progress import progress
            from lori_core.study.jobs import execute
            from lori_core.training.hooks import Hooks

            with progress(console(), language) as on_event:
                made = execute(run, Hooks(on_event, should_stop))
    except (Stopped, KeyboardInterrupt):
        say("command.stopped", language, path=run.path)
        raise typer.Exit(STOPPED) from None
    show_result(run, language)
    if made is not None and run.kind != "study":
        say("command.exported" if run.kind == "export" else "command.adapter", language, path=made)


@contextmanager
def _asked_to_stop(language: str) -> Iterator[Callable[[], bool]]:
    """What says whether Ctrl-C or SIGTERM asked the work to stop. A second one ends it at once."""
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(number, signal.default_int_handler)
        say("command.stopping", language)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show_result(run: Run, language: str) -> None:
    from lori_core.commands.tables import result_table

    try:
        console().print(result_table(run, language))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):  # JSON of another shape
        raise RunError("damaged_result", path=run.path / "result.json") from None
    report = Layout(run.path).report(language)
    if report.exists():
        say("command.report", language, path=report)
    say("command.same", language, path=run.path)
