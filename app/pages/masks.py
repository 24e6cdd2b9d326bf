"""Masks: where an adapter keeps entries, one B down to its bits, two tasks beside each other, other sparsities."""

from typing import Any

import gradio as gr

from app.address import asked, kept_in_address
from app.lab import AT_ONCE, PRIVATE, QUIET, Context, alert, on_load
from app.plot import chart, comes_into_view, shown
from app.shelf_views import choices, of_run
from lori_core import figures
from lori_core.results import MaskGrid, MaskLayout, MaskPair, from_plain

STRETCH = 128  # outputs that are shown entry by entry: as many as stay wide enough to be told apart


def build(page: Context) -> None:
    gr.Markdown(f"# {page.say('masks.title')}\n\n{page.say('masks.what')}")
    with gr.Row():
        pick = gr.Dropdown([], label=page.say("masks.pick"), interactive=True)
        beside = gr.Dropdown([], label=page.say("masks.beside"), interactive=True)
    other = gr.Checkbox(False, label=page.say("masks.other"))
    sparsity = gr.Slider(
        0, 0.99, 0.9, step=0.01, label=page.say("masks.sparsity"), info=page.say("masks.sparsity_info"),
        visible=False, interactive=True,
    )  # fmt: skip
    missing = gr.Markdown(page.say("masks.no_calibration"), visible=False, elem_classes="empty")
    overview, pair = chart(page), chart(page)
    refusal = gr.HTML(padding=False)
    module = gr.Dropdown([], label=page.say("masks.module"), interactive=True)
    pooled = chart(page, name="one-b")
    first = gr.Number(
        None, precision=0, minimum=0, label=page.say("masks.first"),
        info=page.say("masks.first_info", count=STRETCH),
    )  # fmt: skip
    bits = chart(page, name="bits")
    _download(page, pick, other, sparsity)

    def offer(request: gr.Request) -> Any:
        found = [entry for entry in page.ask("contents") if not entry["wrong"] and entry["method"] != "lora"]
        names = choices(page, found)
        there = [reference for _, reference in names]
        own = of_run(found, request.query_params.get("run"))
        value = next((each for each in [*asked(request, "adapter"), *own] if each in there), _first_masked(found))
        return gr.update(choices=names, value=value), _beside(page, names, value, None)

    def others(reference: str, beside: str | None) -> Any:
        found = [entry for entry in page.ask("contents") if not entry["wrong"] and entry["method"] != "lora"]
        return _beside(page, choices(page, found), reference, beside)

    def adapt(reference: str) -> Any:
        """What this adapter allows: other sparsities, its modules."""
        layout = _layout(page, reference, None)
        modules = list(layout.kept)
        return (
            gr.update(visible=layout.calibrated, value=False),
            gr.update(visible=False, value=min(0.99, round(layout.sparsity, 2))),
            gr.update(visible=not layout.calibrated),
            gr.update(choices=modules, value=max(modules, key=lambda module: layout.kept[module])),
        )

    def look(reference: str | None, beside: str | None, other: bool, sparsity: float) -> Any:
        if not reference:
            return None, None
        at = sparsity if other else None
        layout = figures.mask_layout(_layout(page, reference, at), page.language)
        if not beside:
            return shown(layout), None
        found = page.ask("mask_pair", references=[reference, beside], sparsity=at)
        return shown(layout), shown(figures.mask_pair(from_plain(MaskPair, found), page.language))

    def grid(module: str | None, reference: str | None, beside: str | None, other: bool, sparsity: float) -> Any:
        return _grid(page, module, reference, beside, sparsity if other else None)

    def near(
        first: float | None, module: str | None, reference: str | None, beside: str | None, other: bool, sparsity: float
    ) -> Any:
        if first is None:
            return None
        at = sparsity if other else None
        return _grid(page, module, reference, beside, at, first=max(0, int(first)), count=STRETCH)

    def open_module(
        reference: str, beside: str | None, other: bool, sparsity: float, event: gr.EventData
    ) -> tuple[Any, Any, str]:
        row, column = event.index
        try:
            found = figures.module_at(_layout(page, reference, None).kept, row, column)
            return (found, grid(found, reference, beside, other, sparsity), "") if found else (gr.skip(), gr.skip(), "")
        except gr.Error as error:  # the adapter was deleted meanwhile
            return gr.skip(), gr.skip(), alert(error.message)

    def open_bits(event: gr.EventData) -> int:
        return max(0, int(event.x))

    what: list[Any] = [pick, beside, other, sparsity]
    given: list[Any] = [module, *what]
    drawn: list[Any] = [overview, pair]

    def redraw(event: Any) -> None:
        (
            event.then(look, what, drawn, **QUIET)
            .then(grid, given, pooled, **QUIET)
            .then(near, [first, *given], bits, **QUIET)
        )

    redraw(on_load(offer, None, [pick, beside]).then(adapt, pick, [other, sparsity, missing, module], **QUIET))
    kept_in_address(pick, "adapter")
    pick.input(others, [pick, beside], beside, **QUIET)
    redraw(pick.input(adapt, pick, [other, sparsity, missing, module], **QUIET))
    redraw(other.input(lambda on: gr.update(visible=on), other, sparsity, **AT_ONCE))
    redraw(beside.input(lambda: None, None, None, **QUIET))
    redraw(sparsity.input(lambda: None, None, None, trigger_mode="always_last", **QUIET))
    module.input(grid, given, pooled, **QUIET).then(near, [first, *given], bits, **QUIET)
    first.change(near, [first, *given], bits, **QUIET)
    for place in drawn:
        opened = place.select(open_module, what, [module, pooled, refusal], **AT_ONCE)
        comes_into_view(opened, "one-b").then(near, [first, *given], bits, **QUIET)
    comes_into_view(pooled.select(open_bits, None, first, **AT_ONCE), "bits")


