"""Commands on the store: lori store list, show, diff, verify, tag, delete, gc, reindex, add."""

from pathlib import Path
from typing import Annotated

import typer

from lori_core.commands.listing import versions_list
from lori_core.commands.options import Language
from lori_core.commands.telling import REFUSED, console, say, say_text, told
from lori_core.errors import ConfigError, LoRIError
from lori_core.storage.store import AdapterStore

app = typer.Typer(help="Versions of adapters: what there is, where it comes from, whether it is whole.")

Root = Annotated[Path, typer.Option("--store", help="Folder of the store.")]
Reference = Annotated[str, typer.Argument(help="NAME (its newest version), NAME@3 or NAME@TAG.")]
STORE = Path("store")
VersionsIn = Annotated[
    Path | None, typer.Option("--store", help=f"Folder of the store that holds the version; default: {STORE}.")
]


@app.command("list")
def list_versions(
    name: Annotated[str | None, typer.Argument(help="Default: all names.")] = None,
    root: Root = STORE,
    language: Language = "en",
) -> None:
    """All versions, oldest first."""
    with told(language):
        typer.echo(versions_list(AdapterStore(root).versions(name), language))


@app.command()
def add(
    folder: Annotated[Path, typer.Argument(help="Folder of an adapter, as runs and studies leave them.")],
    name: Annotated[str | None, typer.Option(help="Default: the adapter's own.")] = None,
    root: Root = STORE,
    language: Language = "en",
) -> None:
    """Keep an adapter as a new version."""
    with told(language):
        from lori_core.storage.adapter_files import load_adapter
        from lori_core.storage.uploads import exact_precision

        adapter = load_adapter(folder)
        reference = AdapterStore(root).save(adapter, name, exact_precision(adapter))
        say("command.stored", language, reference=reference, store=root)


@app.command()
def show(reference: Reference, root: Root = STORE, language: Language = "en") -> None:
    """Where a version comes from: config, base, data, parents, scores, software."""
    with told(language):
        from lori_core.commands.tables import entries_table
        from lori_core.storage.diff import entries

        store = AdapterStore(root)
        say_text(str(store.folder(reference)))
        console().print(entries_table(dict(entries(store.show(reference))), language))


@app.command()
def diff(left: Reference, right: Reference, root: Root = STORE, language: Language = "en") -> None:
    """What differs between two versions, and nothing else."""
    with told(language):
        from lori_core.commands.tables import difference_table

        console().print(difference_table(AdapterStore(root).diff(left, right), language))


@app.command()
def verify(
    reference: Annotated[str | None, typer.Argument(help="Default: all versions.")] = None,
    root: Root = STORE,
    language: Language = "en",
) -> None:
    """Check every checksum, of footprints too; exit code 2 where something is not as it was saved."""
    with told(language):
        from lori_core.storage.footprint_store import FootprintStore

        wrong = AdapterStore(root).verify(reference) | ({} if reference else FootprintStore(root).verify())
        for each, error in wrong.items():
            typer.echo(f"{each}: {error.in_language(language)}", err=True)
        if wrong:
            raise typer.Exit(REFUSED)
        say("command.verified", language)


@app.command()
def tag(
    reference: Reference,
    tag: Annotated[str, typer.Argument(help="A letter, then letters, digits, - _ .")],
    root: Root = STORE,
    language: Language = "en",
) -> None:
    """Give a version a name of its own."""
    with told(language):
        AdapterStore(root).tag(reference, tag)


@app.command()
def delete(reference: Reference, root: Root = STORE, language: Language = "en") -> None:
    """Move a version to the trash; `lori store gc` empties it."""
    with told(language):
        say("command.deleted", language, path=AdapterStore(root).delete(reference))


@app.command()
def gc(root: Root = STORE, language: Language = "en") -> None:
    """Empty the trash, and remove what killed processes left."""
    with told(language):
        say("command.freed", language, bytes=f"{AdapterStore(root).gc():,}")


@app.command()
def reindex(root: Root = STORE, language: Language = "en") -> None:
    """Make the index again from the folders."""
    with told(language):
        say("command.reindexed", language, count=AdapterStore(root).reindex())


def adapter_folder(adapter: str, root: Path | None) -> Path:
    """Where an adapter lies that is named by its folder or by a version of a store.

    Args:
        adapter: a path; or, where it has no separator, "name", "name@3" or "name@tag" of the store, or a folder here.
        root: of the store; None: STORE.
    Raises:
        ConfigError: it is both a folder here and a version. AdapterError, StorageError: it is neither.
    """
    path, root = Path(adapter), root or STORE
    if path.name != adapter:
        return path
    try:
        version = AdapterStore(root).folder(adapter)
    except LoRIError:
        if path.is_dir():
            return path
        raise
    if path.is_dir():
        raise ConfigError(
            "folder_or_version", adapter=adapter, store=root, version=f"{version.parent.name}@{version.name}"
        )
    return version
