"""Footprints of a run, kept in its folder, so that a run that goes on reads the same ones."""

from collections.abc import Callable, Sequence
from functools import partial

from lori_core.errors import ConfigError
from lori_core.method.adapter import Adapter
from lori_core.method.conditioned import Conditions
from lori_core.method.footprint import Footprint, check_footprint_base
from lori_core.storage.footprint_files import load_footprint, save_footprint
from lori_core.study.layout import variants
from lori_core.study.specs import MergeJob, StudyConfig, TrainJob
from lori_core.study.there import check_projection
from lori_core.study.units import Work
from lori_core.training.footprints import task_footprint
from lori_core.training.recipes import training_for


def check_against(job: TrainJob) -> None:
    """Raises ConfigError where a conditioned A has nothing to be conditioned on, or another A was given something."""
    given = bool(job.against or job.footprints)
    if job.adapter.projection == "conditioned" and not given:
        raise ConfigError("conditioned_needs_footprints", task=job.task)
    if job.adapter.projection != "conditioned" and given:
        raise ConfigError("footprints_without_use", projection=job.adapter.projection)


def check_conditioned(config: StudyConfig) -> None:
    """Raises ConfigError where a study's conditioned A have nothing to be conditioned on, or others were given it.

    So it does where methods that draw their A are to have a conditioned one.
    """
    check_projection(config)
    conditioned = any(variant.conditioned for variant in variants(config))
    if conditioned and len(config.tasks) < 2 and not config.footprints:
        raise ConfigError("conditioned_on_nothing", task=", ".join(config.tasks))
    if config.footprints and not conditioned:
        raise ConfigError("footprints_without_use", projection=config.adapter.projection)


def conditions_of(job: TrainJob, work: Work) -> Conditions:
    """Footprints of the task, of the tasks that A shall not read, and those that were measured earlier."""
    length = training_for(job.base, job.train)["lori_d"].max_length
    own, *others = measured_footprints(work, job.adapter.target_modules, job.adapter.directions, max_length=length)
    given = given_footprints(work, job.footprints)
    return Conditions(own, [*others, *given])


def footprints_of(job: MergeJob, adapters: Sequence[Adapter], work: Work) -> list[Footprint]:
    """One for each adapter: those that were given, else measured on the tasks of the trial."""
    if job.footprints:
        return given_footprints(work, job.footprints)
    return measured_footprints(work, tuple(adapters[0].factors), adapters[0].config.directions)


def measured_footprints(work: Work, modules: Sequence[str], directions: int, **how: int) -> list[Footprint]:
    """Of all the tasks."""
    return [
        _kept(work, f"{n}", partial(task_footprint, work.base, task, modules, directions=directions, **how))
        for n, task in enumerate(work.tasks)
    ]


def given_footprints(work: Work, folders: Sequence[str]) -> list[Footprint]:
    """Those of the folders, copied into the run's own.

    Raises:
        IncompatibleAdapters: one is of another base.
    """
    return [_kept(work, f"given-{n}", partial(load_footprint, folder)) for n, folder in enumerate(folders)]


def _kept(work: Work, name: str, make: Callable[[], Footprint]) -> Footprint:
    """A footprint in the run's folder, made where it is not there yet."""
    folder = work.layout.footprint(name)
    if not folder.exists():
        work.hooks.check_stop()
        made = make()
        check_footprint_base(made, work.base.name, work.base.fingerprint)
        save_footprint(made, folder)
    return load_footprint(folder)
