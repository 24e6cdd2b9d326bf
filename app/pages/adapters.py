"""Adapters: the store, with what runs left and what ships: where each comes from, compare, check, take in, hand out."""

import re
from html import escape
from typing import Any

import gradio as gr

from app.address import asked, kept_in_address
from app.confirm import asked_first
from app.lab import PRIVATE, QUIET, Context, alert, on_load
from app.pages.runs import opens_run
from app.shelf_views import PLACES, ROWS, choices, details, difference, matching, place_of, table
from lori_core.study.specs import ExportJob

Change = tuple[Any, gr.Component]  # an event after which the list is another, and what holds the reference to show then


def build(page: Context) -> None:
    gr.Markdown(f"# {page.say('adapters.title')}\n\n{page.say('adapters.what')}")
    places = gr.CheckboxGroup(
        [(page.say(f"adapters.place.{place}"), place) for place in PLACES],
        value=list(PLACES),
        label=page.say("adapters.places"),
    )
    find = gr.Textbox(
        label=page.say("adapters.words"), info=page.say("adapters.words_info"), submit_btn=page.say("adapters.find")
    )
    listed = gr.HTML()
    pick = gr.Dropdown([], label=page.say("adapters.pick"), interactive=True)
    refusal = gr.HTML(padding=False)
    with gr.Tab(page.say("adapters.card")):
        gr.Markdown(page.say("adapters.card_in_english"))
        card = gr.Markdown(elem_classes="card")
    with gr.Tab(page.say("adapters.origin")):
        lineage = gr.HTML()
        settings = gr.HTML()
    with gr.Tab(page.say("adapters.compare")):
        other = gr.Dropdown([], label=page.say("adapters.compare_with"), interactive=True)
        compared = gr.HTML()
    with gr.Tab(page.say("adapters.export")):
        _export(page, pick)
    with gr.Tab(page.say("adapters.manage")):
        changes = _manage(page, pick)
    with gr.Accordion(page.say("adapters.import"), open=False):
        changes.append(_import(page))

    def refresh(where: list[str], words: str, chosen: str | None, beside: str | None) -> Any:
        """Pickers offer what the table could show, and what is chosen already."""
        entries = page.ask("contents")
        there = {entry["reference"] for entry in entries}
        rows = matching([entry for entry in entries if place_of(entry) in where], words)
        chosen = chosen if chosen in there else (rows or entries)[0]["reference"]  # there are always ready-made ones
        beside = beside if beside in there else None
        offered = {entry["reference"] for entry in rows[:ROWS]} | {chosen, beside}
        names = choices(page, [entry for entry in entries if entry["reference"] in offered])
        return table(page, rows), gr.update(choices=names, value=chosen), gr.update(choices=names, value=beside)

    def first(where: list[str], words: str, chosen: str | None, beside: str | None, request: gr.Request) -> Any:
        return refresh(where, words, next(iter(asked(request, "adapter")), chosen), beside)

    def look(reference: str | None) -> Any:
        """Of one that is damaged or gone why, and nothing of the one before."""
        if not reference:
            return "", "", "", ""
        try:
            found = page.ask("show", reference=reference)
        except gr.Error as error:
            return alert(error.message), "", "", ""
        return "", _body(found["card"]), *details(page, found)

    def compare(left: str | None, right: str | None) -> str:
        if not left or not right:
            return ""
        try:
            return difference(page, page.ask("diff", left=left, right=right), left, right)
        except gr.Error as error:
            return alert(error.message)

    lists: list[Any] = [listed, pick, other]
    shown: list[Any] = [refusal, card, lineage, settings]
    on_load(first, [places, find, pick, other], lists).then(look, pick, shown, **QUIET)
    kept_in_address(pick, "adapter")
    places.change(refresh, [places, find, pick, other], lists, **QUIET)
    find.submit(refresh, [places, find, pick, other], lists, **QUIET)
    gr.on([pick.change], look, pick, shown, **QUIET).then(compare, [pick, other], compared, **QUIET)
    other.change(compare, [pick, other], compared, **QUIET)
    for event, chosen in changes:
        event.success(refresh, [places, find, chosen, other], lists, **QUIET)


