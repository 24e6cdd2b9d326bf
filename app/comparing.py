"""Comparison on the page Runs: a run beside a pinned one, differences of settings, specs in and out as files."""

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from app.following import end_of, follow
from app.lab import PRIVATE, QUIET, Context
from app.plot import chart, shown
from app.specs import checked_spec, differences
from app.tables import pairs
from app.wording import stage_key, stage_words
from lori_core import figures
from lori_core.errors import LoRIError
from lori_core.files import write_atomic
from lori_core.study.runs import LARGEST_SPEC, Run


def comparing(page: Context, pick: gr.Dropdown) -> gr.Dropdown:
    """The part of the page; returns the choice of the pinned run, whose choices the page keeps up to date."""
    with gr.Accordion(page.say("compare.title"), open=False):
        pinned = gr.Dropdown([], label=page.say("compare.pinned"), interactive=True, allow_custom_value=True)
        curves, table = chart(page), gr.HTML()

    def compare(name: str | None, other: str | None) -> Any:
        if not name or not other:
            return None, ""
        try:
            run, base = page.workspace.run(name), page.workspace.run(other)
        except LoRIError as error:
            raise page.error(error) from None
        pinned, own = _curves(page, base, "compare.is_pinned"), _curves(page, run, "compare.is_shown")
        both = {label: curve for label, _, curve in (*pinned, *own)}
        series = {label: saved for label, saved, _ in (*pinned, *own)}
        drawn = figures.live_losses(both, page.language, series=series)
        return shown(drawn) if both else None, _table(page, run, base)

    gr.on([pick.change, pinned.change], compare, [pick, pinned], [curves, table], **QUIET)
    return pinned


def specs(page: Context, pick: gr.Dropdown, name: gr.Textbox) -> Any:
    """A spec as a file, out and in; returns the event after which `name` holds the new run's name."""
    with gr.Row():
        export = gr.DownloadButton(page.say("specs.export"))
        given = gr.UploadButton(page.say("specs.import"), file_types=[".json"])

    def prepare(chosen: str | None) -> Any:
        if not chosen:
            return gr.update(value=None, interactive=False)
        try:
            run = page.workspace.run(chosen)
        except LoRIError:
            return gr.update(value=None, interactive=False)
        place = page.workspace.exports / f"{run.path.name}.json"
        write_atomic(place, end_of(run.path / "spec.json", LARGEST_SPEC))
        return gr.update(value=str(place), interactive=True)

    def take(file: str) -> str:
        try:
            here = page.workspace
            return page.jobs.submit(here.runs, *checked_spec(Path(file), here.reach)).path.name
        except LoRIError as error:
            raise page.error(error) from None
        finally:
            Path(file).unlink(missing_ok=True)

    pick.change(prepare, pick, export, **QUIET)
    return given.upload(take, given, name, **PRIVATE)


def _curves(page: Context, run: Run, whose: str) -> list[tuple[str, str, Any]]:
    """(label, name in saved data, curve) of each stage."""
    losses = follow(run).losses.items()
    known = [(stage, curve) for stage, curve in losses if curve]
    return [
        (f"{page.say(whose)}: {stage_words(page, stage)}", f"{run.path.name}/{stage_key(stage)}", curve)
        for stage, curve in known
    ]


def _table(page: Context, run: Run, base: Run) -> str:
    rows = differences(base, run)
    if not rows:
        return f"<p>{escape(page.say('compare.same'))}</p>"
    header = [page.say(f"compare.{each}") for each in ("field", "is_pinned", "is_shown")]
    return pairs(header, ([page.lab.without_places(cell) for cell in row] for row in rows))
