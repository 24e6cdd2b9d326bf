"""Form for a task of one's own on the page Study: a file, its columns, a preview of what will be learned."""

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from app.lab import PRIVATE, QUIET, Context, alert, on_load
from app.own_tasks import label_of, remember, remembered
from lori_core.errors import ConfigError, LoRIError
from lori_core.figures.wording import listed, reasons
from lori_core.study.reach import SHOWN
from lori_core.tasks.check import TaskCheck, check_task
from lori_core.tasks.own_files import KINDS, Quality, columns, keep_file, likely_columns, spec_of
from lori_core.tasks.registry import load_task
from lori_core.translate import translate

SCORERS = ("exact", "number", "contains", "label", "likelihood")


def own_file(page: Context, tasks: gr.CheckboxGroup) -> None:
    """The form; what it adds is chosen in `tasks`, whose values are task specs."""
    upload = gr.File(label=page.say("own.file"), file_types=list(KINDS), height=120)
    kept = gr.State("")
    name = gr.Textbox("mine", label=page.say("own.name"), info=page.say("own.name_info"))
    with gr.Row():
        prompt = gr.Dropdown(
            [], label=page.say("own.prompt"), info=page.say("own.prompt_info"), allow_custom_value=True
        )
        response = gr.Dropdown([], label=page.say("own.response"))
        scorer = gr.Dropdown(
            [(page.say(f"own.scorer.{each}"), each) for each in SCORERS], value="exact", label=page.say("own.scorer")
        )
    look = gr.Button(page.say("own.look"))
    shown = gr.HTML()
    add = gr.Button(page.say("own.add"), interactive=False)
    mapping = [kept, name, prompt, response, scorer]

    def take(file: str | None) -> Any:
        if not file:
            return "", gr.update(choices=[], value=None), gr.update(choices=[], value=None)
        try:
            place = keep_file(Path(file), page.workspace.data)
            found = columns(place)
        except LoRIError as error:
            raise page.error(error) from None
        finally:
            Path(file).unlink(missing_ok=True)
        asked, answered = likely_columns(found)
        return str(place), gr.update(choices=found, value=asked), gr.update(choices=found, value=answered)

    def preview(*given: str) -> Any:
        try:
            spec = _spec(page, *given)
            checked = check_task(spec, load_task(spec))
            if refused := _nothing_to_learn(page, checked):
                return alert(escape(refused)), gr.update(interactive=False)
            return _preview(page, checked), gr.update(interactive=True)
        except LoRIError as error:
            return alert(page.in_words(error)), gr.update(interactive=False)

    def choose(chosen: list[str], choices: list[tuple[str, str]], *given: str) -> Any:
        try:
            spec = _spec(page, *given)
            remember(Path(given[0]), spec)
        except LoRIError as error:
            raise page.error(error) from None
        choices = [*(each for each in choices if each[1] != spec), (label_of(spec), spec)]
        return gr.update(choices=choices, value=list(dict.fromkeys([*chosen, spec]))), choices

    def offer(choices: list[tuple[str, str]]) -> Any:
        choices = [*choices, *remembered(page)]
        return gr.update(choices=choices), choices

    known = gr.State([(str(label), str(value)) for label, value in tasks.choices])
    on_load(offer, known, [tasks, known])
    upload.upload(take, upload, [kept, prompt, response], **PRIVATE)
    look.click(preview, mapping, [shown, add], **QUIET)
    gr.on(
        [part.change for part in (name, prompt, response, scorer)],
        lambda: gr.update(interactive=False),
        None,
        add,
        **QUIET,
    )
    add.click(choose, [tasks, known, *mapping], [tasks, known], **QUIET)


def _spec(page: Context, kept: str, name: str, prompt: str | None, response: str | None, scorer: str) -> str:
    if not kept or not prompt or not response:
        raise page.missing("own.nothing")
    if prompt == response:
        raise page.missing("own.same_column")
    spec = spec_of(name.strip(), Path(kept), prompt, response, scorer)
    if not page.workspace.reach.has_task(spec):
        raise ConfigError("path_out_of_reach", field="task", got=kept[:SHOWN])
    return spec


def _nothing_to_learn(page: Context, checked: TaskCheck) -> str:
    """Why nothing can be learned of rows that can all be read; empty where something can."""
    different = {(example.prompt, example.response) for example in checked.task.examples("train")}
    empty = [split for split, count in checked.counts.items() if not count]
    return page.say("own.too_few", different=len(different)) if empty or len(different) < 2 else ""


def _preview(page: Context, checked: TaskCheck) -> str:
    """What `lori tasks check` says of the same task."""
    texts = "".join(
        f'<pre class="example" tabindex="0">{escape(example.prompt)}<mark>{escape(example.response)}</mark></pre>'
        for example in checked.shown
    )
    doubts = [translate(f"command.check.doubt.{name}", page.language, **values) for name, values in checked.doubts]
    said = "".join(
        f"<li>{escape(each)}</li>" for each in doubts or [translate("command.check.no_doubts", page.language)]
    )
    quality = _quality(page, checked, checked.quality) if checked.quality else ""
    return f"<p>{escape(page.say('own.counts'))}</p>{texts}{quality}<ul>{said}</ul>"


def _quality(page: Context, checked: TaskCheck, quality: Quality) -> str:
    shortest, middle, longest = quality.length
    facts = {
        **{f"own.{split}": f"{count:,}" for split, count in quality.counts.items()},
        "own.repeated": f"{quality.repeated:,}",
        "own.contradicting": f"{quality.contradicting:,}",
        "own.left_out": reasons(checked.task.left_out, page.language) or "0",
        "own.length": f"{shortest:,} / {middle:,.0f} / {longest:,}",
    }
    if quality.answers:
        each = (page.say("own.answer", answer=a[:24], count=count) for a, count in quality.answers.items())
        facts["own.answers"] = listed(each, page.language)
    cells = "".join(
        f"<div><dt>{escape(page.say(key))}</dt><dd>{escape(text)}</dd></div>" for key, text in facts.items()
    )
    return f'<dl class="facts small">{cells}</dl>'
