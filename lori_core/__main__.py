"""The command line: `lori study`, `lori train` ... or `python -m lori_core`.

Every command writes a run into the folder of runs and carries it out; Ctrl-C stops it so that `lori resume` goes on.
Torch is imported by the commands that need it, so that --help and mistakes in the options answer at once.

Exit codes: 0 done, 2 refused with one message, 130 stopped.
"""

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console

from lori_core.config import (
    AdapterConfig,
    CalibrateJob,
    Config,
    ContinualJob,
    EvaluateJob,
    Granularity,
    MergeJob,
    Method,
    Projection,
    StudyConfig,
    TrainConfig,
    TrainJob,
)
from lori_core.errors import ConfigError, LoRIError, RunError, Stopped
from lori_core.recipes import training_for
from lori_core.runs import Run, list_runs, read_spec
from lori_core.translate import LANGUAGES, translate

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

REFUSED, STOPPED = 2, 130
MERGE_WEIGHT = 0.5  # the official one for three LoRI-D adapters; `lori study` searches it
DEFAULTS = StudyConfig()
TASKS, METHODS, MERGES = (
    list(DEFAULTS.tasks),
    [str(method) for method in DEFAULTS.methods],
    list(DEFAULTS.merge_methods),
)

# --- options that several commands have; None: as in config.py


def _language(value: str) -> str:
    if value not in LANGUAGES:
        raise typer.BadParameter(f"{value!r}; choose one of {', '.join(LANGUAGES)}")
    return value


def _choices(literal: Any) -> str:
    return " | ".join(get_args(literal))


Tasks = Annotated[list[str], typer.Option("--task", help="A mini task, or name=path?...; see `lori tasks`. Repeat it.")]
OneTask = Annotated[str, typer.Option("--task", help="A mini task, or name=path?...; see `lori tasks`.")]
OneMethod = Annotated[str, typer.Option("--method", help="lora | lori_d | lori_s")]
Sparsity = Annotated[float | None, typer.Option(help="Fraction of B held at zero, 0 to below 1.")]
Rank = Annotated[int | None, typer.Option(help="Rank of the adapters.")]
Granularities = Annotated[str | None, typer.Option("--granularity", help=_choices(Granularity))]
Projections = Annotated[str | None, typer.Option("--projection", help=f"How A is drawn: {_choices(Projection)}")]
Modules = Annotated[list[str] | None, typer.Option("--module", help="End of the names of modules to adapt. Repeat it.")]
Steps = Annotated[int | None, typer.Option(help="Optimizer steps of every training stage.")]
Rates = Annotated[list[str] | None, typer.Option("--learning-rate", help="METHOD=RATE, as in lori_s=5e-4. Repeat it.")]
Seed = Annotated[int, typer.Option(help="Draws A and the order of the examples.")]
BaseName = Annotated[str, typer.Option("--base", help='"embedded", a local folder, or a hub id.')]
Revision = Annotated[str | None, typer.Option(help="Revision of a hub id.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps ...; default: what is there.")]
PrecisionOption = Annotated[str, typer.Option("--precision", help="Of the base: bf16 | fp32.")]
Out = Annotated[Path, typer.Option(help="Folder of runs.")]
Language = Annotated[str, typer.Option(help="en | ja: of what is printed and of the report.", callback=_language)]

# --- commands


