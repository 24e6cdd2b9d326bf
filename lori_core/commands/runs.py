"""Commands on runs: run, resume, show."""

from pathlib import Path
from typing import Annotated

import typer

from lori_core.commands.options import Language, Out
from lori_core.commands.running import carry_out, carry_out_fresh, show_result
from lori_core.commands.telling import console, say, say_text, told
from lori_core.errors import RunError
from lori_core.processes import own_folder, process_count
from lori_core.study.runs import Run, list_runs, read_spec


def run(
    what: Annotated[Path, typer.Argument(help="A spec.json (a new run is made), or the folder of a run (it goes on).")],
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Carry out what a spec.json says, or go on with the run in a folder."""
    with told(language):
        if what.is_dir():
            _go_on(what, language)
        else:
            kind, config = read_spec(what)
            with own_folder(out) as place:
                carry_out_fresh(Run.create(place, kind, config), language)


def resume(
    folder: Annotated[Path | None, typer.Argument(help="Default: the newest unfinished run.")] = None,
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Go on with a run that was stopped, killed, or failed for a reason that is mended."""
    with told(language):
        _go_on(folder or _newest_unfinished(out), language)


def show(
    what: Annotated[Path | None, typer.Argument(help="A run or an adapter; default: the list of runs.")] = None,
    outputs: Annotated[int, typer.Option(help="So many outputs of each task, with what was expected.", min=0)] = 0,
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Look at a run, at an adapter, or at all runs."""
    with told(language):
        from lori_core.commands.tables import adapter_table, runs_table

        if what is None:
            console().print(runs_table(list_runs(out), language))
        elif (what / "adapter.json").is_file():
            from lori_core.storage.adapter_files import load_adapter

            console().print(adapter_table(load_adapter(what), what, language))
        else:
            _show_run(Run.open(what), outputs, language)


def _go_on(folder: Path, language: str) -> None:
    with own_folder(folder) as place:
        carry_out(Run.open(place), language)


def _newest_unfinished(out: Path) -> Path:
    if process_count() > 1:  # which is the newest may change while they look
        raise RunError("which_to_resume", processes=process_count())
    for each in list_runs(out):
        if each.state() not in ("finished", "running"):
            return each.path
    raise RunError("nothing_to_resume", path=out)


def _show_run(run: Run, outputs: int, language: str) -> None:
    state = run.state()
    say("command.state", language, path=run.path, kind=run.kind, state=state)
    if state == "finished":
        show_result(run, language)
        if outputs:
            _show_outputs(run, outputs, language)
        return
    failed = [event for event in run.events() if event.get("state") == "failed"]
    if state == "failed" and failed:
        say_text(str(failed[-1].get("error", "")))
    say("command.same", language, path=run.path)
    if state != "running":
        say("command.resume", language, path=run.path)


def _show_outputs(run: Run, count: int, language: str) -> None:
    from lori_core.commands.tables import outputs_of

    for task, outputs in outputs_of(run).items():
        for number, output in enumerate(outputs[:count], 1):
            values = {"prompt": output.prompt, "expected": output.expected.strip(), "output": output.output.strip()}
            say("command.output", language, task=task, number=number, score=f"{output.correct:g}", **values)
