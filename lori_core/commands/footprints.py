"""Commands on footprints: footprint, forecast, and lori store footprint list, show, diff."""

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lori_core.commands.options import Group, Language, Length, Modules, adapter_config, with_groups
from lori_core.commands.store import STORE, Root, VersionsIn, adapter_folder
from lori_core.commands.telling import console, say, say_text, told
from lori_core.config import AdapterConfig, BaseConfig
from lori_core.errors import ConfigError, IncompatibleAdapters, LoRIError

if TYPE_CHECKING:
    from lori_core.bases.load import Base
    from lori_core.method.adapter import Adapter
    from lori_core.method.footprint import Footprint
    from lori_core.tasks.task import Task

kept = typer.Typer(help="Versions of footprints, as `lori footprint` leaves them.")

CORPUS = "corpus"
_NUMBERED = re.compile(r"[^@/\\=?]+@[1-9][0-9]{0,8}")  # a version with its number: no task's name

Examples = Annotated[int, typer.Option(help="Examples of each task; paragraphs of a text.", min=1)]
Reference = Annotated[str, typer.Argument(help="NAME (its newest version), NAME@3, or a folder.")]


@with_groups
def footprint(
    tasks: Annotated[
        list[str] | None, typer.Argument(help="Mini tasks, or name=path?...; see `lori tasks`.", metavar="TASK...")
    ] = None,
    texts: Annotated[
        list[str] | None,
        typer.Option("--text", help=f"Also of a UTF-8 file, or of {CORPUS}: the embedded base's own. Repeat it."),
    ] = None,
    examples: Examples = 128,
    directions: Annotated[
        int, typer.Option(help="Random directions in which an input is seen that is too wide to be seen whole.", min=1)
    ] = AdapterConfig().directions,
    modules: Modules = None,
    length: Length = 512,
    seed: Annotated[int, typer.Option(help="Draws the examples.")] = 0,
    store: Annotated[Path, typer.Option("--store", help="The store that keeps them as versions.")] = STORE,
    out: Annotated[Path | None, typer.Option(help="Write folders OUT/NAME instead of versions.")] = None,
    *,
    base: Group,
    language: Language = "en",
) -> None:
    """Measure what tasks and texts feed into each module: one forward pass over some examples, nothing is trained."""
    with told(language):
        from lori_core.training.footprints import task_footprint, text_footprint

        if not tasks and not texts:
            raise ConfigError("footprint_of_nothing_named")
        _check_names(tasks or [], texts or [])
        read = {_name_of(text): _read(text, examples, seed) for text in texts or []}  # before the base is loaded
        loaded, known = _opened(base, tasks or [])
        how: dict[str, Any] = {"directions": directions, "max_length": length or 512}
        for task in known:
            made = task_footprint(loaded, task, modules or [], examples=examples, seed=seed, **how)
            _keep(made, store, out, language)
        for name, paragraphs in read.items():
            _keep(text_footprint(loaded, name, paragraphs, modules or [], **how), store, out, language)


@with_groups
def forecast(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Tasks, before training; or adapters, after it: folders or versions NAME@3, NAME@TAG.",
            metavar="TASK_OR_ADAPTER...",
        ),
    ] = None,
    footprints: Annotated[
        list[str] | None,
        typer.Option(
            "--footprint",
            help="A footprint that was measured, as a folder or a version: more tasks, or one for each adapter. "
            "Repeat it.",
        ),
    ] = None,
    examples: Examples = 128,
    store: VersionsIn = None,
    *,
    adapter: Group,
    base: Group,
    language: Language = "en",
) -> None:
    """Say how much of each task the adapters of the others will let through, from footprints, beside chance."""
    with told(language):
        from lori_core.commands.tables import forecast_table
        from lori_core.method.forecast import forecast as of_adapters
        from lori_core.method.forecast import forecast_before
        from lori_core.storage.footprint_files import load_footprint

        found = [load_footprint(footprint_folder(each, store)) for each in footprints or []]
        tasks, adapters = _tasks_and_adapters(names or [], store)
        if adapters:
            matrix = of_adapters(adapters, found or _footprints_of(adapters, base, examples))
        else:
            config = adapter_config(adapter)
            found = [*_measured(tasks, base, config, examples), *found]
            if not found:
                raise ConfigError("forecast_of_nothing")
            matrix = forecast_before(found, config)
        console().print(forecast_table(matrix, language))
        say("command.forecast_read", language)


@kept.command("list")
def list_kept(root: Root = STORE, language: Language = "en") -> None:
    """All versions, oldest first."""
    with told(language):
        from lori_core.commands.tables import footprints_table
        from lori_core.storage.footprint_store import FootprintStore

        store = FootprintStore(root)
        console().print(footprints_table([(each, store.folder(each)) for each in store.references()], language))


@kept.command()
def show(reference: Reference, root: Root = STORE, language: Language = "en") -> None:
    """What a footprint says of itself: base, data, tokens, software; every checksum is checked."""
    with told(language):
        from lori_core.commands.tables import entries_table
        from lori_core.storage.diff import footprint_entries
        from lori_core.storage.footprint_files import load_footprint, read_footprint_header

        folder = footprint_folder(reference, root)
        load_footprint(folder)
        say_text(str(folder))
        console().print(entries_table(dict(footprint_entries(read_footprint_header(folder)[0])), language))


@kept.command()
def diff(left: Reference, right: Reference, root: Root = STORE, language: Language = "en") -> None:
    """What differs between two footprints, and how far their moments are apart, input by input."""
    with told(language):
        from lori_core.commands.tables import footprint_difference_table
        from lori_core.storage.diff import footprint_difference

        found = footprint_difference(footprint_folder(left, root), footprint_folder(right, root))
        console().print(footprint_difference_table(found, language))


