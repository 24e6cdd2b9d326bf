"""Names of runs, their states and stages on pages."""

from app.following import Stage
from app.lab import Context
from app.run_labels import made, tasks_of
from lori_core.figures.wording import method_label
from lori_core.study.runs import Run
from lori_core.study.specs import JOBS
from lori_core.translate import messages


def stage_words(page: Context, stage: Stage) -> str:
    """A stage as people call it: "math · LoRI-D · calibration"; words that nobody knows stay as they are."""
    task, method, what = stage
    known = messages(page.language)
    if f"figures.method.{method.removesuffix('_shared')}" in known:
        method = method_label(method, page.language)
    if f"app.stage.{what}" in known:
        what = page.say(f"stage.{what}")
    return " · ".join(filter(None, [task, method, what]))


def stage_key(stage: Stage) -> str:
    """The same for programs, whatever the language: "math/lori_d/calibrate"."""
    return "/".join(filter(None, stage))


def run_words(page: Context, run: Run) -> str:
    """A run in a list: "2026-11-24 09:12 · study · running · math, code · 3f9a10"; the last tells namesakes apart."""
    name = run.path.name
    kind = page.say(f"kind.{run.kind}") if run.kind in JOBS else run.kind
    parts = (made(page, run), kind, state_words(page, run), tasks_of(run), name.rpartition("-")[2])
    return " · ".join(filter(None, parts))


def state_of(page: Context, run: Run) -> str:
    """As Run.state(), or "waiting" in the queue, or "starting"."""
    state = run.state()
    if state == "running":
        return state
    if page.jobs.is_waiting(run):
        return "waiting"
    return "starting" if page.jobs.is_starting(run) else state


def state_words(page: Context, run: Run) -> str:
    return page.say(f"state.{state_of(page, run)}")
