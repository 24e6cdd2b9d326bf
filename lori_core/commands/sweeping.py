"""Command `lori sweep`: a study over a grid of settings and seeds, one after another or on a Ray cluster."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from lori_core.commands.options import Language, Out, seed_list
from lori_core.commands.running import STOPPED
from lori_core.commands.telling import console, say, told
from lori_core.errors import ConfigError, RunError
from lori_core.files import write_atomic
from lori_core.results import SweepResult
from lori_core.study.ray_units import on_ray
from lori_core.study.runs import read_spec
from lori_core.study.specs import StudyConfig
from lori_core.study.sweep import SPEC, create, go_on, in_turn

PAGE = "report.html"


def sweep(
    what: Annotated[Path, typer.Argument(help="spec.json of a study (a new sweep), or a sweep's folder (it goes on).")],
    grid: Annotated[
        list[str] | None,
        typer.Option(help="FIELD=VALUE,VALUE of the adapters' settings, as in sparsity=.8,.9. Once or twice."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Separated by commas: 0,1,2. Left out: 0.")] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Of a Ray cluster that does units side by side; auto: this machine's; local: one for this."),
    ] = None,
    gpus: Annotated[float | None, typer.Option(min=0, help="Of each unit on Ray; .5: two units share one.")] = None,
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """One study at each point of a grid and with each seed, each a run; the same command on its folder goes on."""
    with told(language):
        if gpus is not None and address is None:
            raise ConfigError("gpus_of_no_cluster", got=gpus)
        with on_ray(address, gpus) if address else nullcontext(in_turn) as engine:
            folder = _begun(what, grid, seeds) if (what / SPEC).is_file() else _created(what, grid or [], seeds, out)
            say("command.sweep", language, path=folder)

            def on_event(event: dict[str, str]) -> None:
                say("command.sweep_unit", language, run=event["name"], state=event["state"])

            try:
                result = go_on(folder, on_event, engine)
            except KeyboardInterrupt:
                say("command.sweep_stopped", language, path=folder)
                raise typer.Exit(STOPPED) from None
        _show(result, folder, language)


def _begun(folder: Path, grid: Sequence[str] | None, seeds: str | None) -> Path:
    if grid or seeds:
        raise ConfigError("sweep_begun", path=folder)
    return folder


def _created(spec: Path, grid: Sequence[str], seeds: str | None, out: Path) -> Path:
    """Raises what check_there() raises, before any unit is made."""
    from lori_core.study.there import check_there

    kind, config = read_spec(spec)
    if kind != "study":
        raise RunError("sweep_of_study", path=spec, kind=kind)
    study, axes, numbers = StudyConfig(**config), _axes(grid), seed_list(seeds or "0")
    check_there(study)
    return create(out, study, axes, numbers)


def _axes(texts: Sequence[str]) -> dict[str, list[str]]:
    """["sparsity=.8,.9"] -> {"sparsity": [".8", ".9"]}"""
    axes: dict[str, list[str]] = {}
    for text in texts:
        field, equals, values = text.partition("=")
        if field in axes:
            raise ConfigError("grid_twice", got=field)
        axes[field] = list(dict.fromkeys(value for value in values.split(",") if value))
        if not equals or not axes[field]:
            raise ConfigError("bad_grid", got=text)
    return axes


def _show(result: SweepResult, folder: Path, language: str) -> None:
    from lori_core.commands.tables import sweep_table
    from lori_core.report.sweep_page import sweep_page

    console().print(sweep_table(result, language))
    write_atomic(folder / PAGE, sweep_page(result, language))
    say("command.report", language, path=folder / PAGE)