@app.command()
def study(
    tasks: Tasks = TASKS,
    methods: Annotated[list[str], typer.Option("--method", help=f"{_choices(Method)}. Repeat it.")] = METHODS,
    sparsity: Sparsity = None,
    rank: Rank = None,
    granularity: Granularities = None,
    projection: Projections = None,
    modules: Modules = None,
    seeds: Annotated[str, typer.Option(help="Separated by commas: 0,1,2")] = "0",
    steps: Steps = None,
    rates: Rates = None,
    merge_methods: Annotated[list[str], typer.Option("--merge-method", help="Repeat it.")] = MERGES,
    base: BaseName = "embedded",
    revision: Revision = None,
    device: Device = None,
    precision: PrecisionOption = "bf16",
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """The proof of concept: learn each task by each method, merge, learn in sequence, compare; a report at the end."""
    with told(language):
        _start(
            out,
            language,
            "study",
            StudyConfig,
            base=base,
            revision=revision,
            tasks=tasks,
            methods=methods,
            adapter=_adapter(rank, sparsity, granularity, projection, modules),
            train=_train_configs(base, steps, rates),
            seeds=_seeds(seeds),
            merge_methods=merge_methods,
            device=device,
            precision=precision,
        )


@app.command()
def calibrate(
    task: OneTask,
    sparsity: Sparsity = None,
    rank: Rank = None,
    granularity: Granularities = None,
    projection: Projections = None,
    modules: Modules = None,
    seed: Seed = 0,
    steps: Steps = None,
    rates: Rates = None,
    base: BaseName = "embedded",
    revision: Revision = None,
    device: Device = None,
    precision: PrecisionOption = "bf16",
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Find the mask of one task by a dense run; the mask can be used again with `lori train --mask`."""
    with told(language):
        _start(
            out,
            language,
            "calibrate",
            CalibrateJob,
            base=base,
            revision=revision,
            device=device,
            precision=precision,
            task=task,
            adapter=_adapter(rank, sparsity, granularity, projection, modules),
            train=_train_configs(base, steps, rates),
            seed=seed,
        )


@app.command()
def train(
    task: OneTask,
    method: OneMethod = "lori_s",
    mask: Annotated[str | None, typer.Option(help="Folder of an adapter whose mask is used (LoRI-S).")] = None,
    sparsity: Sparsity = None,
    rank: Rank = None,
    granularity: Granularities = None,
    projection: Projections = None,
    modules: Modules = None,
    seed: Seed = 0,
    steps: Steps = None,
    rates: Rates = None,
    base: BaseName = "embedded",
    revision: Revision = None,
    device: Device = None,
    precision: PrecisionOption = "bf16",
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Learn one task, keep its adapter and score it; LoRI-S calibrates its mask first."""
    with told(language):
        _start(
            out,
            language,
            "train",
            TrainJob,
            base=base,
            revision=revision,
            device=device,
            precision=precision,
            task=task,
            method=method,
            mask=mask,
            adapter=_adapter(rank, sparsity, granularity, projection, modules),
            train=_train_configs(base, steps, rates),
            seed=seed,
        )


@app.command()
def merge(
    adapters: Annotated[list[str], typer.Argument(help="Folders of the adapters.")],
    method: Annotated[str, typer.Option(help="concat | task_arithmetic | ties | dare | linear ...")] = "concat",
    weights: Annotated[
        list[float] | None, typer.Option("--weight", help=f"One for all (default {MERGE_WEIGHT}), or one for each.")
    ] = None,
    name: Annotated[str, typer.Option(help="Of the merged adapter.")] = "merged",
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Merge adapters into one; no base is needed."""
    with told(language):
        given = weights or [MERGE_WEIGHT]
        each = given * len(adapters) if len(given) == 1 else given
        _start(out, language, "merge", MergeJob, adapters=adapters, method=method, weights=each, name=name)


@app.command()
def continual(
    tasks: Tasks,
    method: OneMethod = "lori_s",
    overlap: Annotated[str, typer.Option(help="May a new mask use entries of earlier ones? allow | exclude")] = "allow",
    sparsity: Sparsity = None,
    rank: Rank = None,
    granularity: Granularities = None,
    projection: Projections = None,
    modules: Modules = None,
    seed: Seed = 0,
    steps: Steps = None,
    rates: Rates = None,
    base: BaseName = "embedded",
    revision: Revision = None,
    device: Device = None,
    precision: PrecisionOption = "bf16",
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Learn tasks one after another in one adapter, in the order given, and see what is forgotten."""
    with told(language):
        _start(
            out,
            language,
            "continual",
            ContinualJob,
            base=base,
            revision=revision,
            device=device,
            precision=precision,
            tasks=tasks,
            method=method,
            overlap=overlap,
            adapter=_adapter(rank, sparsity, granularity, projection, modules),
            train=_train_configs(base, steps, rates),
            seed=seed,
        )


@app.command()
def evaluate(
    tasks: Tasks,
    adapter: Annotated[str | None, typer.Option(help="Folder of an adapter; default: the base alone.")] = None,
    split: Annotated[str, typer.Option(help="train | validation | test")] = "test",
    limit: Annotated[int, typer.Option(help="Examples of each task.")] = 200,
    base: BaseName = "embedded",
    revision: Revision = None,
    device: Device = None,
    precision: PrecisionOption = "bf16",
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Score the base, or the base with an adapter."""
    with told(language):
        _start(
            out,
            language,
            "evaluate",
            EvaluateJob,
            base=base,
            revision=revision,
            device=device,
            precision=precision,
            tasks=tasks,
            adapter=adapter,
            split=split,
            limit=limit,
        )


@app.command()
def run(
    what: Annotated[Path, typer.Argument(help="A spec.json (a new run is made), or the folder of a run (it goes on).")],
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Carry out what a spec.json says, or go on with the run in a folder."""
    with told(language):
        if what.is_dir():
            _carry_out(Run.open(what), language)
        else:
            kind, config = read_spec(what)
            _fresh(Run.create(out, kind, config), language)


@app.command()
def resume(
    folder: Annotated[Path | None, typer.Argument(help="Default: the newest unfinished run.")] = None,
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Go on with a run that was stopped, killed, or failed for a reason that is mended."""
    with told(language):
        _carry_out(Run.open(folder) if folder else _newest_unfinished(out), language)


@app.command()
def show(
    what: Annotated[Path | None, typer.Argument(help="A run or an adapter; default: the list of runs.")] = None,
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Look at a run, at an adapter, or at all runs."""
    with told(language):
        from lori_core.summary import adapter_table, runs_table

        if what is None:
            _console().print(runs_table(list_runs(out), language))
        elif (what / "adapter.json").is_file():
            from lori_core.store import load_adapter

            _console().print(adapter_table(load_adapter(what), what, language))
        else:
            _show_run(Run.open(what), language)


@app.command("tasks")
def list_tasks(language: Language = "en") -> None:
    """What tasks there are, and how to name one's own."""
    with told(language):
        from lori_core.tasks.mini import MINI_TASKS
        from lori_core.tasks.scorers import SCORERS

        _say("command.tasks", language, mini=", ".join(MINI_TASKS), scorers=", ".join(SCORERS))


def main() -> None:
    app()


# --- from options to settings


def _adapter(
    rank: int | None,
    sparsity: float | None,
    granularity: str | None,
    projection: str | None,
    modules: list[str] | None,
) -> AdapterConfig:
    options = {
        "rank": rank,
        "sparsity": sparsity,
        "granularity": granularity,
        "projection": projection,
        "target_modules": modules or None,
    }
    return AdapterConfig(**{name: value for name, value in options.items() if value is not None})


def _train_configs(base: str, steps: int | None, rates: list[str] | None) -> dict[str, TrainConfig]:
    """The recipes of the base with what was asked for in their place; empty where nothing was."""
    known = {str(method): config for method, config in training_for(base).items()}
    wanted: dict[str, dict[str, Any]] = {method: {} if steps is None else {"steps": steps} for method in known}
    for text in rates or []:
        method, equals, rate = text.partition("=")
        if method not in known or not equals:
            raise ConfigError("bad_learning_rate", got=text, known=", ".join(known))
        wanted[method]["learning_rate"] = rate
    return {method: known[method].changed(**changes) for method, changes in wanted.items() if changes}


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError("bad_seeds", got=text) from None


# --- carrying a run out


@contextmanager
def told(language: str) -> Iterator[None]:
    """Says an error of ours in one message; any other is a bug and stays a traceback."""
    try:
        yield
    except LoRIError as error:
        typer.echo(error.in_language(language), err=True)
        raise typer.Exit(REFUSED) from None


def _start(out: Path, language: str, kind: str, model: type[Config], **values: Any) -> None:
    """A new run with these settings, which are checked before its folder is made."""
    _fresh(Run.create(out, kind, model(**values).model_dump(mode="json")), language)


def _fresh(run: Run, language: str) -> None:
    """A new run; one that is refused before any work began is not left behind."""
    try:
        _carry_out(run, language)
    except LoRIError:
        if all(event["kind"] in ("state", "plan") for event in run.events()):
            shutil.rmtree(run.path)
        raise


def _carry_out(run: Run, language: str) -> None:
    """Execute with progress on the screen; exit code 130 where it was stopped."""
    _say("command.run", language, path=run.path)
    try:
        with _asked_to_stop(language) as should_stop:
            from lori_core.execute import execute
            from lori_core.progress import progress
            from lori_core.train import Hooks

            with progress(_console(), language) as on_event:
                made = execute(run, Hooks(on_event, should_stop))
    except (Stopped, KeyboardInterrupt):
        _say("command.stopped", language, path=run.path)
        raise typer.Exit(STOPPED) from None
    _show_result(run, language)
    if made is not None and run.kind != "study":
        _say("command.adapter", language, path=made)


@contextmanager
def _asked_to_stop(language: str) -> Iterator[Callable[[], bool]]:
    """What says whether Ctrl-C or SIGTERM asked the work to stop. A second one ends it at once."""
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(number, signal.default_int_handler)
        _say("command.stopping", language)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _newest_unfinished(out: Path) -> Run:
    for each in list_runs(out):
        if each.state() not in ("finished", "running"):
            return each
    raise RunError("nothing_to_resume", path=out)


# --- what is printed


def _show_run(run: Run, language: str) -> None:
    state = run.state()
    _say("command.state", language, path=run.path, kind=run.kind, state=state)
    if state == "finished":
        _show_result(run, language)
        return
    failed = [event for event in run.events() if event.get("state") == "failed"]
    if state == "failed" and failed:
        _print(failed[-1]["error"])
    _say("command.same", language, path=run.path)
    if state != "running":
        _say("command.resume", language, path=run.path)


def _show_result(run: Run, language: str) -> None:
    from lori_core.summary import result_table

    _console().print(result_table(run, language))
    report = run.path / ("report.html" if language == "en" else f"report.{language}.html")
    if report.exists():
        _say("command.report", language, path=report)
    _say("command.same", language, path=run.path)


def _console() -> Console:
    return Console(width=None if Console().is_terminal else 200)  # a pipe has no width: tables keep their lines whole


def _say(key: str, language: str, **values: object) -> None:
    _print(translate(key, language, **values))


def _print(text: str) -> None:
    _console().print(text, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
