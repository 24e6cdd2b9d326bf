"""Merge triangle of the page Merge: all merges of two or three adapters at once, and an answer at chosen weights."""

import shlex
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import gradio as gr

from app.lab import PRIVATE, QUIET, Context, alert
from app.plot import chart, shown
from app.shelf_views import choices
from lori_core import figures
from lori_core.results import WeightedMerges, from_plain

SEVERAL = (2, 3)  # adapters whose merges a plane can show
# The weights of the chosen point, the largest made 1: only ratios count, and a merge of small weights would do little.
# In the browser, so that sliders follow a drag at once and no late answer overtakes a newer one. What comes before the
# sliders' values stays as it is.
CHOOSE = """(...values) => {
  const { place, meta } = window.chosenPoint, weights = meta.weights[place];
  const shares = weights.map((each) => Math.round((100 * each) / Math.max(...weights)) / 100);
  return values.map((value, at) => shares[at - BEFORE] ?? value);
}"""


def merge_triangle(page: Context, pick: gr.Dropdown, entries: gr.State, sliders: Sequence[gr.Slider]) -> Any:
    """Built in its place on the page.

    pick: references of the adapters; entries: what page.ask("contents") said; sliders: the adapters' weights.

    Returns:
        what to do, as (handler, inputs, outputs), once other adapters are chosen; and what a chosen merge is told to,
        called with a handler, what it takes before the sliders' values, and what it gives.
    """
    gr.Markdown(f"## {page.say('merge.triangle')}\n\n{page.say('merge.triangle_what')}")
    hint = gr.HTML()
    measure = gr.Button(page.say("merge.measure"), visible=False)
    refusal = gr.HTML(padding=False)
    place = chart(page)
    prompt = gr.Textbox("", lines=3, label=page.say("merge.prompt"), info=page.say("merge.answer_info"))
    ask = gr.Button(page.say("merge.answer"))
    answer = gr.HTML()

    def look(references: list[str] | None, entries: list[dict[str, Any]]) -> Any:
        drawn, hint, measurable = triangle_of(page, references or [], entries)
        return drawn, hint, gr.update(visible=measurable)

    def footprints(references: list[str] | None) -> str:
        try:
            list(page.stream("measure_footprints", references=references))
        except gr.Error as error:
            return alert(error.message)
        return ""

    def write(references: list[str] | None, prompt: str, *weights: float) -> Iterator[str]:
        if not prompt.strip():
            raise page.missing("try.no_prompt")
        if not references:
            raise page.missing("merge.triangle_few")
        given = {"references": references, "weights": weights[: len(references)], "prompt": prompt}
        for text in page.stream("answer_of_merge", **given):
            yield f'<pre class="answer" tabindex="0">{escape(text.strip())}</pre>'

    def write_again(references: list[str] | None, prompt: str, *weights: float) -> Iterator[str]:
        """After a drag, where there is something to answer."""
        if references and prompt.strip():
            yield from write(references, prompt, *weights)

    what: list[Any] = [place, hint, measure]
    asked: list[Any] = [pick, prompt, *sliders]
    place.select(None, list(sliders), list(sliders), js=CHOOSE.replace("BEFORE", "0"), api_visibility="private")
    ask.click(write, asked, answer, **QUIET)
    place.release(write_again, asked, answer, js=CHOOSE.replace("BEFORE", "2"), trigger_mode="always_last", **QUIET)

    def chosen(handler: Any, inputs: list[Any], outputs: Any) -> None:
        js = CHOOSE.replace("BEFORE", str(len(inputs)))
        place.select(handler, [*inputs, *sliders], outputs, js=js, trigger_mode="always_last", **QUIET)

    measure.click(footprints, pick, refusal, **PRIVATE).then(look, [pick, entries], what, **QUIET)
    return (look, [pick, entries], what), chosen


def triangle_of(
    page: Context, references: Sequence[str], entries: Sequence[dict[str, Any]]
) -> tuple[str | None, str, bool]:
    """The chart of the merges; what stands in its place, if it cannot be drawn; and whether to measure would help.

    A refusal is answered and not raised: the triangle of the adapters that were chosen before must not stay.
    """
    by_reference = {entry["reference"]: entry for entry in entries}
    chosen = [each for each in references if each in by_reference]
    if len(chosen) not in SEVERAL:
        return None, f'<p class="empty">{escape(page.say("merge.triangle_few"))}</p>', False
    names = [by_reference[each]["task"] for each in chosen]
    if len({*names, ""}) <= len(names):  # no task, or one of two adapters
        names = [label for label, _ in choices(page, [by_reference[each] for each in chosen])]
    try:
        said = page.ask("merge_triangle", references=chosen, names=names)
    except gr.Error as error:
        return None, alert(error.message), False
    if "missing" in said:
        return None, _missing(page, said["missing"]), True
    merges = from_plain(WeightedMerges, said["found"])
    return shown(figures.merge_triangle(merges, page.language)), "", False


def _missing(page: Context, tasks: Sequence[str]) -> str:
    if page.lab.named:  # who has a name has no terminal there
        return f'<p class="empty">{escape(page.say("merge.triangle_missing_named", tasks=", ".join(tasks)))}</p>'
    said = escape(page.say("merge.triangle_missing", tasks=", ".join(tasks)))
    command = shlex.join(["lori", "footprint", *tasks, "--store", str(page.workspace.store)])
    return f'<p class="empty">{said}<br><code>{escape(command)}</code></p>'
