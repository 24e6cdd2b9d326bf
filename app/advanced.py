"""Advanced fold of the page Study: what a recipe decides else. Empty fields leave it to the recipe."""

from dataclasses import dataclass
from typing import Any, get_args

import gradio as gr

from app.lab import Context
from app.sequence_options import later_tasks
from lori_core.commands.options import train_configs
from lori_core.config import AdapterMethod, MaskRun, Portable, Projection, Quantization
from lori_core.figures.wording import method_label

# Kinds of maps that Llama's relatives have; any other end of a module's name may be typed.
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
COUNTS = ("steps", "optimizer_batch", "batch", "length")
BITS: tuple[Quantization, ...] = get_args(Quantization)
DRAWN: tuple[Projection, ...] = (*get_args(Portable), "gaussian", "orthogonal")  # a conditioned A is a method


@dataclass(frozen=True)
class Advanced:
    """What the fold says: fields of StudyConfig, and those of its adapter's config."""

    study: dict[str, Any]
    adapter: dict[str, Any]


def advanced(page: Context) -> list[Any]:
    """The components, in the order in which said() takes their values."""
    with gr.Accordion(page.say("advanced.title"), open=False):
        gr.Markdown(page.say("advanced.what"))
        with gr.Row():
            rates = [
                gr.Textbox(label=page.say("advanced.rate", method=method_label(each, page.language)))
                for each in get_args(AdapterMethod)
            ]
        with gr.Row():  # texts, since an empty gr.Number says 0
            counts = [gr.Textbox(label=page.say(f"advanced.{each}")) for each in COUNTS]
        with gr.Row():
            found = gr.Dropdown(
                [(page.say(f"advanced.calibration.{each}"), each) for each in get_args(MaskRun)],
                value=get_args(MaskRun)[0],
                label=page.say("advanced.calibration"),
                info=page.say("advanced.calibration_info"),
            )
            drawn = gr.Dropdown(
                [(page.say(f"advanced.drawn.{each}"), each) for each in DRAWN],
                value=DRAWN[0],
                label=page.say("advanced.drawn"),
            )
            modules = gr.Dropdown(
                list(MODULES),
                value=[],
                multiselect=True,
                allow_custom_value=True,
                label=page.say("advanced.modules"),
                info=page.say("advanced.modules_info"),
            )
        with gr.Row():
            bits = gr.Radio(
                [(page.say("advanced.whole"), ""), *((page.say(f"advanced.{each}"), each) for each in BITS)],
                value="",
                label=page.say("advanced.bits"),
                info=page.say("advanced.bits_info"),
            )
            device = gr.Textbox(label=page.say("advanced.device"), info=page.say("advanced.device_info"))
        chat = gr.Checkbox(False, label=page.say("advanced.chat"), info=page.say("advanced.chat_info"))
        later = later_tasks(page)
    return [*rates, *counts, found, drawn, modules, bits, device, chat, *later]


def said(base: str, *values: Any) -> Advanced:
    """Raises ConfigError for a value that cannot be."""
    texts: list[Any] = [(text or "").strip() or None for text in values[:7]]  # the config makes numbers of them
    lora, lori_d, lori_s, steps, optimizer_batch, batch, length = texts
    found, drawn, modules, bits, device, chat, *later = values[7:]
    rates = {"lora": lora, "lori_d": lori_d, "lori_s": lori_s}
    train = train_configs(
        base,
        steps=steps,
        recipe=None,
        rates=[f"{method}={rate}" for method, rate in rates.items() if rate is not None],
        batch=batch,
        optimizer_batch=optimizer_batch,
        length=length,
        gradient_checkpointing=False,
    )
    study = {"train": train, "quantization": bits or None, "device": (device or "").strip() or None, "chat": chat}
    study |= dict(zip(("later_rate", "later_masks"), later, strict=True))
    return Advanced(study, {"calibration": found, "projection": drawn, "target_modules": tuple(modules)})
