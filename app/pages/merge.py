"""Merge: many adapters, one adapter: choose, weigh, see each task before and after, keep the result."""

from typing import Any, Literal

import gradio as gr

from app.address import asked, kept_in_address
from app.lab import QUIET, Context, on_load
from app.merge_triangle import merge_triangle
from app.pages.runs import opens_run
from app.plot import chart, shown
from app.run_labels import finished, made, run_choices
from app.shelf_views import choices
from lori_core import figures
from lori_core.config import MERGE_BUDGET, MERGE_WEIGHTS, METHOD_OPTIONS, NEED_FOOTPRINTS, Granularity, MergeOptions
from lori_core.errors import LoRIError
from lori_core.results import MergeTrial
from lori_core.study.runs import Run
from lori_core.study.specs import MergeJob, MergeTrialJob

MOST = 8  # adapters that have a slider of their own
DEFAULTS = MergeOptions()
SEARCHED_IN = ("", "model", "kind")  # groups of modules in which each weight is searched by itself; "": it is not


def build(page: Context) -> None:
    gr.Markdown(f"# {page.say('merge.title')}\n\n{page.say('merge.what')}")
    pick = gr.Dropdown(
        [], multiselect=True, max_choices=MOST, label=page.say("merge.pick"), info=page.say("merge.pick_info")
    )
    method = gr.Dropdown(
        [(page.say(f"merge.method.{name}"), name) for name in METHOD_OPTIONS],
        value="concat",
        label=page.say("merge.method"),
    )
    keep = gr.Slider(0.01, 1, DEFAULTS.keep, step=0.01, label=page.say("merge.keep"), visible=False, interactive=True)
    drop = gr.Slider(0, 0.99, DEFAULTS.drop, step=0.01, label=page.say("merge.drop"), visible=False, interactive=True)
    footprints = gr.Markdown(page.say("merge.removal"), visible=False)
    sliders = [gr.Slider(-1, 2, 1, step=0.05, visible=False, interactive=True) for _ in range(MOST)]
    search = gr.Checkbox(False, label=page.say("merge.search"), info=page.say("merge.search_info"))
    groups = gr.Dropdown(
        [(page.say(f"merge.each.{name or 'no'}"), name) for name in SEARCHED_IN],
        value="",
        label=page.say("merge.each"),
        info=page.say("merge.each_info", budget=MERGE_BUDGET),
    )
    tasks = gr.Textbox(label=page.say("merge.tasks"), info=page.say("merge.tasks_info"))
    with gr.Row():
        name = gr.Textbox("merged", label=page.say("merge.name"))
        base = gr.Textbox("embedded", label=page.say("merge.base"))
    store = gr.Checkbox(True, label=page.say("merge.store"))
    with gr.Row():
        score = gr.Button(page.say("merge.score"), variant="primary")
        plain = gr.Button(page.say("merge.plain"))
    entries = gr.State([])
    # In the browser, so that a reload finds it: {"chosen": references, "weights": {reference: weight}}.
    kept = gr.BrowserState({}, storage_key="lori-merge", secret="lori-merge")
    look, chosen = merge_triangle(page, pick, entries, sliders)

    def job(
        references: list[str], method: str, keep: float, drop: float, name: str, store: bool, *weights: float
    ) -> Any:
        if store:
            page.ask("check_name", name=name.strip())  # before anything is scored
        options = {
            option: value for option, value in (("keep", keep), ("drop", drop)) if option in METHOD_OPTIONS[method]
        }
        return MergeJob(
            adapters=tuple(page.ask("folders", references=references or [])),
            method=method,
            weights=weights[: len(references or [])],
            options=options,
            name=name.strip(),
            store=str(page.workspace.store) if store else None,
        )

    def merge_only(references: list[str], method: str, *given: Any) -> str:
        if method in NEED_FOOTPRINTS:
            raise page.missing("merge.removal_needs_tasks")
        try:
            return page.submit("merge", job(references, method, *given))
        except LoRIError as error:
            raise page.error(error) from None

    def merge_and_score(tasks: str, base: str, search: bool, groups: Granularity | Literal[""], *given: Any) -> str:
        try:
            config = MergeTrialJob(
                merge=job(*given),
                tasks=tuple(filter(None, (task.strip() for task in tasks.split(",")))),
                base=base.strip(),
                scales=MERGE_WEIGHTS if search else (1.0,),
                groups=groups or None,
            )
        except LoRIError as error:
            raise page.error(error) from None
        return page.submit("merge_trial", config)

    def offer(chosen: list[str] | None, kept: dict[str, Any]) -> Any:
        found = [entry for entry in page.ask("contents") if not entry["wrong"]]
        names = choices(page, found)
        there = {entry["reference"] for entry in found}
        default = [f"ready/{task}/lori_s" for task in ("nlu", "math", "code", "safety")]
        wanted: list[str] = chosen or kept.get("chosen") or default
        return gr.update(choices=names, value=[each for each in wanted if each in there][:MOST]), found

    def weigh(references: list[str] | None, entries: list[dict[str, Any]], kept: dict[str, Any]) -> Any:
        """A slider for each; a weight belongs to its adapter, wherever that stands among the others."""
        weights = kept.get("weights", {})
        by_reference = {entry["reference"]: entry for entry in entries}
        labels = {reference: label for label, reference in choices(page, entries)}
        chosen = [each for each in references or [] if each in by_reference]
        updates = [
            gr.update(visible=True, label=page.say("merge.weight", adapter=labels[each]), value=weights.get(each, 1))
            for each in chosen[:MOST]
        ]
        known = [by_reference[each]["task"] or by_reference[each]["name"] for each in chosen]
        return *updates, *[gr.update(visible=False)] * (MOST - len(updates)), ", ".join(known)

    def keep_weights(references: list[str] | None, kept: dict[str, Any], *weights: float) -> dict[str, Any]:
        now = dict(zip(references or [], weights, strict=False))
        return {"chosen": references or [], "weights": kept.get("weights", {}) | now}

    def options(method: str) -> Any:
        there = ["keep" in METHOD_OPTIONS[method], "drop" in METHOD_OPTIONS[method], method in NEED_FOOTPRINTS]
        return [gr.update(visible=each) for each in there]

    weighed: list[Any] = [*sliders, tasks]
    on_load(offer, [pick, kept], [pick, entries]).then(weigh, [pick, entries, kept], weighed, **QUIET)
    # always_last: a choice that comes while the triangle of the one before is computed must not be dropped
    pick.change(weigh, [pick, entries, kept], weighed, **QUIET).then(*look, trigger_mode="always_last", **QUIET)
    chosen(keep_weights, [pick, kept], kept)
    pick.input(lambda chosen, kept: kept | {"chosen": chosen or []}, [pick, kept], kept, **QUIET)
    changed = [each for slider in sliders for each in (slider.input, slider.release)]
    gr.on(changed, keep_weights, [pick, kept, *sliders], kept, trigger_mode="always_last", **QUIET)
    method.change(options, method, [keep, drop, footprints], **QUIET)
    given = [pick, method, keep, drop, name, store, *sliders]
    opens_run(page, plain, merge_only, given)
    opens_run(page, score, merge_and_score, [tasks, base, search, groups, *given])
    _results(page)


