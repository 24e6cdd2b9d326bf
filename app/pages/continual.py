"""Continual: tasks one after another: score matrix, forgetting, old kept against new learned; and a new sequence."""

from contextlib import suppress
from typing import Any

import gradio as gr

from app.address import asked, kept_in_address
from app.lab import QUIET, Context, on_load
from app.pages.runs import opens_run
from app.plot import chart, shown
from app.run_labels import finished, label, made, run_choices, told_apart
from app.sequence_options import later_tasks
from lori_core import figures
from lori_core.config import AdapterConfig, StudyMethod
from lori_core.errors import LoRIError
from lori_core.figures.wording import method_label
from lori_core.results import ContinualResult, StudyResult
from lori_core.study.runs import Run
from lori_core.study.specs import ContinualJob
from lori_core.tasks.mini import MINI_TASKS
from lori_core.translate import translate

DEFAULTS = AdapterConfig()
METHODS: tuple[StudyMethod, ...] = ("lori_s", "lori_d", "lora", "lori_s_conditioned", "lori_d_conditioned")


def build(page: Context) -> None:
    gr.Markdown(f"# {page.say('continual.title')}\n\n{page.say('continual.what')}")
    pick = gr.Dropdown(
        [], multiselect=True, label=page.say("continual.pick"), info=page.say("continual.pick_info"), interactive=True
    )
    curves, axes = chart(page), chart(page)
    one = gr.Dropdown([], label=page.say("continual.one"), interactive=True)
    matrix = chart(page)

    def first(request: gr.Request) -> Any:
        runs = [run for run in finished(page, "continual", "study") if _has_sequences(run)]
        names = [run.path.name for run in runs]
        value = [name for name in asked(request, "run") if name in names] or names[:1]
        choices = run_choices(runs, lambda run: _label(page, run))
        return gr.update(choices=choices, value=value)

    def compare(names: list[str]) -> Any:
        found, runs = sequences_and_runs(page, names)
        if not found:
            return None, None, gr.update(choices=[], value=None, visible=False)
        titles = [(_title(page, sequence), str(place)) for place, sequence in enumerate(found)]
        pages = [(title, int(place)) for title, place in told_apart(titles, lambda place: runs[int(place)])]
        drawings = [draw(found, page.language, runs) for draw in (figures.forgetting, figures.continual_axes)]
        return *map(shown, drawings), gr.update(choices=pages, value=0, visible=True)

    def look(names: list[str], index: int | None) -> Any:
        found, _ = sequences_and_runs(page, names)
        if index is None or index >= len(found):
            return None
        return shown(figures.continual_matrix(found[index], page.language))

    on_load(first, None, pick).then(compare, pick, [curves, axes, one], **QUIET).then(
        look, [pick, one], matrix, **QUIET
    )
    kept_in_address(pick, "run")
    pick.change(compare, pick, [curves, axes, one], **QUIET).then(
        look, [pick, one], matrix, trigger_mode="always_last", **QUIET
    )
    one.change(look, [pick, one], matrix, **QUIET)
    _form(page)


def sequences_of(run: Run) -> list[ContinualResult]:
    """Those that a finished run holds; a study has one for each method and seed. Raises RunError as Run.result()."""
    if run.kind == "continual":
        return [run.result_as(ContinualResult)]
    return [each for each in run.result_as(StudyResult).continual if len(each.order) > 1]


def _has_sequences(run: Run) -> bool:
    with suppress(LoRIError):  # a damaged result hides no other run
        return bool(sequences_of(run))
    return False


def _form(page: Context) -> None:
    """A new sequence, one run a method."""

    def start(
        base: str,
        tasks: list[str],
        methods: list[StudyMethod],
        overlap: Any,
        later_rate: float,
        later_masks: Any,
        rank: int,
        sparsity: float,
    ) -> str:
        if not methods:
            raise page.missing("continual.no_method")
        try:
            adapter = AdapterConfig(rank=rank, sparsity=sparsity)
            shared: dict[str, Any] = {"base": base.strip(), "tasks": tuple(tasks)}
            usual = {"overlap": overlap, "later_rate": later_rate, "later_masks": later_masks}
            jobs = []
            for each in methods:
                given: dict[str, Any] = shared | {"method": each.removesuffix("_conditioned"), "adapter": adapter}
                if each.endswith("_conditioned"):
                    given |= {"adapter": adapter.changed(projection="conditioned")}
                else:
                    given |= usual
                jobs.append(ContinualJob(**given))
        except LoRIError as error:
            raise page.error(error) from None
        names = [page.submit("continual", job) for job in jobs]
        return names[0]

    gr.Markdown(f"## {page.say('continual.start')}")
    base = gr.Textbox("embedded", label=page.say("continual.base"))
    tasks = gr.Dropdown(
        list(MINI_TASKS),
        value=["safety", "nlu", "math"],
        multiselect=True,
        allow_custom_value=True,
        label=page.say("continual.tasks"),
        info=page.say("continual.tasks_info"),
    )
    methods = gr.CheckboxGroup(
        [(method_label(method, page.language), method) for method in METHODS],
        value=["lori_s", "lora"],
        label=page.say("continual.methods"),
        info=page.say("continual.methods_info"),
    )
    gr.Markdown(page.say("continual.conditioned"))
    overlap = gr.Radio(
        [(page.say(f"continual.{each}"), each) for each in ("allow", "exclude")],
        value="allow",
        label=page.say("continual.overlap"),
    )
    later = later_tasks(page)
    with gr.Row():
        rank = gr.Slider(1, 128, DEFAULTS.rank, step=1, label=page.say("continual.rank"))
        sparsity = gr.Slider(0, 0.99, DEFAULTS.sparsity, step=0.01, label=page.say("continual.sparsity"))
    button = gr.Button(page.say("continual.go"), variant="primary")
    opens_run(page, button, start, [base, tasks, methods, overlap, *later, rank, sparsity])


def sequences_and_runs(page: Context, names: list[str]) -> tuple[list[ContinualResult], list[str]]:
    """Of the runs of these names, and what the run of each sequence is called: no two of them alike."""
    try:
        runs = [page.workspace.run(name) for name in names or []]
        found = [sequences_of(run) for run in runs]
    except LoRIError as error:
        raise page.error(error) from None
    labels = [label for label, _ in run_choices(runs, lambda run: made(page, run))]
    of_each = [label for label, some in zip(labels, found, strict=True) for _ in some]
    return [each for some in found for each in some], of_each


def _label(page: Context, run: Run) -> str:
    what = page.say("continual.study") if run.kind == "study" else method_label(study_method(run), page.language)
    return f"{label(page, run)} · {what}"


def study_method(run: Run) -> str:
    """Of a run of its own, as studies name it."""
    adapter = run.config.get("adapter")
    conditioned = isinstance(adapter, dict) and adapter.get("projection") == "conditioned"
    return f"{run.config['method']}_conditioned" if conditioned else str(run.config["method"])


def _title(page: Context, sequence: ContinualResult) -> str:
    seed = translate("figures.seed", page.language, seed=sequence.seed)
    return f"{figures.condition(sequence, page.language)}, {seed}: {' → '.join(sequence.order)}"
