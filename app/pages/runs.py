"""Runs: what there is, and one of them as it goes: /<language>/runs?run=<its folder's name>."""

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from html import escape
from time import time
from typing import Any

import gradio as gr

from app.address import asked, kept_in_address
from app.cache import TtlCache
from app.comparing import comparing, specs
from app.confirm import asked_first
from app.following import WRONG, Following, end_of, follow, forming
from app.lab import AT_ONCE, QUIET, Context, alert, on_load
from app.plot import chart, shown
from app.run_end import tells_end
from app.run_log import log_of, log_place
from app.run_results import results
from app.runs_table import runs_table, table_of
from app.slowness import time_of
from app.wording import run_words, stage_key, stage_words, state_of, state_words
from lori_core import figures
from lori_core.errors import LoRIError
from lori_core.report.verdict import duration
from lori_core.study.examples import MADE_BY, is_example, made_at
from lori_core.study.pace import seconds_left
from lori_core.study.runs import LARGEST_SPEC, Run, list_runs, size_of
from lori_core.study.specs import StudyConfig
from lori_core.translate import messages, translate

# A moment later: left while its connection closes, gradio's page logs an error.
OPEN_RUN = (
    "(name) => { if (!name) return; const lab = location.pathname.split('/').slice(0, 2).join('/');"
    " setTimeout(() => location.assign(lab + '/runs?run=' + name), 100) }"
)
LOG = 20_000  # bytes of the end of a log that are shown
POLL = 1.0  # seconds between two looks at the run that is shown
SHOWN_BY = {"study": ("report",), "continual": ("continual",), "merge_trial": ("merge",)}  # kind -> pages of its result
ADAPTERS_BY = ("try", "masks", "interference")  # pages of a run's adapters
CACHE = TtlCache()  # what pages of one run show is made once for all of them in each POLL


def opens_run(page: Context, button: gr.Button, start: Callable[..., str], given: Sequence[Any] | None) -> None:
    """A click starts a run and leads to it; why it does not stands where this is called.

    start: takes the values of `given`, returns the name of the run's folder; whatever it raises is shown.
    """
    name = gr.Textbox(visible="hidden")  # a gr.State never reaches the browser
    refusal = gr.HTML(padding=False)

    def answer(*values: Any) -> tuple[str, str]:
        try:
            return start(*values), ""
        except Exception as error:
            return "", page.refused(error)

    button.click(answer, given, [name, refusal], **AT_ONCE).then(None, name, None, js=OPEN_RUN)


