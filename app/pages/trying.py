"""Try it: one prompt, answered side by side by the base, by each adapter alone, and by all of them merged."""

import time
from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from app.address import asked, kept_in_address
from app.lab import AT_ONCE, QUIET, Context, on_load
from app.shelf_views import choices, of_run
from lori_core.figures.wording import number as figure

MOST = 4  # adapters beside the base: as many columns as can be read
READY = ["ready/math/lori_s", "ready/code/lori_s"]
PAUSE = 0.1  # seconds between two pictures of growing answers: no eye needs more

Pane = dict[str, Any]  # title, score, and the last part of its answer, see lori_core/service/trying.py


def build(page: Context) -> None:
    gr.Markdown(f"# {page.say('try.title')}\n\n{page.say('try.what')}")
    pick = gr.Dropdown(
        [], multiselect=True, max_choices=MOST, label=page.say("try.pick"), info=page.say("try.pick_info")
    )
    with gr.Row():
        together = gr.Checkbox(False, label=page.say("try.merged"), info=page.say("try.merged_info"))
        weight = gr.Slider(0.1, 1, 0.5, step=0.05, label=page.say("try.weight"), visible=False, interactive=True)
    task_of = gr.Dropdown([], label=page.say("try.task_of"), interactive=True)
    prompt = gr.Textbox("", lines=5, max_lines=20, label=page.say("try.prompt"), info=page.say("try.prompt_info"))
    expected = gr.HTML()
    with gr.Row():
        go = gr.Button(page.say("try.go"), variant="primary")
        stop = gr.Button(page.say("try.stop"))
        other = gr.Button(page.say("try.another"))
    panes = gr.HTML()
    number, entries = gr.State(0), gr.State({})

    def offer(request: gr.Request) -> Any:
        found = [entry for entry in page.ask("contents") if not entry["wrong"]]
        by_reference = {entry["reference"]: entry for entry in found}
        chosen = [each for each in asked(request, "adapters") if each in by_reference]
        chosen = (chosen or of_run(found, request.query_params.get("run")))[:MOST] or READY
        return gr.update(choices=choices(page, found), value=chosen), by_reference

    def choose(references: list[str], before: str | None, entries: dict[str, Any]) -> Any:
        """Tasks of the chosen adapters."""
        known = [each for each in references if entries.get(each, {}).get("task")]
        named = [(label, each) for label, each in choices(page, [entries[each] for each in known])]
        value = before if before in known else next(iter(known), None)
        return gr.update(choices=named, value=value)

    def show(task_of: str | None, number: int) -> Any:
        """Another example; what was answered to the one before goes."""
        if not task_of:
            return gr.skip(), "", ""
        found = page.ask("example", reference=task_of, number=number)
        right = f"{escape(page.say('try.expected', task=found['task']))} <code>{escape(found['expected'])}</code>"
        return found["prompt"], f'<p class="expected">{right}</p>', ""

    def answer(
        references: list[str], entries: dict[str, Any], prompt: str, task_of: str | None, number: int, *merged: Any
    ) -> Iterator[str]:
        together, weight = merged
        if not prompt.strip():
            raise page.missing("try.no_prompt")
        if together and len(references) < 2:
            raise page.missing("try.too_few")
        views = _panes(page, [entries[each] for each in references], weight if together else None)
        yield _view(page, views)
        drawn = time.monotonic()
        asked = {"references": references, "prompt": prompt, "task_of": task_of, "number": number}
        for part in page.stream("answers_of", **asked, merged=weight if together else None):
            views[part["pane"]] |= part
            if time.monotonic() - drawn > PAUSE:
                drawn = time.monotonic()
                yield _view(page, views)
        yield _view(page, views)

    given = [pick, entries, prompt, task_of, number, together, weight]
    writing = go.click(answer, given, panes, **QUIET)
    # Verdicts are on the prompt that was asked; under another they would be wrong, also those that come later.
    ends: dict[str, Any] = QUIET | {"cancels": [writing]}
    kept_in_address(pick, "adapters")
    chosen = on_load(offer, None, [pick, entries]).then(choose, [pick, task_of, entries], task_of, **QUIET)
    chosen.then(show, [task_of, number], [prompt, expected, panes], **QUIET)
    pick.input(choose, [pick, task_of, entries], task_of, **ends).then(
        show, [task_of, number], [prompt, expected, panes], **QUIET
    )
    task_of.input(lambda: 0, None, number, **ends).then(show, [task_of, number], [prompt, expected, panes], **QUIET)
    other.click(lambda number: number + 1, number, number, **ends).then(
        show, [task_of, number], [prompt, expected, panes], **QUIET
    )
    together.input(lambda on: gr.update(visible=on), together, weight, **AT_ONCE)
    stop.click(None, None, None, cancels=[writing])
    prompt.input(lambda: "", None, panes, cancels=[writing], **AT_ONCE)


def _panes(page: Context, entries: list[dict[str, Any]], merged: float | None) -> list[Pane]:
    """The base, each adapter with the score that is known of it, the merged one."""
    titles = [(page.say("try.base"), "")]
    titles += [(label, _score(page, entry)) for entry, (label, _) in zip(entries, choices(page, entries), strict=True)]
    if merged is not None:
        titles.append((page.say("try.all_merged", weight=merged), ""))
    return [{"title": title, "score": score, "text": None, "correct": None} for title, score in titles]


def _score(page: Context, entry: dict[str, Any]) -> str:
    """Of the adapter's own task on the test split, where its record or its run has one."""
    for score in entry["scores"]:
        if score.get("split") == "test" and score.get("task") == entry["task"]:
            value, low, high = (figure(score.get(key), 2) for key in ("value", "low", "high"))
            return page.say("try.score", value=value, low=low, high=high)
    return ""


def _view(page: Context, panes: list[Pane]) -> str:
    return f'<div class="panes">{"".join(_pane(page, pane) for pane in panes)}</div>'


def _pane(page: Context, pane: Pane) -> str:
    if pane["correct"] is None:
        verdict = ""
    else:
        right = pane["correct"] == 1
        verdict = f'<p class="verdict {"right" if right else "wrong"}">{"✓" if right else "✗"} '
        verdict += f"{escape(page.say('try.right' if right else 'try.wrong'))}</p>"
    text = page.say("try.waiting") if pane["text"] is None else pane["text"].strip()
    kind = " empty" if pane["text"] is None else ""
    identity = page.say("try.identity", id=pane["adapter"][:12]) if pane.get("adapter") else ""
    title, answer = escape(pane["title"]), escape(text)
    return (
        f'<section class="pane" aria-label="{title}"><h3>{title}</h3><small>{escape(pane["score"]) or "&nbsp;"}</small>'
        f'<pre class="answer{kind}" tabindex="0">{answer}</pre>{verdict}<small>{escape(identity)}</small></section>'
    )
