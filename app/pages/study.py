"""Study: a walk in steps: base, tasks, method and sparsity, memory; and the start."""

from typing import Any

import gradio as gr

from app.advanced import advanced, said
from app.base_cards import base_cards, first_look
from app.command import command
from app.lab import AT_ONCE, PRIVATE, QUIET, Context, alert, on_load
from app.own_file import own_file
from app.pages.runs import opens_run
from app.resources import fit, is_here, plan_of
from app.slowness import measure
from lori_core.commands.typed import study_command
from lori_core.config import AdapterConfig, StudyMethod
from lori_core.errors import LoRIError
from lori_core.figures.wording import method_label
from lori_core.study.specs import StudyConfig
from lori_core.tasks.catalog import CATALOG
from lori_core.tasks.mini import LEVELS, MINI_TASKS, USUAL_LEVEL

DEFAULTS = AdapterConfig()
METHODS: tuple[StudyMethod, ...] = ("lora", "lori_d", "lori_s")
CHOICES: tuple[StudyMethod, ...] = (*METHODS, "lori_d_conditioned", "lori_s_conditioned")
PRESET = ("nlu", "math", "safety")


def build(page: Context) -> None:
    gr.Markdown(f"# {page.say('study.title')}\n\n{page.say('study.what')}")
    _step(page, 1)
    base, card = base_cards(page)
    _step(page, 2)
    tasks = gr.CheckboxGroup([(name, name) for name in MINI_TASKS], value=list(PRESET), label=page.say("study.tasks"))
    level = gr.Radio(list(LEVELS), value=USUAL_LEVEL, label=page.say("study.level"), info=page.say("study.level_info"))
    paper = gr.Dropdown(
        sorted(CATALOG), value=[], multiselect=True, label=page.say("study.paper"), info=page.say("study.paper_info")
    )
    with gr.Accordion(page.say("own.title"), open=False):
        own_file(page, tasks)
    _step(page, 3)
    methods = gr.CheckboxGroup(
        [(method_label(method, page.language), method) for method in CHOICES],
        value=list(METHODS),
        label=page.say("study.methods"),
    )
    gr.Markdown(page.say("study.how_A"))
    with gr.Row():
        rank = gr.Slider(1, 128, DEFAULTS.rank, step=1, **_named(page, "rank"))
        sparsity = gr.Slider(0, 0.99, DEFAULTS.sparsity, step=0.01, **_named(page, "sparsity"))
        seeds = gr.Slider(1, 5, 1, step=1, **_named(page, "seeds"))
    more = advanced(page)
    first_look(card, more[:7])
    _step(page, 4)
    plan = gr.HTML()
    look = gr.Button(page.say("fit.ask"))
    fits = gr.HTML()
    _step(page, 5)
    button = gr.Button(page.say("study.start"), variant="primary")
    typed = command(page, page.say("study.typed"), visible=not page.lab.named)  # who has a name has no terminal there
    given = [base, tasks, level, paper, methods, rank, sparsity, seeds, *more]

    def start(*values: Any) -> str:
        return page.submit("study", _config(page, *values))

    def estimate(*values: Any) -> str:
        config = _config(page, *values)
        try:
            return fit(page, config)
        except LoRIError as error:
            raise page.error(error) from None

    def follow(*values: Any) -> tuple[str, str]:
        """What will be trained, for how long, and the command; of settings that cannot be, why."""
        try:
            config = _config(page, *values)
        except gr.Error as error:
            return alert(error.message), ""
        return plan_of(page, config), study_command(config)

    def follow_memory(*values: Any) -> Any:
        """Where no base has to be looked for on the hub, which can take long."""
        try:
            config = _config(page, *values)
            return fit(page, config) if is_here(config.base) else ""
        except (gr.Error, LoRIError):
            return ""

    look.click(estimate, given, fits, concurrency_limit=1, **PRIVATE)
    changes = [each.change for each in given]
    gr.on(changes, follow, given, [plan, typed], trigger_mode="always_last", **AT_ONCE)
    gr.on(changes, follow_memory, given, fits, trigger_mode="always_last", concurrency_limit=1, **QUIET)
    told = on_load(follow, given, [plan, typed])
    told.then(lambda: measure(page), None, None, **QUIET).then(follow, given, [plan, typed], **QUIET)
    opens_run(page, button, start, given)


def _named(page: Context, setting: str) -> dict[str, Any]:
    """Label and meaning of a slider, which on a phone has a row of its own."""
    return {"label": page.say(f"study.{setting}"), "info": page.say(f"study.{setting}_info"), "min_width": 260}


def _step(page: Context, number: int) -> None:
    gr.Markdown(f"### {number}. {page.say(f'study.step{number}')}")


def _config(
    page: Context,
    base: str,
    tasks: list[str],
    level: int,
    paper: list[str],
    methods: list[StudyMethod],
    rank: int,
    sparsity: float,
    seeds: int,
    *more: Any,
) -> StudyConfig:
    """What the form says; raises gr.Error.

    Args:
        more: values of advanced().
    """
    for chosen, missing in ((tasks + paper, "study.no_task"), (methods, "study.no_method")):
        if not chosen:
            raise page.missing(missing)
    levelled = [f"{task}?level={level}" if task in MINI_TASKS and level != USUAL_LEVEL else task for task in tasks]
    try:
        rest = said(base.strip(), *more)
        return StudyConfig(
            base=base.strip(),
            tasks=(*levelled, *paper),
            methods=tuple(methods),
            adapter=AdapterConfig(rank=rank, sparsity=sparsity, **rest.adapter),
            seeds=tuple(range(seeds)),
            **rest.study,
        )
    except LoRIError as error:
        raise page.error(error) from None