def footprint_folder(reference: str, root: Path | None) -> Path:
    """Where a footprint lies that is named by its folder or by a version of a store.

    Raises:
        ConfigError: it is both a folder here and a version. AdapterError, StorageError: it is neither.
    """
    from lori_core.storage.footprint_store import FootprintStore

    path, root = Path(reference), root or STORE
    if path.name != reference:
        return path
    try:
        version = FootprintStore(root).folder(reference)
    except LoRIError:
        if path.is_dir():
            return path
        raise
    if path.is_dir():
        named = f"{version.parent.name}@{version.name}"
        raise ConfigError("folder_or_version", adapter=reference, store=root, version=named)
    return version


def tasks_and_footprints(given: Sequence[str], root: str | None) -> tuple[list[str], list[str]]:
    """(specs of tasks, folders of footprints): a footprint is named by a folder, or by a version with its number."""
    stored = [each for each in given if _NUMBERED.fullmatch(each) or Path(each).is_dir()]
    folders = [str(footprint_folder(each, Path(root or STORE))) for each in stored]
    return [each for each in given if each not in stored], folders


def _tasks_and_adapters(names: Sequence[str], root: Path | None) -> tuple[list[str], list["Adapter"]]:
    """(specs of tasks, adapters), one of both empty; an adapter is a folder, or a version with its number or tag."""
    stored = [each for each in names if Path(each).is_dir() or ("@" in each and "=" not in each)]
    tasks = [each for each in names if each not in stored]
    if tasks and stored:
        raise ConfigError("forecast_mixed", first=stored[0], second=tasks[0])
    if not stored:
        return tasks, []
    from lori_core.storage.adapter_files import load_adapter

    return [], [load_adapter(adapter_folder(each, root)) for each in stored]


def _opened(base: Group, specs: Sequence[str]) -> tuple["Base", tuple["Task", ...]]:
    """The base and the tasks as a run has them; tasks are read first, so that a mistake in them shows at once."""
    from lori_core.bases.load import open_base
    from lori_core.study.units import load_tasks
    from lori_core.tasks.chat import in_chat

    config = BaseConfig(**base)
    tasks = load_tasks(specs, config.allow_code_execution)
    loaded = open_base(config)
    return in_chat(loaded, tasks) if config.chat else (loaded, tasks)


def _measured(specs: Sequence[str], base: Group, config: AdapterConfig, examples: int) -> list["Footprint"]:
    """Of tasks, with what an adapter of these settings needs."""
    if not specs:
        return []
    from lori_core.training.footprints import task_footprint

    loaded, tasks = _opened(base, specs)
    how: dict[str, Any] = {"examples": examples, "directions": config.directions}
    return [task_footprint(loaded, task, config.target_modules, **how) for task in tasks]


def _footprints_of(adapters: Sequence["Adapter"], base: Group, examples: int) -> list["Footprint"]:
    """One for each adapter, measured on the task that its record names, if that is the data it learned."""
    from lori_core.tasks.catalog import CATALOG
    from lori_core.tasks.mini import MINI_TASKS
    from lori_core.tasks.task import fingerprint
    from lori_core.training.footprints import task_footprint

    names = [str(adapter.record.get("task")) for adapter in adapters]
    for adapter, name in zip(adapters, names, strict=True):
        if name not in (*MINI_TASKS, *CATALOG):  # it was merged or handed in, or it learned a file that has no name
            raise IncompatibleAdapters("footprint_no_task", adapter=adapter.name)
    loaded, tasks = _opened(base, list(dict.fromkeys(names)))
    by_name = {task.name: task for task in tasks}
    found = []
    for adapter, name in zip(adapters, names, strict=True):
        data, task = adapter.record.get("data"), by_name[name]
        if not isinstance(data, dict) or data.get("fingerprint") != fingerprint(task.examples("train")):
            raise IncompatibleAdapters("footprint_no_task", adapter=adapter.name)
        how: dict[str, Any] = {"examples": examples, "directions": adapter.config.directions}
        found.append(task_footprint(loaded, task, tuple(adapter.factors), **how))
    return found


def _keep(made: "Footprint", store: Path, out: Path | None, language: str) -> None:
    """In the store, or in a folder where one was named."""
    if out is None:
        from lori_core.storage.footprint_store import FootprintStore

        say("command.stored", language, reference=FootprintStore(store).save(made), store=store)
    else:
        from lori_core.storage.footprint_files import save_footprint

        save_footprint(made, out / made.name)
        say("command.footprint", language, path=out / made.name)


def _check_names(tasks: Sequence[str], texts: Sequence[str]) -> None:
    """Raises ConfigError where two of the footprints would have one name: one would stand for the other."""
    from lori_core.tasks.registry import name_of

    named = [(name_of(task), task) for task in tasks] + [(_name_of(text), text) for text in texts]
    for name, _ in named[len(tasks) :]:
        alike = [each for known, each in named if known == name]
        if len(alike) > 1:
            raise ConfigError("same_footprint_name", name=name, found=", ".join(alike))


def _name_of(text: str) -> str:
    return text if text == CORPUS else Path(text).stem


def _read(text: str, examples: int, seed: int) -> list[str]:
    """So many paragraphs, drawn where there are more."""
    if text == CORPUS:
        from lori_core.embedded.corpus import texts

        return texts(examples, seed)
    from lori_core.training.footprints import text_of

    found = text_of(text)
    return random.Random(seed).sample(found, min(examples, len(found)))
