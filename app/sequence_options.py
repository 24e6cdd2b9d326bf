"""Sequence options: the two controls of a sequence's later tasks, on the forms of Study and Continual."""

from typing import get_args

import gradio as gr

from app.lab import Context
from lori_core.config import LaterMasks
from lori_core.study.specs import StudyConfig


def later_tasks(page: Context) -> tuple[gr.Slider, gr.Radio]:
    """later_rate and later_masks, as StudyConfig and ContinualJob name them."""
    defaults = StudyConfig()
    rate = gr.Slider(
        0.01,
        1,
        defaults.later_rate,
        step=0.01,
        label=page.say("sequence.later_rate"),
        info=page.say("sequence.later_rate_info"),
    )
    masks = gr.Radio(
        [(page.say(f"sequence.later_masks.{each}"), each) for each in get_args(LaterMasks)],
        value=defaults.later_masks,
        label=page.say("sequence.later_masks"),
    )
    return rate, masks