def _download(page: Context, pick: gr.Dropdown, other: gr.Checkbox, sparsity: gr.Slider) -> None:
    def make(reference: str, other: bool, sparsity: float, form: str) -> Any:
        path = page.ask("mask_file", reference=reference, sparsity=sparsity if other else None, form=form)
        return gr.update(value=path, visible=True)

    form = gr.Radio(
        [(page.say(f"masks.form.{each}"), each) for each in ("safetensors", "npz")],
        value="safetensors",
        label=page.say("masks.form"),
    )
    button = gr.Button(page.say("masks.make_file"))
    file = gr.File(label=page.say("masks.file"), visible=False, interactive=False)
    button.click(make, [pick, other, sparsity, form], file, **PRIVATE)


def _beside(page: Context, names: list[tuple[str, str]], reference: str, before: str | None) -> Any:
    """The choice of a second adapter: any but the first, or none."""
    rest = [(label, each) for label, each in names if each != reference]
    value = before if before in [each for _, each in rest] else ""
    return gr.update(choices=[(page.say("masks.alone"), ""), *rest], value=value)


def _first_masked(entries: list[dict[str, Any]]) -> str:
    """One with a mask to look at; there are always ready-made ones."""
    masked = [entry for entry in entries if entry["method"] == "lori_s" and not entry["order"]]
    return (masked or entries)[0]["reference"]


def _layout(page: Context, reference: str, sparsity: float | None) -> MaskLayout:
    return from_plain(MaskLayout, page.ask("mask_layout", reference=reference, sparsity=sparsity))


def _grid(
    page: Context, module: str | None, reference: str | None, beside: str | None, sparsity: float | None, **part: int
) -> Any:
    if not module or not reference:
        return None
    references = [reference, beside] if beside else [reference]
    found = page.ask("mask_grid", references=references, module=module, sparsity=sparsity, **part)
    return shown(figures.mask_grid(from_plain(MaskGrid, found), page.language))