def build(page: Context) -> None:
    gr.Markdown(f"# {page.say('runs.title')}")
    interrupted = gr.HTML()
    table = runs_table(page)
    ticked = gr.Textbox(visible="hidden")  # names of the runs that are compared, with a space between
    comparing(page, ticked)
    pick = gr.Dropdown(  # any name is taken, since another browser may discard the run that is shown
        [], label=page.say("runs.pick"), interactive=True, allow_custom_value=True
    )
    seen = gr.State("")
    # Their changes ask for what changes seldom; a state's would not be noticed past the queue.
    rare, listed, tab_title = (gr.Textbox(visible="hidden") for _ in range(3))
    status = gr.HTML()
    scores = gr.HTML()
    with gr.Row():
        stop = gr.Button(page.say("runs.stop"))
        resume = gr.Button(page.say("runs.resume"))
        discard = gr.Button(page.say("runs.discard"), variant="stop")
    tells_end(page, tab_title, pick)
    really = asked_first(page, discard, page.say("runs.really"), page.say("runs.yes"))
    refusal = gr.HTML(padding=False)
    mask, settling = chart(page), chart(page)  # above the losses: they are what one waits for
    losses = chart(page)
    with gr.Row(elem_classes="curve-options"):
        log_axis = gr.Checkbox(False, label=page.say("runs.log_axis"))
        smoothing = gr.Slider(0, 0.98, 0, step=0.02, label=page.say("runs.smoothing"), interactive=True)
        words = gr.Textbox(label=page.say("runs.words"), info=page.say("runs.words_info"))
    with gr.Accordion(page.say("runs.log"), open=False):
        log = log_place()
    with gr.Accordion(page.say("runs.output"), open=False):
        output = log_place()
    with gr.Accordion(page.say("runs.spec"), open=False):
        spec = gr.HTML()
    name = gr.Textbox(visible="hidden")  # a gr.State never reaches the browser
    specs(page, pick, name).success(None, name, None, js=OPEN_RUN)
    often: list[Any] = [seen, status, losses, rare, tab_title]
    seldom = [stop, resume, discard, scores, mask, settling, log, output, spec]

    def first(request: gr.Request) -> Any:
        names = _choices(page)
        wanted = next(iter(asked(request, "run")), names[0][1] if names else None)
        known = wanted in [name for _, name, _ in names]
        if wanted and not known:
            gr.Warning(page.say("runs.unknown", name=escape(wanted[:80])), duration=None)  # until it is closed
        return gr.update(choices=_pairs(names), value=wanted if known else None)

    def next_shown(shown: str | None) -> Any:
        """After a discard the newest run, whatever the address still names; what was not discarded stays."""
        names = _choices(page)
        known = [name for _, name, _ in names]
        return gr.update(choices=_pairs(names), value=shown if shown in known else next(iter(known), None))

    def look(name: str | None, before: str, *options: Any) -> Any:
        """What changes with each step; `rare` changes with what else there is to see, and that asks for it."""
        if not name:
            return ["", _no_run(page), None, "", page.say("runs.title")]
        try:
            run = page.workspace.run(name)
        except LoRIError as error:
            return ["", f"<p>{page.in_words(error)}</p>", None, "", page.say("runs.title")]
        now = CACHE.of(("mark", run.path, page.language), POLL, lambda: _mark(page, run)) + str(options)
        if now == before:
            return [gr.skip()] * len(often)
        return [now, *CACHE.of(("often", run.path, page.language, now), POLL, lambda: _often(page, run, *options))]

    def look_again(name: str | None) -> Any:
        try:
            return _seldom(page, page.workspace.run(name)) if name else NOTHING
        except LoRIError:
            return NOTHING

    def do(action: str) -> Any:
        def act(name: str | None) -> str:
            try:
                if name:
                    getattr(page.jobs, action)(page.workspace.own_run(name))
            except Exception as error:
                return page.refused(error)
            return ""

        return act

    def names() -> list[tuple[str, str, str]]:
        return CACHE.of(("runs", page.workspace.runs, page.language), POLL, lambda: _choices(page))

    def relist(shown: str | None) -> Any:
        return gr.update(choices=_pairs(names())), table_of(page, shown)

    def mark() -> str:
        """Differs whenever the table or the choices do."""
        question = ("table", page.workspace.runs, page.language)
        return CACHE.of(question, POLL, lambda: sha256(table_of(page).encode()).hexdigest())

    def opened(event: gr.EventData) -> str:
        return str(event.run)

    def edited(event: gr.EventData) -> str:
        try:
            page.workspace.own_run(str(event.run)).set_label(str(event.name), str(event.note))
        except LoRIError as error:
            return alert(page.in_words(error))
        return ""

    def both_ticked(event: gr.EventData) -> str:
        return " ".join(map(str, event.runs))

    looked: list[Any] = [pick, seen, log_axis, smoothing, words]
    on_load(first, None, pick).then(look, looked, often, **QUIET)
    on_load(lambda: offer_interrupted(page), None, interrupted)
    pick.change(look, looked, often, **QUIET)
    gr.on([log_axis.input, smoothing.input, words.input], look, looked, often, trigger_mode="always_last", **AT_ONCE)
    kept_in_address(pick, "run")
    rare.change(look_again, pick, seldom, **AT_ONCE)
    listed.change(relist, pick, [pick, table], **AT_ONCE)
    pick.change(lambda shown: table_of(page, shown), pick, table, **AT_ONCE)
    table.select(opened, None, pick, trigger_mode="always_last", **AT_ONCE)
    table.edit(edited, None, refusal, trigger_mode="multiple", **AT_ONCE)  # a name, and at once its note
    table.like(both_ticked, None, ticked, trigger_mode="always_last", **AT_ONCE)
    timer = gr.Timer(POLL)  # few outputs: gradio builds one anew even where it is skipped
    timer.tick(lambda *given: [*look(*given), mark()], looked, [*often, listed], **AT_ONCE)
    stop.click(do("stop_and_keep"), pick, refusal, **AT_ONCE)
    resume.click(do("resume"), pick, refusal, **AT_ONCE)
    really.click(do("discard"), pick, refusal, **AT_ONCE).then(next_shown, pick, pick, **QUIET)


