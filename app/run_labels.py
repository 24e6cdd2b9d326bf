"""Labels of runs in pickers, and lists of finished ones."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from app.lab import Context
from lori_core.study.examples import is_example
from lori_core.study.runs import Run
from lori_core.tasks.registry import name_of


def finished(page: Context, *kinds: str) -> list[Run]:
    """Those of the kinds, newest first, and last the examples."""
    return [run for run in page.workspace.shown_runs() if run.kind in kinds and run.state() == "finished"]


def label(page: Context, run: Run) -> str:
    """When it was made, and of what: "2026-11-24 09:12 · math, code"."""
    return " · ".join(filter(None, [made(page, run), tasks_of(run)]))


def made(page: Context, run: Run) -> str:
    """When, or that it is an example."""
    return page.say("runs.example") if is_example(run) else when(run.path.name)


def told_apart(choices: Sequence[tuple[str, str]], mark: Callable[[str], str]) -> list[tuple[str, str]]:
    """The (label, value) of a picker; a label that stands there twice is followed by the mark of its value."""
    count = Counter(label for label, _ in choices)
    return [(f"{label} · {mark(value)}" if count[label] > 1 else label, value) for label, value in choices]


def run_choices(runs: Sequence[Run], label: Callable[[Run], str]) -> list[tuple[str, str]]:
    """For a picker of runs: label -> name, namesakes told apart by the random part of their names."""
    return told_apart([(label(run), run.path.name) for run in runs], lambda name: name.rpartition("-")[2])


def tasks_of(run: Run) -> str:
    """Their names; empty where a run has none, as a merge."""
    tasks = run.config.get("tasks") or run.config.get("task") or ()
    each = tasks if isinstance(tasks, list | tuple) else [tasks]
    return ", ".join(name_of(str(task)) for task in each)


def when(name: str) -> str:
    """That a run of that name was made, by this machine's clock: "2026-11-24 09:12"; another name as it is."""
    try:
        made = datetime.strptime(name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
        return f"{made.astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return name
