"""Home: what LoRI is, in a picture and three sentences; a demo and a full study by one click; where to read on."""

from dataclasses import dataclass
from html import escape
from random import Random

import gradio as gr

from app.lab import QUIET, Context, on_load
from app.method_picture import method_picture
from app.pages.runs import offer_interrupted, opens_run
from app.slowness import is_measured, measure, time_of
from lori_core.config import Method, TrainConfig
from lori_core.figures.wording import listed, method_label
from lori_core.report.verdict import duration
from lori_core.study.examples import examples
from lori_core.study.machine import device_label
from lori_core.study.specs import StudyConfig
from lori_core.tasks.mini import ITEMS, USUAL_LEVEL
from lori_core.training.recipes import training_for

EXAMPLES = ("nlu", "math", "code", "safety")
METHODS = ("lora", "lori_d", "lori_s")
FURTHER = ("usage", "own_data", "method", "footprints", "measured", "notebooks")  # pages of app/pages/docs.py
SHOWN = ("runs", "report", "masks", "interference", "continual", "merge", "try")  # pages that an example fills
STEPS = 30  # of the demo: its masks have settled by then
SHORT: dict[Method, TrainConfig] = {
    method: training.changed(steps=STEPS)
    for method, training in training_for("embedded").items()
    if method in ("lori_d", "lori_s")
}


@dataclass(frozen=True)
class Offer:
    """A study by one click."""

    name: str
    config: StudyConfig


OFFERS = (
    Offer(
        "demo",
        StudyConfig(
            tasks=("nlu", "safety"),
            methods=("lori_s",),
            train=SHORT,
            continual=None,
            merge_weights=(0.5, 1.0),
            validation_examples=20,
            test_examples=40,
        ),
    ),
    Offer(  # all of it in minutes: few examples, no control, the shortest sequence
        "full",
        StudyConfig(
            tasks=("nlu", "math", "safety"),
            methods=("lora", "lori_s"),
            shared_control=False,
            continual=("safety", "math"),
            validation_examples=50,
            test_examples=100,
        ),
    ),
)


def build(page: Context) -> None:
    interrupted = gr.HTML()
    on_load(lambda: offer_interrupted(page), None, interrupted)
    with gr.Row(elem_classes="home"):
        with gr.Column(min_width=320):
            gr.Markdown(f"# {page.say('home.claim')}\n\n{page.say('home.what')}")
            promises = [_offer(page, offer) for offer in OFFERS]
            gr.HTML(_example(page))
        with gr.Column(min_width=320):
            gr.HTML(method_picture(page))
    gr.HTML(_words(page))
    gr.HTML(_examples(page))
    gr.HTML(_further(page))

    def promise() -> list[str]:
        """With the device, which a process has to be asked for that has torch."""
        device = device_label(page.ask("device"))
        return [_promise(page, each, device, _time(page, each)) for each in OFFERS]

    told = on_load(promise, None, promises)
    told.then(lambda: measure(page), None, None, **QUIET).then(promise, None, promises, **QUIET)


def _offer(page: Context, offer: Offer) -> gr.HTML:
    """Button of a study, and what it promises."""
    with gr.Column(elem_classes="offer"):
        button = gr.Button(page.say(f"home.{offer.name}"), variant="primary" if offer is OFFERS[0] else "secondary")
        opens_run(page, button, lambda: page.submit("study", offer.config), None)
        return gr.HTML(_promise(page, offer, "…", "…"))


def _time(page: Context, offer: Offer) -> str:
    """How long it takes here, and how that is known."""
    seconds, by_runs = time_of(page, offer.config)
    if seconds is None:
        return page.say("fit.time_unknown" if is_measured() else "home.time_asked")
    return page.say("home.time_here" if by_runs else "home.time_measured", time=duration(seconds, page.language))


def _promise(page: Context, offer: Offer, device: str, time: str) -> str:
    """What is done, where, and how long it takes."""
    config = offer.config
    steps = training_for(config.base, config.train)["lori_s"].steps
    methods = listed((method_label(method, page.language) for method in config.methods), page.language)
    facts = {
        "tasks": listed(config.tasks, page.language),
        "methods": page.say("home.methods_said", methods=methods, steps=steps),
        "base": page.say("home.base_said", base=config.base),
        "device": device,
        "time": time,
    }
    said = "".join(
        f"<div><dt>{escape(page.say(f'home.{name}'))}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
    )
    return f'<dl class="promise">{said}</dl>'


def _example(page: Context) -> str:
    """Links to the pages that show a finished study, before the reader has one."""
    links = []
    for name in SHOWN:
        kind = "merge_trial" if name == "merge" else "study"
        run = next(run.path.name for run in examples() if run.kind == kind)
        links.append(f'<a href="/{page.language}/{name}?run={run}">{escape(page.say(f"home.example.{name}"))}</a>')
    return f'<p>{escape(page.say("home.example"))}</p><p class="links">{" · ".join(links)}</p>'


def _words(page: Context) -> str:
    said = "".join(
        f"<div><dt>{escape(word)}</dt><dd>{escape(page.say(f'home.means.{key}'))}</dd></div>"
        for key, word in {
            **{method: method_label(method, page.language) for method in METHODS},
            "conditioned": page.say("home.conditioned"),
        }.items()
    )
    return f'<h2>{escape(page.say("home.words"))}</h2><dl class="words">{said}</dl>'


def _examples(page: Context) -> str:
    """A row of each mini task, as it is learned: the prompt, and marked the answer."""
    panes = []
    for task in EXAMPLES:
        item = ITEMS[task](Random(2), USUAL_LEVEL)
        row = f"{escape(item.prompt)}<mark>{escape(item.answers['task'])}</mark>"
        what = escape(page.say(f"home.task.{task}"))
        panes.append(
            f'<section class="pane"><h3>{task}</h3><small>{what}</small><pre class="example">{row}</pre></section>'
        )
    return f'<h2>{escape(page.say("home.examples"))}</h2><div class="panes">{"".join(panes)}</div>'


def _further(page: Context) -> str:
    links = "".join(
        f'<li><a href="/{page.language}/docs?document={name}">{escape(page.say(f"home.further.{name}"))}</a></li>'
        for name in FURTHER
    )
    own = f'<li><a href="/{page.language}/study">{escape(page.say("home.further.study"))}</a></li>'
    return f'<h2>{escape(page.say("home.further"))}</h2><ul class="links further">{own}{links}</ul>'
