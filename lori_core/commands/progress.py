"""Progress on the terminal: bars where it is one, plain lines where it is a file or a pipe.

Overall: units of work, done of planned. Below: the stage that runs now, with loss, tokens/s and time left.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from lori_core.figures.wording import reasons
from lori_core.study.events import how_far, is_line, stage_of
from lori_core.translate import translate

OnEvent = Callable[[dict[str, Any]], None]


@contextmanager
def progress(console: Console, language: str) -> Iterator[OnEvent]:
    """What takes events and shows them, for the length of a with block."""
    if not console.is_terminal:
        yield Lines(console, language).on_event
        return
    label, note = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[note]}"))
    with Progress(label, BarColumn(), MofNCompleteColumn(), note, console=console) as bars:
        yield Bars(bars, language).on_event


class Bars:
    """Two bars: units and the stage."""

    def __init__(self, bars: Progress, language: str) -> None:
        self.bars, self.language = bars, language
        self.units: TaskID | None = None
        self.done: set[str] = set()  # a unit that two others need tells twice that it is done
        self.stage: TaskID | None = None

    def on_event(self, event: dict[str, Any]) -> None:
        match event["kind"]:
            case "base":
                self.bars.console.print(base_line(event, self.language), markup=False, highlight=False)
            case "left_out":
                self.bars.console.print(left_out_line(event, self.language), markup=False, highlight=False)
            case "plan":
                self.done = set(event["done"])
                label = translate("command.units", self.language)
                self.units = self.bars.add_task(label, total=event["units"], completed=len(self.done), note="")
            case "unit" if self.units is not None:
                self.done |= {event["name"]} if event["state"] == "done" else set()
                self.bars.update(self.units, completed=len(self.done), note=event["name"])
            case "step" | "evaluate":
                done, total = how_far(event)
                if self.stage is None:
                    self.stage = self.bars.add_task("", note="")
                self.bars.update(
                    self.stage,
                    description=stage_name(event),
                    completed=done,
                    total=total,
                    note=details(event, self.language),
                )


class Lines:
    """Lines that a log can keep: where a unit begins and ends, and about every tenth of a stage."""

    def __init__(self, console: Console, language: str) -> None:
        self.console, self.language = console, language
        self.planned = 0
        self.done: set[str] = set()  # a unit that two others need tells twice that it is done

    def on_event(self, event: dict[str, Any]) -> None:
        match event["kind"]:
            case "base":
                self._print(base_line(event, self.language))
            case "left_out":
                self._print(left_out_line(event, self.language))
            case "plan":
                self.planned, self.done = event["units"], set(event["done"])
            case "unit" if event["state"] == "done" and event["name"] not in self.done:
                self.done.add(event["name"])
                self._print(f"[{len(self.done)}/{self.planned}] {event['name']}")
            case "step" | "evaluate":
                if is_line(event):
                    done, total = how_far(event)
                    self._print(f"  {stage_name(event)}  {done}/{total}  {details(event, self.language)}".rstrip())

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def base_line(event: dict[str, Any], language: str) -> str:
    """Which base computes where and in which precision."""
    return translate("command.base", language, **{key: event[key] for key in ("name", "device", "precision")})


def left_out_line(event: dict[str, Any], language: str) -> str:
    """How many rows of a task are not used, and why."""
    return translate("command.left_out", language, task=event.get("task", ""), each=reasons(event["rows"], language))


def stage_name(event: dict[str, Any]) -> str:
    """ "math lori_s train", "math evaluate": the words of specs and folders."""
    return " ".join(filter(None, stage_of(event)))


def details(event: dict[str, Any], language: str) -> str:
    """Loss, speed and time left of a training step; nothing of other events."""
    if event["kind"] != "step":
        return ""
    minutes, seconds = divmod(round(event["seconds_left"]), 60)
    return translate(
        "command.step",
        language,
        loss=f"{event['loss']:.3f}",
        speed=f"{event['tokens_per_second']:,.0f}",
        left=f"{minutes}:{seconds:02}",
    )
