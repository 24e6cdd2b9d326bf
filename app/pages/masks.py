"""Masks: where an adapter keeps entries, one B down to its bits, two tasks beside each other, other sparsities."""

from dataclasses import replace
from typing import Any

import gradio as gr

from app.address import asked, kept_in_address
from app.lab import AT_ONCE, PRIVATE, QUIET, Context, alert, on_load
from app.plot import chart, comes_into_view, shown
from app.shelf_views import choices, of_run
from lori_core import figures
from lori_core.results import Calibration, Magnitudes, MaskGrid, MaskLayout, MaskPair, from_plain

RANDOM = "random"  # beside an adapter: the control of lori_core/service/mask_views.py
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
    magnitudes = chart(page)
    _replay(page, pick)
    refusal = gr.HTML(padding=False)
    module = gr.Dropdown([], label=page.say("masks.module"), interactive=True)
    pooled = chart(page, name="one-b")
    first = gr.Number(
        None, precision=0, minimum=0, label=page.say("masks.first"),
        info=page.say("masks.first_info", count=STRETCH),
    )  # fmt: skip
    bits = chart(page, name="bits")
    _download(page, pick, other, sparsity)
    code = gr.Code(
        label=page.say("masks.code"), language="python", lines=2, interactive=False, wrap_lines=True, buttons=["copy"]
    )

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
            return None, None, None, ""
        at = sparsity if other else None
        layout = _layout(page, reference, at)
        code = page.ask("mask_code", reference=reference, beside=beside or "", sparsity=at)
        sizes = pair = None
        if layout.calibrated:
            found = page.ask("mask_magnitudes", reference=reference, sparsity=at)
            sizes = shown(figures.magnitudes(from_plain(Magnitudes, found), page.language))
        if beside:
            found = from_plain(MaskPair, page.ask("mask_pair", references=[reference, beside], sparsity=at))
            pair = shown(figures.mask_pair(replace(found, names=_named(page, found.names)), page.language))
        return shown(figures.mask_layout(layout, page.language)), pair, sizes, code

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
    clicked, drawn = [overview, pair], [overview, pair, magnitudes, code]

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
    for place in clicked:
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
    offered = [(page.say("masks.alone"), ""), (page.say("masks.random"), RANDOM), *rest]
    return gr.update(choices=offered, value=before if before in [each for _, each in offered] else "")


def _named(page: Context, names: tuple[str, ...]) -> Any:
    """The control in the page's language."""
    return tuple(page.say("masks.random_name") if name == RANDOM else name for name in names)


def _replay(page: Context, pick: gr.Dropdown) -> None:
    """The mask as its calibration went, where a run has written that down."""
    step = gr.Slider(
        0, 1, 0, step=1, label=page.say("masks.replay"), info=page.say("masks.replay_info"), visible=False,
        interactive=True,
    )  # fmt: skip
    layout = chart(page)

    def looks(reference: str | None) -> Calibration | None:
        found = page.ask("mask_replay", reference=reference) if reference else None
        return from_plain(Calibration, found) if found else None

    def begin(reference: str | None) -> Any:
        found = looks(reference)
        if found is None or len(found.looks) < 2:
            return gr.update(visible=False), None
        last = len(found.looks) - 1
        drawn = figures.mask_replay(found, last, page.language)
        return gr.update(visible=True, maximum=last, value=last), shown(drawn)

    def turn(place: float, reference: str | None) -> Any:
        found = looks(reference)
        if found is None:
            return None
        return shown(figures.mask_replay(found, min(int(place), len(found.looks) - 1), page.language))

    pick.change(begin, pick, [step, layout], **QUIET)
    step.input(turn, [step, pick], layout, trigger_mode="always_last", **QUIET)


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
    grid = from_plain(MaskGrid, found)
    return shown(figures.mask_grid(replace(grid, names=_named(page, grid.names)), page.language))
