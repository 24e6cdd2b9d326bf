"""Tab of the page Interference, one prompt: what each chosen adapter does to it, layer by layer and token by token."""

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from app.lab import PRIVATE, QUIET, Context
from app.plot import chart, shown
from lori_core import figures
from lori_core.config import MOST_IN_LENS
from lori_core.figures.lens import lens_top
from lori_core.figures.wording import method_label
from lori_core.results import Lens, from_plain
from lori_core.service.names import told_apart

Listed = dict[str, Any]  # an Entry of lori_core/service/shelf.py as JSON


def prompt_lens(page: Context, pick: gr.Dropdown, tab: gr.Tab) -> None:
    """pick: of the adapters, by their references. tab: which this stands in; opened, it looks at once."""
    task_of = gr.Dropdown(
        [], label=page.say("interference.lens.task_of"), info=page.say("interference.lens.task_of_info"),
        interactive=True,
    )  # fmt: skip
    prompt = gr.Textbox("", lines=4, max_lines=12, label=page.say("try.prompt"), info=page.say("try.prompt_info"))
    expected = gr.HTML(padding=False)
    weight = gr.Slider(
        0.1, 2, 1, step=0.05, label=page.say("interference.lens.weight"),
        info=page.say("interference.lens.weight_info"), interactive=True,
    )  # fmt: skip
    with gr.Row():
        go = gr.Button(page.say("interference.lens.go"), variant="primary")
        other = gr.Button(page.say("try.another"))
    number, opened, asked_of = gr.State(0), gr.State(False), gr.State(None)
    with gr.Column(elem_id="lens-view"):
        ribbons, attributions = _two_sides(page), _two_sides(page)
    alone = gr.Markdown(page.say("interference.lens.no_other"), visible=False, elem_classes="empty")

    def offer(references: list[str] | None, before: str | None) -> Any:
        """The chosen adapters that learned one task."""
        entries: dict[str, Listed] = {entry["reference"]: entry for entry in page.ask("contents")}
        known = [each for each in references or [] if entries.get(each, {}).get("task")]
        value = before if before in known else next(iter(known), None)
        names = told_apart([entries[each]["task"] for each in known], known)  # as in the figures
        return gr.update(choices=list(zip(names, known, strict=True)), value=value)

    def show(task_of: str | None, number: int) -> Any:
        """An example of the task, and that it is of that task."""
        if not task_of:
            return "", "", None
        found = page.ask("example", reference=task_of, number=number)
        right = f"{escape(page.say('try.expected', task=found['task']))} <code>{escape(found['expected'])}</code>"
        return found["prompt"], f'<p class="expected">{right}</p>', task_of

    def show_first(opened: bool, task_of: str | None, number: int, asked_of: str | None) -> Any:
        """The prompt stays what it is while it is of the same task."""
        return show(task_of, number) if opened and task_of != asked_of else (gr.skip(), gr.skip(), gr.skip())

    def look(
        references: list[str] | None, task_of: str | None, prompt: str, number: int, weight: float
    ) -> Iterator[Any]:
        if not 2 <= len(references or []) <= MOST_IN_LENS:
            raise page.missing("interference.lens.too_few")
        if not task_of:
            raise page.missing("interference.lens.no_task")
        if not prompt.strip():
            raise page.missing("try.no_prompt")
        asked = {"references": references, "task_of": task_of, "prompt": prompt, "number": number, "weight": weight}
        found: list[dict[str, Any]] = []
        for answer in page.stream("prompt_lens", **asked):
            found.append(answer)
            yield _drawn(page, found)
        yield [*[gr.skip()] * (len(drawn) - 1), gr.update(visible=len(found) == 1)]

    def look_once_filled(opened: bool, *values: Any) -> Iterator[Any]:
        """What nobody asked for by a click: not before somebody looks, nor while the page is still being filled."""
        references, task_of, prompt, *_ = values
        if opened and references and (len(references) < 2 or (task_of and prompt)):
            yield from look(*values)
        else:
            yield [gr.skip()] * len(drawn)

    given = [pick, task_of, prompt, number, weight]
    drawn: list[Any] = [*ribbons, *attributions, alone]
    example: list[Any] = [prompt, expected, asked_of]
    opens = tab.select(lambda *chosen: (True, offer(*chosen)), [pick, task_of], [opened, task_of], **QUIET)
    for chosen in (opens, pick.change(offer, [pick, task_of], task_of, **QUIET)):
        shows = chosen.then(show_first, [opened, task_of, number, asked_of], example, **QUIET)
        shows.then(look_once_filled, [opened, *given], drawn, **PRIVATE)
    for turned in (
        task_of.input(lambda: 0, None, number, **QUIET),
        other.click(lambda n: n + 1, number, number, **QUIET),
    ):
        turned.then(show, [task_of, number], example, **QUIET).then(look, given, drawn, **PRIVATE)
    gr.on([go.click, prompt.submit], look, given, drawn, **PRIVATE)
    weight.release(look, given, drawn, trigger_mode="always_last", **PRIVATE)


def _two_sides(page: Context) -> list[gr.HTML]:
    """Two charts beside each other, on a phone below each other."""
    sides = []
    with gr.Row():
        for _ in range(2):
            with gr.Column(min_width=360):
                sides.append(chart(page))
    return sides


def _drawn(page: Context, found: list[dict[str, Any]]) -> list[Any]:
    """Ribbons and attributions of one or two sides, on one scale; the last is of the sentence that one is missing."""
    lenses = [from_plain(Lens, each["lens"]) for each in found]
    top = lens_top(lenses)
    ribbons: list[str | None] = [None, None]
    attributions: list[str | None] = [None, None]
    for place, (lens, each) in enumerate(zip(lenses, found, strict=True)):
        method = each["method"]
        label = method_label(method, page.language) if method else page.say("interference.lens.mixed")
        ribbons[place] = shown(figures.lens_ribbons(label, lens, each["own"], top, page.language))
        attributions[place] = shown(figures.attributions(label, lens, page.language))
    return [*ribbons, *attributions, gr.skip()]