def _export(page: Context, pick: gr.Dropdown) -> None:
    """A zip archive in PEFT's format or ours, or a whole model as a job."""

    def export(reference: str, form: str) -> Any:
        return gr.update(value=page.ask("export", reference=reference, form=form), visible=True)

    def whole(reference: str, base: str) -> str:
        (folder,) = page.ask("folders", references=[reference])
        return page.submit("export", ExportJob(adapter=folder, base=base.strip()))

    form = gr.Radio(
        [(page.say(f"adapters.form.{each}"), each) for each in ("peft", "lori")],
        value="peft",
        label=page.say("adapters.form"),
    )
    button = gr.Button(page.say("adapters.make_archive"))
    archive = gr.File(label=page.say("adapters.archive"), visible=False, interactive=False)
    button.click(export, [pick, form], archive, **PRIVATE)
    base = gr.Textbox("embedded", label=page.say("adapters.base"), info=page.say("adapters.base_info"))
    model = gr.Button(page.say("adapters.make_model"))
    opens_run(page, model, whole, [pick, base])


def _manage(page: Context, pick: gr.Dropdown) -> list[Change]:
    """Check, keep, tag, delete."""
    deleted = f"<p>{escape(page.say('adapters.deleted'))}</p>"

    def verify(reference: str) -> str:
        try:
            page.ask("verify", reference=reference)
        except gr.Error as error:
            return alert(error.message)
        return f"<p>{escape(page.say('adapters.verified'))}</p>"

    def keep(reference: str, name: str) -> str:
        return page.ask("keep", reference=reference, name=name.strip())

    def tag(reference: str, tag: str) -> Any:
        page.ask("tag", reference=reference, tag=tag.strip())
        return f"<p>{escape(page.say('adapters.tagged', tag=tag.strip()))}</p>"

    def delete(reference: str) -> str:
        page.ask("delete", reference=reference)
        return deleted

    def forget(said: str) -> Any:
        """What was said of the adapter that was shown before; that it was deleted is why another one is shown now."""
        return gr.skip() if said == deleted else ""

    done = gr.Textbox(visible="hidden")
    said = gr.HTML()
    check = gr.Button(page.say("adapters.verify"))
    name = gr.Textbox(
        label=page.say("adapters.keep_name"), info=page.say("adapters.keep_info"), submit_btn=page.say("adapters.keep")
    )
    word = gr.Textbox(
        label=page.say("adapters.tag"), info=page.say("adapters.tag_info"), submit_btn=page.say("adapters.give_tag")
    )
    remove = gr.Button(page.say("adapters.delete"), variant="stop")
    yes = asked_first(page, remove, page.say("adapters.really"), page.say("adapters.yes"))
    pick.change(forget, said, said, **QUIET)
    pick.input(lambda: "", None, said, **QUIET)
    check.click(verify, pick, said, **PRIVATE)
    return [
        (name.submit(keep, [pick, name], done, **PRIVATE), done),
        (word.submit(tag, [pick, word], said, **PRIVATE), pick),
        (yes.click(delete, pick, said, **PRIVATE), pick),
    ]


def _import(page: Context) -> Change:
    """Upload."""

    def take_in(files: list[str] | None, name: str, origin: str) -> str:
        if not files:
            raise page.missing("adapters.no_files")
        return page.ask("take_in", files=files, name=name.strip(), origin=origin or None)[0]

    gr.Markdown(page.say("adapters.import_what"))
    files = gr.File(label=page.say("adapters.files"), file_count="multiple")
    name = gr.Textbox(label=page.say("adapters.name"), info=page.say("adapters.name_info"))
    origin = gr.Radio(
        [(page.say(f"adapters.origin.{each or 'any'}"), each) for each in ("", "peft", "lori")],
        value="",
        label=page.say("adapters.origin_of"),
    )
    button = gr.Button(page.say("adapters.take_in"), variant="primary")
    done = gr.Textbox(visible="hidden")
    return button.click(take_in, [files, name, origin], done, **PRIVATE), done


def _body(card: str) -> str:
    """A model card without the YAML that only hubs read, its headings below those of the page."""
    text = card.split("---\n", 2)[-1] if card.startswith("---\n") else card
    body = re.sub("^#", "###", text, flags=re.MULTILINE)
    return f'<div lang="en">\n\n{body}\n\n</div>'
