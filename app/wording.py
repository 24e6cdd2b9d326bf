"""What runs and their stages are called on pages."""

from app.following import Stage
from app.lab import Context
from lori_core.figures.drawing import method_label
from lori_core.runs import Run


def stage_words(page: Context, stage: Stage) -> str:
    """A stage as people call it: "math · LoRI-D · calibration"."""
    task, method, what = stage
    named = method_label(method, page.language) if method else ""
    return " · ".join(filter(None, [task, named, page.say(f"stage.{what}") if what else ""]))


def state_of(page: Context, run: Run) -> str:
    return "waiting" if page.jobs.is_waiting(run) else run.state()


def state_words(page: Context, run: Run) -> str:
    return page.say(f"state.{state_of(page, run)}")
