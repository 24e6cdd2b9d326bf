"""Comparison on the page Runs: two runs by scores, curves and settings; specs in and out as files."""

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from app.following import end_of, follow
from app.lab import PRIVATE, QUIET, Context
from app.plot import chart, shown
from app.run_labels import when
from app.run_results import differences_of_scores
from app.specs import checked_spec, differences
from app.tables import pairs
from app.wording import stage_key, stage_words
from lori_core import figures
from lori_core.errors import LoRIError
from lori_core.files import write_atomic
from lori_core.study.runs import LARGEST_SPEC, Run


def comparing(page: Context, ticked: gr.Textbox) -> None:
    """The part of the page that shows the two runs whose names the text holds, and nothing where there are fewer."""
    title, scores = gr.HTML(), gr.HTML()
    curves, table = chart(page), gr.HTML()

    def compare(names: str) -> Any:
        pair = names.split()
        if len(pair) != 2:
            return "", "", None, ""
        try:
            base, run = (page.workspace.run(name) for name in pair)
        except LoRIError as error:
            raise page.error(error) from None
        label = dict(zip(("first", "second"), (escape(_name(each)) for each in (base, run)), strict=True))
        first, second = _curves(page, base, "compare.first"), _curves(page, run, "compare.second")
        both = {label: curve for label, _, curve in (*first, *second)}
        series = {label: saved for label, saved, _ in (*first, *second)}
        drawn = figures.live_losses(both, page.language, series=series)
        heading = f"<h2>{escape(page.say('compare.title'))}</h2><p>{page.say('compare.which', **label)}</p>"
        scored = differences_of_scores(page, run, base)
        return heading, scored, shown(drawn) if both else None, _table(page, run, base)

    ticked.change(compare, ticked, [title, scores, curves, table], **QUIET)


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
        try:
            write_atomic(place, end_of(run.path / "spec.json", LARGEST_SPEC))
        except LoRIError as error:  # no gr.Error: the button would go on to hand out the spec of the run before
            gr.Warning(page.in_words(error))
            return gr.update(value=None, interactive=False)
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


def _name(run: Run) -> str:
    """With what tells namesakes apart."""
    return " · ".join(filter(None, [run.label[0], when(run.path.name), run.path.name.rpartition("-")[2]]))


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
    header = [page.say(f"compare.{each}") for each in ("field", "first", "second")]
    return pairs(header, ([page.lab.without_places(cell) for cell in row] for row in rows))
