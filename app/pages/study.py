"""Study: choose base, tasks, method and sparsity, and start."""

from typing import Any

import gradio as gr

from app.lab import Context
from app.pages.runs import OPEN_RUN
from lori_core.config import AdapterConfig, Method, StudyConfig
from lori_core.errors import LoRIError
from lori_core.figures.drawing import method_label
from lori_core.tasks.mini import ITEMS

METHODS: tuple[Method, ...] = ("lora", "lori_d", "lori_s")
PRESET = ("nlu", "math", "safety")


def build(page: Context) -> None:
    def start(base: str, tasks: list[str], methods: list[Method], rank: int, sparsity: float) -> str:
        for chosen, missing in ((tasks, "study.no_task"), (methods, "study.no_method")):
            if not chosen:
                raise gr.Error(page.say(missing), title=page.say("refused"), print_exception=False)
        try:
            config = StudyConfig(
                base=base.strip(),
                tasks=tuple(tasks),
                methods=tuple(methods),
                adapter=AdapterConfig(rank=rank, sparsity=sparsity),
            )
        except LoRIError as error:
            raise page.error(error) from None
        return _submit(page, config)

    def start_preset() -> str:
        return _submit(page, StudyConfig(tasks=PRESET, methods=("lora", "lori_s")))

    gr.Markdown(f"# {page.say('study.title')}\n\n{page.say('study.what')}")
    preset = gr.Button(page.say("study.preset"), variant="primary")
    base = gr.Textbox("embedded", label=page.say("study.base"), info=page.say("study.base_info"))
    tasks = gr.CheckboxGroup(list(ITEMS), value=list(PRESET), label=page.say("study.tasks"))
    methods = gr.CheckboxGroup(
        [(method_label(method, page.language), method) for method in METHODS],
        value=list(METHODS),
        label=page.say("study.methods"),
    )
    rank = gr.Slider(1, 128, 32, step=1, label=page.say("study.rank"))
    sparsity = gr.Slider(0, 0.99, 0.9, step=0.01, label=page.say("study.sparsity"))
    button = gr.Button(page.say("study.start"))
    name = gr.Textbox(visible="hidden")  # a gr.State never reaches the browser
    how: dict[str, Any] = {"api_visibility": "private"}
    button.click(start, [base, tasks, methods, rank, sparsity], name, **how).success(None, name, None, js=OPEN_RUN)
    preset.click(start_preset, None, name, **how).success(None, name, None, js=OPEN_RUN)


def _submit(page: Context, config: StudyConfig) -> str:
    return page.jobs.submit(page.workspace.runs, "study", config.model_dump(mode="json")).path.name
