"""Log of a run in the page's language: a line for each event that is news, with its time; and where it is shown."""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import gradio as gr

from app.following import WRONG, Following
from app.lab import Context
from app.wording import stage_words
from lori_core.assets import ASSETS
from lori_core.commands.progress import base_line, details, left_out_line
from lori_core.study.events import how_far, stage_of


def log_place() -> gr.HTML:
    """It follows the end of what it is given, unless its reader went up in it (assets/app/log.js)."""
    return gr.HTML(
        "",
        html_template='<pre class="log" tabindex="0"></pre>',
        js_on_load=(ASSETS / "app" / "log.js").read_text(encoding="utf-8"),
        apply_default_css=False,
    )


def log_of(page: Context, found: Following) -> str:
    """A line an event; times are UTC, as in the names of runs."""
    return "\n".join(_lines(page, found))


def _lines(page: Context, found: Following) -> Iterator[str]:
    for event in found.news:
        with suppress(*WRONG):
            yield f"{time.strftime('%H:%M:%S', time.gmtime(event['time']))}  {_said(page, event, found.planned)}"


def _said(page: Context, event: dict[str, Any], planned: int) -> str:
    match event["kind"]:
        case "state":
            return page.say(f"state.{event['state']}")
        case "base":
            return base_line(event, page.language)
        case "left_out":
            return left_out_line(event, page.language)
        case "unit":
            return f"[{event['place']}/{planned}] {event['name']}"
    done, total = how_far(event)
    return f"{stage_words(page, stage_of(event))}  {done}/{total}  {details(event, page.language)}".rstrip()
