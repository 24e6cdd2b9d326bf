"""Interference: what several adapters have in common, measure by measure, beside chance and beside one shared A."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from app.address import asked, kept_in_address
from app.before_training import before_training
from app.lab import AT_ONCE, PRIVATE, QUIET, Context, on_load
from app.plot import chart, comes_into_view, shown
from app.prompt_lens import prompt_lens
from app.shelf_views import choices, of_run
from lori_core import figures
from lori_core.results import PairMatrix, from_plain

MOST = 8  # adapters at once
MEASURES = ("jaccard", "cosine", "principal_angle", "function")

Answer = dict[str, Any]  # "own" and "control", each a PairMatrix as JSON


def build(page: Context) -> None:
    gr.Markdown(f"# {page.say('interference.title')}\n\n{page.say('interference.what')}")
    pick = gr.Dropdown(
        [], multiselect=True, max_choices=MOST, label=page.say("interference.pick"),
        info=page.say("interference.pick_info"),
    )  # fmt: skip
    go = gr.Button(page.say("interference.go"), variant="primary")
    gr.Markdown(page.say("interference.does_not_say"), elem_classes="empty")
    ask = gr.Button(page.say("interference.ask_function"), render=False)
    answers = gr.State({})
    views = {}
    for measure in MEASURES:
        with gr.Tab(page.say(f"interference.{measure}")):
            gr.Markdown(page.say(f"interference.{measure}.what"))
            if measure == "function":
                ask.render()
            views[measure] = _views(page, measure, answers)
    with gr.Tab(page.say("interference.lens")) as tab:
        gr.Markdown(page.say("interference.lens.what"))
        prompt_lens(page, pick, tab)
    with gr.Tab(page.say("interference.forecast")):
        gr.Markdown(page.say("interference.forecast.what"))
        before_training(page)

    def offer(request: gr.Request) -> Any:
        found = [entry for entry in page.ask("contents") if not entry["wrong"]]
        there = {entry["reference"] for entry in found}
        chosen = [each for each in asked(request, "adapters") if each in there]
        own = (chosen or of_run(found, request.query_params.get("run")))[:MOST]
        ready = [f"ready/{task}/lori_s" for task in ("nlu", "math", "code", "safety")]
        return gr.update(choices=choices(page, found), value=own if len(own) > 1 else ready)

    def measured(references: list[str] | None, operation: str) -> Iterator[Any]:
        if len(references or []) < 2:
            raise page.missing("interference.too_few")
        found: dict[str, Answer] = {}
        for answer in page.stream(operation, references=references):
            found = found | {answer["own"]["measure"]: answer}
            yield [found, *_drawn(page, found)]

    def in_weights(references: list[str] | None) -> Iterator[Any]:
        yield from measured(references, "in_weights")

    def in_function(references: list[str] | None, known: dict[str, Answer]) -> Iterator[Any]:
        for found, *_ in measured(references, "in_function"):
            both = known | found
            yield [both, *_drawn(page, both)]

    kept_in_address(pick, "adapters")
    drawn: list[Any] = [answers, *(chart for both in views.values() for chart in both)]
    on_load(offer, None, pick).then(in_weights, pick, drawn, **QUIET)
    go.click(in_weights, pick, drawn, **PRIVATE)
    ask.click(in_function, [pick, answers], drawn, **PRIVATE)


def _views(page: Context, measure: str, answers: gr.State) -> tuple[gr.HTML, gr.HTML]:
    """Band and matrix; a click on a pair shows where in the model it meets."""
    band, matrix, places = chart(page), chart(page), chart(page, name=f"pair-{measure}")

    def open_pair(found: dict[str, Answer], event: gr.EventData) -> Any:
        row, column = event.index
        own = from_plain(PairMatrix, found[measure]["own"])
        if row == column:
            return gr.skip()
        return shown(figures.pair_places(own, own.names[row], own.names[column], page.language))

    comes_into_view(matrix.select(open_pair, answers, places, **AT_ONCE), f"pair-{measure}")
    answers.change(lambda: None, None, places, **QUIET)
    return band, matrix


def _drawn(page: Context, found: dict[str, Answer]) -> list[Any]:
    """Band and matrix of each measure; None where it was not asked for or says nothing."""
    views: list[Any] = []
    for measure in MEASURES:
        if measure not in found:
            views += [None, None]
            continue
        own = from_plain(PairMatrix, found[measure]["own"])
        control = found[measure]["control"]
        band = figures.pair_band(own, control and from_plain(PairMatrix, control), page.language)
        views += [shown(band), shown(figures.pairs(None, own, page.language))]
    return views