def _choices(page: Context) -> list[tuple[str, str, str]]:
    """(what is shown, name, state) of each run, newest first."""
    runs = page.workspace.shown_runs()
    return [(run_words(page, run), run.path.name, state_of(page, run)) for run in runs]


def _no_run(page: Context) -> str:
    link = f'<a href="/{page.language}/study">{escape(page.say("study.title"))}</a>'
    return f'<p class="empty">{page.say("runs.none", study=link)}</p>'


def offer_interrupted(page: Context) -> str:
    """Links to the runs whose process is gone, as after a power cut; empty where there are none."""
    found = [run for run in list_runs(page.workspace.runs) if state_of(page, run) == "orphaned"]
    if not found:
        return ""
    links = "".join(
        f'<li><a href="/{page.language}/runs?run={run.path.name}">{escape(run_words(page, run))}</a></li>'
        for run in found
    )
    return f'<div class="notice"><p>{escape(page.say("runs.interrupted", count=len(found)))}</p><ul>{links}</ul></div>'


def _buttons(state: str | None) -> list[Any]:
    """Stop, resume, discard: what can be done in that state; None: there is no run, or nobody may change it."""
    goes, ended = ("running", "starting", "waiting"), ("created", "stopped", "orphaned", "failed")
    return [gr.update(interactive=able) for able in (state in goes, state in ended, state is not None)]


def _pairs(names: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    return [(label, name) for label, name, _ in names]


NOTHING = [*_buttons(None), "", None, None, "", "", ""]  # where no run is shown


def _mark(page: Context, run: Run) -> str:
    """Differs whenever there is something new to show."""
    sizes = [size_of(run.path / name) for name in ("events.jsonl", "log.txt")]
    return f"{run.path.name} {state_words(page, run)} {sizes} {in_queue(page, run)}"  # the queue moves without it


def _often(
    page: Context, run: Run, log: bool = False, smoothing: float = 0, words: str = ""
) -> tuple[str, Any, str, str]:
    """Status, losses, what differs whenever one of _seldom() does, and the title of the tab.

    Args:
        words: of the curves that are shown, each in its label; none: all of them.
    """
    found = follow(run)
    labels = {stage_words(page, stage): stage for stage, curve in found.losses.items() if curve}
    wanted = words.casefold().split()
    chosen = {label: stage for label, stage in labels.items() if all(word in label.casefold() for word in wanted)}
    curves = {label: found.losses[stage] for label, stage in chosen.items()}
    series = {label: stage_key(stage) for label, stage in chosen.items()}
    looks = sum(map(len, found.looks.values()))
    rare = [
        run.path.name,
        state_of(page, run),
        looks,
        size_of(run.path / "log.txt"),
        *(event["time"] for event in found.news[-1:]),
    ]
    drawn = figures.live_losses(curves, page.language, series=series, log=log, smoothing=smoothing) if labels else None
    return _status(page, run, found), shown(drawn), str(rare), _tab_title(page, run, found)


def _seldom(page: Context, run: Run) -> list[Any]:
    found = follow(run)
    calibrations = [forming(run, task, looks) for task, looks in found.looks.items()]
    output, spec = end_of(run.path / "log.txt", LOG), end_of(run.path / "spec.json", LARGEST_SPEC)
    return [
        *_buttons(None if is_example(run) else state_of(page, run)),
        results(page, run),
        shown(figures.mask(calibrations[-1], page.language)) if calibrations else None,
        shown(figures.mask_settling(calibrations, page.language)) if calibrations else None,
        page.lab.without_places(log_of(page, found)),
        page.lab.without_places(output),
        f'<pre class="spec" tabindex="0">{escape(page.lab.without_places(spec))}</pre>{_command(page, run)}',
    ]


def _command(page: Context, run: Run) -> str:
    """What goes on with this run in a terminal, or does the same anew; who came in by a name has no terminal there."""
    if page.lab.named:
        return ""
    goes_on = run.state() in ("stopped", "orphaned", "failed")
    typed = (
        f"lori resume {shlex.quote(str(run.path))}"
        if goes_on
        else f"lori run {shlex.quote(str(run.path / 'spec.json'))}"
    )
    return f"<p>{escape(page.say('runs.goes_on' if goes_on else 'runs.same'))}<br><code>{escape(typed)}</code></p>"


def _refusal(page: Context, event: dict[str, Any]) -> str:
    """Why the run failed, in the reader's language; what is no error of ours has one language only."""
    key = f"error.{event.get('key')}"
    if key in messages(page.language):
        with suppress(*WRONG):  # values of another message, as of another version
            return page.lab.without_places(translate(key, page.language, **event["values"]))
    return page.lab.without_places(page.say("runs.failed", error=event.get("error")))


def _status(page: Context, run: Run, found: Following) -> str:
    facts = [(page.say("runs.state"), state_words(page, run)), *in_queue(page, run)]
    bar = ""
    if run.state() == "running" and (left := _left(page, run, found)) is not None:
        facts.append((page.say("runs.study_left"), duration(left, page.language)))
    if found.planned:
        facts.append((page.say("runs.units"), f"{len(found.done)} / {found.planned}"))
        bar = (
            f'<progress value="{len(found.done)}" max="{found.planned}" aria-label="{escape(page.say("runs.units"))}">'
        )
        bar += "</progress>"
    if found.stage and run.state() != "finished":
        facts.append((stage_words(page, found.stage[0]), f"{found.stage[1]} / {found.stage[2]}"))
    if found.pace and run.state() == "running":
        minutes, seconds = divmod(round(found.pace.seconds_left), 60)
        facts.append((page.say("runs.left"), f"{minutes}:{seconds:02}"))
        facts.append((page.say("runs.speed"), f"{found.pace.tokens_per_second:,.0f}"))
        facts.append((page.say("runs.memory"), f"{found.pace.memory_bytes / 1e9:.2f} GB"))
    if found.device:
        facts.append((page.say("runs.device"), found.device))
    listed = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in facts)
    error = alert(escape(_refusal(page, found.error))) if found.error else ""
    return f'<dl class="facts">{listed}</dl>{bar}{error}{_leads_on(page, run)}{_is_example(page, run)}'


