"""Sweep: one study at each point of a grid of adapter settings and with each seed, every such unit a run of its own.

    <root>/<time>-sweep-<random>/
      sweep.json     the study, the grid, the seeds, and of each unit its point, its seed and its run's folder in <root>
      result.json    SweepResult, of the units that are finished; report.html is drawn from it

Units are done one after another, or by another engine (ray_units.py). One that was lost with its process goes on where
its run was; one that is finished is not done again.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from lori_core.config import AdapterConfig, Config, parse
from lori_core.errors import ConfigError, LoRIError, RunError
from lori_core.files import folder_atomic, named, read_file, write_atomic
from lori_core.results import StudyResult, SweepCell, SweepResult, to_json
from lori_core.study.runs import LARGEST_SPEC, Run
from lori_core.study.specs import StudyConfig

# Does runs that are not finished, in any order, and tells of each as it ends what was wrong with it, if anything.
Engine = Callable[[Sequence[Run]], Iterator[tuple[Run, LoRIError | None]]]
Point = dict[str, str]  # field of AdapterConfig -> value, as it was typed
SPEC, RESULT = "sweep.json", "result.json"
OF_THE_STUDY = {"shared_projection", "slot", "slots", "train_projection"}  # which sets them for each of its adapters


class Unit(Config):
    """A study of one seed. run: the name of its folder, beside the sweep's."""

    point: Point
    seed: int
    run: str


class Sweep(Config):
    """sweep.json. grid: at most two fields, in the order in which they were named."""

    study: StudyConfig
    grid: dict[str, tuple[str, ...]]
    units: tuple[Unit, ...]


def create(root: Path, study: StudyConfig, grid: Mapping[str, Sequence[str]], seeds: Sequence[int]) -> Path:
    """The folder of a new sweep, whose units are runs in `root` that have not begun.

    Raises:
        ConfigError: the grid is empty or has more than two fields, a field is none of AdapterConfig, or a value of it
            is not allowed.
    """
    if not 1 <= len(grid) <= 2:
        raise ConfigError("sweep_axes", got=len(grid))
    known = [field for field in AdapterConfig.model_fields if field not in OF_THE_STUDY]
    if unknown := [field for field in grid if field not in known]:
        raise ConfigError("sweep_field", got=unknown[0], known=", ".join(known))
    points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    cells = [(point, seed) for point in points for seed in dict.fromkeys(seeds)]
    studies = [study.changed(adapter=study.adapter.changed(**point), seeds=(seed,)) for point, seed in cells]
    path = root / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-sweep-{secrets.token_hex(3)}"
    units = [
        Unit(point=point, seed=seed, run=Run.create(root, "study", each.model_dump(mode="json")).path.name)
        for (point, seed), each in zip(cells, studies, strict=True)
    ]
    sweep = Sweep(study=study, grid={field: tuple(values) for field, values in grid.items()}, units=tuple(units))
    with folder_atomic(path) as folder:
        write_atomic(folder / SPEC, sweep.model_dump_json(indent=1))
    return path


def read(folder: Path) -> Sweep:
    """Raises RunError where there is no sweep; ConfigError where it is damaged."""
    try:
        text = read_file(folder / SPEC, 10 * LARGEST_SPEC).decode()
    except (OSError, ValueError):
        raise RunError("no_sweep", path=folder) from None
    return parse(Sweep, text)


def in_turn(runs: Sequence[Run]) -> Iterator[tuple[Run, LoRIError | None]]:
    """The engine of one process."""
    for run in runs:
        yield run, done(run)


def done(run: Run) -> LoRIError | None:
    """Does the run if it is not finished, and says what was wrong with it: nothing that it meets ends the others."""
    from lori_core.study.jobs import execute  # imports torch, which a refused grid need not wait for

    try:
        if run.state() != "finished":
            execute(run)
    except LoRIError as error:
        return error
    except Exception as error:  # the run's events have its traceback
        return RunError("unit_crashed", reason=f"{type(error).__name__}: {error}")
    return None


def go_on(
    folder: Path, on_event: Callable[[dict[str, Any]], None] = lambda event: None, engine: Engine = in_turn
) -> SweepResult:
    """Does the units that are not finished, and keeps what came out of all.

    Args:
        on_event: gets {"kind": "unit", "name": run, "state": "done" or "failed"} of each as it ends.
    Raises:
        RunError: units failed; the others are finished, and the result is kept without the failed ones.
    """
    folder = named(folder)  # "." has no folder above it, where the runs lie
    sweep = read(folder)
    runs = [Run.open(folder.parent / unit.run) for unit in sweep.units]
    wrong: dict[str, LoRIError] = {}
    for run, error in engine([run for run in runs if run.state() != "finished"]):
        if error is not None:
            wrong[run.path.name] = error
        on_event({"kind": "unit", "name": run.path.name, "state": "failed" if error else "done"})
    result = result_of(sweep, folder.parent)
    write_atomic(folder / RESULT, to_json(result))
    if wrong:
        name, error = next(iter(wrong.items()))
        raise RunError("sweep_units_failed", failed=len(wrong), units=len(runs), run=name, reason=error, path=folder)
    return result


def result_of(sweep: Sweep, root: Path) -> SweepResult:
    """Of the units that are finished: of each point and method the mean over tasks and seeds, and of its intervals."""
    by_point: dict[str, list[StudyResult]] = {}
    for unit in sweep.units:
        run = Run.open(root / unit.run)
        if run.state() == "finished":
            by_point.setdefault(json.dumps(unit.point), []).append(run.result_as(StudyResult))
    cells = []
    for point, results in by_point.items():
        for method in dict.fromkeys(single.method for single in results[0].singles):
            scores = [single.score for result in results for single in result.singles if single.method == method]
            means = (fmean(getattr(score, part) for score in scores) for part in ("value", "low", "high"))
            cells.append(SweepCell(tuple(json.loads(point).values()), method, *means, seeds=len(results)))
    axes = {field: tuple(values) for field, values in sweep.grid.items()}
    return SweepResult(axes, tuple(cells), len(sweep.units), sum(map(len, by_point.values())))