def _results(page: Context) -> None:
    """Merges that were scored."""
    gr.Markdown(f"## {page.say('merge.results')}")
    pick = gr.Dropdown([], label=page.say("merge.trial"), interactive=True)
    dumbbells, curve = chart(page), chart(page)

    def first(request: gr.Request) -> Any:
        names = run_choices(finished(page, "merge_trial"), lambda run: _label(page, run))
        known = [name for _, name in names]
        value = next((name for name in [*asked(request, "run"), *known] if name in known), None)
        return gr.update(choices=names, value=value)

    def look(name: str | None) -> Any:
        if not name:
            return None, None
        try:
            trial = page.workspace.run(name).result_as(MergeTrial)
        except LoRIError as error:
            raise page.error(error) from None
        search = figures.weight_search(trial, page.language) if trial.validation else None
        return shown(figures.before_after(trial, page.language)), shown(search)

    on_load(first, None, pick).then(look, pick, [dumbbells, curve], **QUIET)
    kept_in_address(pick, "run")
    pick.change(look, pick, [dumbbells, curve], **QUIET)


def _label(page: Context, run: Run) -> str:
    """When it was made, of what; its settings may be damaged."""
    merge = run.config.get("merge")
    known = merge if isinstance(merge, dict) else {}
    how, name = str(known.get("method", "")), str(known.get("name", ""))
    how = page.say(f"merge.method.{how}") if how in METHOD_OPTIONS else how
    return " · ".join(filter(None, [made(page, run), name, how]))