def _is_example(page: Context, run: Run) -> str:
    """What an example is, and where it comes from."""
    if not is_example(run):
        return ""
    said = page.say("runs.is_example", command=f"<code>{MADE_BY}</code>", commit=f"<code>{escape(made_at())}</code>")
    return f'<p class="hint">{said}</p>'


def _left(page: Context, run: Run, found: Following) -> float | None:
    """Seconds that a study still takes; None: of another kind, or not known yet."""
    if run.kind != "study":
        return None
    under_way = time() - found.unit_since if found.unit_since else 0.0
    return seconds_left(run, list_runs(page.workspace.runs), under_way)


def in_queue(page: Context, run: Run) -> list[tuple[str, str]]:
    """Of a run that waits: its place, and what those before it take, where that is known of all of them."""
    waiting = [each.path for each in page.jobs.waiting()]
    if run.path not in waiting:
        return []
    own = waiting.index(run.path)
    facts = [(page.say("runs.place"), page.say("runs.place_of", place=own + 1, count=len(waiting)))]
    known = list_runs(page.workspace.runs)
    before = [_left(page, each, follow(each)) for each in known if each.state() == "running"]
    before += [_whole(page, each) for each in known if each.path in waiting[:own]]
    if None not in before and len(before) >= own:
        facts.append((page.say("runs.starts_in"), duration(sum(filter(None, before)), page.language)))
    return facts


def _whole(page: Context, run: Run) -> float | None:
    if run.kind != "study":
        return None
    with suppress(LoRIError):
        return time_of(page, StudyConfig(**run.config))[0]
    return None


def _tab_title(page: Context, run: Run, found: Following) -> str:
    """What a tab in the background tells: how far it is, or how it ended."""
    state, title = run.state(), page.say("runs.title")
    done, total = (len(found.done), found.planned) if found.planned else (found.stage or ("", 0, 0))[1:]
    if state == "running":
        return f"{100 * done // total}\N{NO-BREAK SPACE}% · {title}" if total else title
    sign = {"finished": "✓", "failed": "✗"}.get(state)
    return f"{sign} {title}" if sign else title


def _leads_on(page: Context, run: Run) -> str:
    """Pages that show what came out of it, once it has finished."""
    if run.state() != "finished":
        return ""
    names = [*SHOWN_BY.get(run.kind, ()), *(ADAPTERS_BY if (run.path / "adapters").is_dir() else ())]
    links = (
        f'<a href="/{page.language}/{name}?run={run.path.name}">{escape(page.say(f"runs.see.{name}"))}</a>'
        for name in names
    )
    return f'<p class="links">{" · ".join(links)}</p>' if names else ""
