"""Base of a study: a card for each that ships or can be downloaded, and a field for any other."""

from collections.abc import Sequence
from html import escape
from threading import Lock
from typing import Any

import gradio as gr

from app.lab import AT_ONCE, PRIVATE, Context, alert
from lori_core.bases.download import DOWNLOADS, download, is_downloaded
from lori_core.errors import LoRIError

CARDS = ("embedded", *DOWNLOADS)
OTHER = "other"
ONE_AT_A_TIME = Lock()  # the pages of both languages offer the download; the second finds what the first has got
# Rates of lora, lori_d and lori_s, steps, examples a step and a forward pass, tokens: minutes on a CPU where the
# recipe, with 67 times the examples, takes hours. As benchmarks/real.py found and has them.
FIRST_LOOK = {"smollm2": ("0.0003", "0.0003", "0.001", "30", "8", "4", "192")}


def base_cards(page: Context) -> tuple[gr.Textbox, gr.Radio]:
    """The field that holds the base's name, and the cards that fill it; it is seen where none of them is meant."""
    card = gr.Radio(
        [(page.say(f"base.{each}"), each) for each in (*CARDS, OTHER)], value=CARDS[0], label=page.say("study.base")
    )
    about = gr.HTML(_about(page, CARDS[0]))
    get = gr.Button(page.say("base.download"), visible=False)
    base = gr.Textbox(CARDS[0], label=page.say("base.name"), info=page.say("study.base_info"), visible=False)

    def choose(chosen: str, name: str) -> Any:
        other = chosen == OTHER
        named = name if other and name not in CARDS else "" if other else chosen
        return _about(page, chosen), gr.update(visible=_missing(chosen)), gr.update(value=named, visible=other)

    def fetch(chosen: str, progress: gr.Progress = gr.Progress()) -> Any:  # noqa: B008 - gradio looks for it there
        def tell(share: float) -> None:
            progress(share, desc=page.say("base.downloading", name=chosen))

        try:
            with ONE_AT_A_TIME:
                download(chosen, progress=tell)
        except LoRIError as error:
            return alert(page.in_words(error)), gr.update()
        return _about(page, chosen), gr.update(visible=False)

    card.input(choose, [card, base], [about, get, base], **AT_ONCE)
    get.click(fetch, card, [about, get], concurrency_limit=1, **PRIVATE)
    return base, card


def first_look(card: gr.Radio, fields: Sequence[gr.Textbox]) -> None:
    """Settings of FIRST_LOOK, put into their fields when the card is chosen, and taken out with another."""
    empty = ("",) * len(fields)
    card.input(lambda chosen: FIRST_LOOK.get(chosen, empty), card, list(fields), **AT_ONCE)


def _missing(chosen: str) -> bool:
    return chosen in DOWNLOADS and not is_downloaded(chosen)


def _about(page: Context, chosen: str) -> str:
    """What the base can show, how large it is, and whether it is here, as HTML."""
    said = page.say(f"base.{chosen}.about")
    if _missing(chosen):
        said += " " + page.say("base.missing", megabytes=round(DOWNLOADS[chosen].size / 1e6))
    return f"<p>{escape(said)}</p>"
