"""A command that can be copied: its value is the text."""

from html import escape

import gradio as gr

from app.lab import Context
from lori_core.assets import ASSETS

TEMPLATE = """<div class="command" role="group" aria-label="{label}" hidden>
<p>{label} <button type="button" data-done="{done}">{copy}</button> <output></output></p>
<code tabindex="0"></code></div>"""


def command(page: Context, label: str, visible: bool = True) -> gr.HTML:
    said = {"label": label, "copy": page.say("command.copy"), "done": page.say("command.copied")}
    return gr.HTML(
        None,
        html_template=TEMPLATE.format(**{name: escape(text) for name, text in said.items()}),
        js_on_load=(ASSETS / "app" / "command.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        visible=visible,
    )
