"""Tab of the page Interference, before training: cross-talk forecast from footprints, spectrum of one module."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from app.lab import PRIVATE, QUIET, Context
from app.plot import chart, shown
from lori_core import figures
from lori_core.figures.forecast import top_of
from lori_core.figures.wording import percent
from lori_core.results import PairMatrix, Spectrum, from_plain
from lori_core.tasks.mini import MINI_TASKS

MOST = 6  # tasks
RANK = 32

Known = dict[str, Any]  # what was asked, and "forecasts" and "spectra", one for each place of the dial


def before_training(page: Context) -> None:
    tasks = gr.Dropdown(
        list(MINI_TASKS),
        value=["nlu", "math", "code", "safety"],
        multiselect=True,
        max_choices=MOST,
        allow_custom_value=True,
        label=page.say("interference.forecast.tasks"),
        info=page.say("interference.forecast.tasks_info"),
    )
    rank = gr.Slider(1, 128, RANK, step=1, label=page.say("interference.forecast.rank"))
    go = gr.Button(page.say("interference.forecast.go"), variant="primary")
    known = gr.State({})
    dial = gr.Slider(0, 1, 1, step=0.25, label=page.say("interference.forecast.dial"), visible=False, interactive=True)
    matrix = chart(page)
    with gr.Row():
        module = gr.Dropdown([], label=page.say("interference.forecast.module"), visible=False, interactive=True)
        task = gr.Dropdown([], label=page.say("interference.forecast.task"), visible=False, interactive=True)
    spectrum = chart(page)

    def forecast(tasks: list[str] | None, rank: float) -> Iterator[Any]:
        if not 2 <= len(tasks or []) <= MOST:
            raise page.missing("interference.forecast.too_few")
        asked = {"tasks": tasks, "rank": int(rank)}
        for answer in page.stream("before_training", **asked):
            names, modules = answer["forecasts"][0]["names"], answer["modules"]
            yield (
                {"asked": asked, "forecasts": answer["forecasts"]},
                gr.update(visible=True),
                gr.update(choices=modules, value=modules[len(modules) // 2], visible=True),
                gr.update(choices=[(name, place) for place, name in enumerate(names)], value=0, visible=True),
            )

    def look(known: Known, module: str | None, task: int | None) -> Iterator[Any]:
        if known and module is not None and task is not None:
            for answer in page.stream("spectrum", **known["asked"], module=module, task=task):
                yield known | answer

    def draw(known: Known, dial: float) -> Any:
        if "spectra" not in known:
            return None, None
        forecasts = [from_plain(PairMatrix, each) for each in known["forecasts"]]
        place = round(dial * (len(forecasts) - 1))
        label = page.say("interference.forecast.label", share=percent(dial))
        drawn = figures.forecast_matrix(label, forecasts[place], top_of(forecasts), page.language)
        found = from_plain(Spectrum, known["spectra"][place])
        return shown(drawn), shown(figures.spectrum(found, page.language))

    given, drawn = [known, module, task], [matrix, spectrum]
    asked = go.click(forecast, [tasks, rank], [known, dial, module, task], **PRIVATE)
    asked.then(look, given, known, **QUIET).then(draw, [known, dial], drawn, **QUIET)
    for choice in (module, task):
        choice.input(look, given, known, **QUIET).then(draw, [known, dial], drawn, **QUIET)
    dial.change(draw, [known, dial], drawn, trigger_mode="always_last", **QUIET)
