"""End of a run, told to who looks elsewhere: by the tab's title and, where that was asked for, by the browser."""

from typing import Any

import gradio as gr

from app.lab import PRIVATE, Context

# A run that had ended when it was opened is no news. The browser asks its reader, and only because of this click.
ASK = """async () => {
  window.tellsEnd = "Notification" in window && (await Notification.requestPermission()) === "granted";
  return window.tellsEnd;
}"""
TITLE = """(title) => {
  const ended = /^[✓✗]/.test(title), shown = `${title} · LoRI Lab`;
  if (ended && window.goesOn && window.tellsEnd) new Notification(shown);
  window.goesOn = !ended;
  document.title = shown;
}"""
ANOTHER = "() => { window.goesOn = false }"


def tells_end(page: Context, title: gr.Textbox, pick: gr.Dropdown) -> None:
    """The button that asks for it.

    title: hidden, of the tab; that of a run which ended begins with ✓ or ✗. pick: which run it is of.
    """
    button = gr.Button(page.say("runs.tell"), size="sm")
    answer = gr.HTML(padding=False)
    granted = gr.Checkbox(visible="hidden")  # a gr.State never reaches the browser

    def said(granted: bool) -> Any:
        key = "runs.told" if granted else "runs.not_told"
        return f'<p class="hint" role="status">{page.say(key)}</p>'

    button.click(None, None, granted, js=ASK, **PRIVATE).then(said, granted, answer, **PRIVATE)
    title.change(None, title, None, js=TITLE, **PRIVATE)
    pick.change(None, None, None, js=ANOTHER, **PRIVATE)
