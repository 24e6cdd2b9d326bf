"""Runs that came to an end, as pages offer them."""

from app.lab import Context
from lori_core.runs import Run, list_runs


def finished(page: Context, *kinds: str) -> list[Run]:
    """Those of the kinds, newest first."""
    return [run for run in list_runs(page.workspace.runs) if run.kind in kinds and run.state() == "finished"]


def label(run: Run) -> str:
    """When it was made, and of what: "2026-11-24 09:12 · math, code"."""
    tasks = run.config.get("tasks") or [run.config.get("task", "")]
    return f"{when(run.path.name)} · {', '.join(str(task).split('=')[0] for task in tasks)}"


def when(name: str) -> str:
    """That a run of that name was made, UTC: "2026-11-24 09:12"."""
    day, clock, *_ = name.split("-")
    return f"{day[:4]}-{day[4:6]}-{day[6:]} {clock[:2]}:{clock[2:4]}"
