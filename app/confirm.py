"""Confirmation dialog before an action that cannot be undone."""

import gradio as gr

from app.lab import AT_ONCE, Context


def asked_first(page: Context, button: gr.Button, question: str, yes: str) -> gr.Button:
    """Lets `button` only ask; returns the button whose click is the answer yes, for the handler that does it."""
    with gr.Group(visible=False) as group:
        gr.Markdown(question, container=True)
        with gr.Row():
            no = gr.Button(page.say("leave_it"))
            really = gr.Button(yes, variant="stop")
    button.click(lambda: gr.update(visible=True), None, group, **AT_ONCE)
    for answer in (no, really):
        answer.click(lambda: gr.update(visible=False), None, group, **AT_ONCE)
    return really
