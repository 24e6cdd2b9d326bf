"""Origin of an adapter: the base it belongs on and the task that it learned, as far as that was written down.

A run's own settings know most (precision, chat template, files of one's own); else the adapter's record is asked.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lori_core.config import BaseConfig
from lori_core.errors import AdapterError, ConfigError, RunError
from lori_core.service.shelf import OF_RUNS, Shelf
from lori_core.storage.header import read_header
from lori_core.study.reach import SHOWN
from lori_core.study.runs import Run
from lori_core.tasks.registry import name_of


@dataclass(frozen=True)
class Origin:
    """task: as load_task takes it; empty where the adapter has no one task, as a merge."""

    base: BaseConfig
    task: str


def origin_of(shelf: Shelf, reference: str) -> Origin:
    """Of one adapter.

    Raises:
        AdapterError: neither its run nor its record names a base. ConfigError: its record names what the workspace
            does not reach: whoever made it may be anybody.
    """
    (folder,) = map(Path, shelf.folders([reference]))
    header, _ = read_header(folder)
    name = str(header.record.get("task", ""))
    if reference.startswith(OF_RUNS):
        with suppress(RunError):
            return _of_run(Run.open(folder.parent.parent), name)
    known = header.record.get("base")
    if not isinstance(known, dict) or not known.get("name"):
        raise AdapterError("no_base_known", name=header.name)
    settings = {key: known[key] for key in ("revision", "quantization") if known.get(key)}
    origin = Origin(BaseConfig(base=known["name"], **settings), name)
    shelf.reach.check(origin.base)
    if name and not shelf.reach.has_task(name):
        raise ConfigError("path_out_of_reach", field="task", got=name[:SHOWN])
    return origin


def _of_run(run: Run, name: str) -> Origin:
    """Raises RunError where the run needs no base."""
    if "base" not in run.config:
        raise RunError("no_run", path=run.path)
    settings = {key: value for key, value in run.config.items() if key in BaseConfig.model_fields}
    specs = run.config.get("tasks") or [run.config.get("task", "")]
    known = {name_of(spec): spec for spec in specs}
    return Origin(BaseConfig(**settings), known.get(name, name))
