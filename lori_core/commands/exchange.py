"""Commands that export and import adapters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lori_core.commands.options import Device, Language, Revision
from lori_core.commands.store import VersionsIn, adapter_folder
from lori_core.commands.telling import say, told
from lori_core.config import BaseConfig
from lori_core.errors import ConfigError
from lori_core.results import Score, SingleResult, from_json
from lori_core.study.layout import score_file

if TYPE_CHECKING:
    from lori_core.method.adapter import Adapter


def export_adapter(
    adapter: Annotated[str, typer.Argument(help="Folder of the adapter, or a version: NAME, NAME@3, NAME@TAG.")],
    folder: Annotated[Path, typer.Argument(help="A new folder to write.")],
    store: VersionsIn = None,
    to: Annotated[
        Literal["peft", "base"],
        typer.Option(help="peft: as PEFT has adapters. base: added to the base's weights."),
    ] = "peft",
    rank: Annotated[int | None, typer.Option(help="Approximate every update by that rank first (SVD).")] = None,
    prompts: Annotated[
        list[str] | None, typer.Option("--prompt", help="base: a text on which the drift is measured. Repeat it.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help='base: "embedded", a folder, a GGUF file, or a hub id; default: what it was trained on.'),
    ] = None,
    revision: Revision = None,
    device: Device = None,
    precision: Annotated[str, typer.Option("--precision", help="Of the model that is written: bf16 | fp32.")] = "bf16",
    language: Language = "en",
) -> None:
    """Hand an adapter out, with a model card: in PEFT's format, or as a whole model with the adapter in its weights."""
    with told(language):
        from lori_core.method.merge import reduce_rank
        from lori_core.storage.adapter_files import load_adapter
        from lori_core.storage.peft import export_peft

        lies = adapter_folder(adapter, store)
        given, scores = load_adapter(lies), _scores_beside(lies)
        if rank is not None:
            given, scores = reduce_rank(given, rank), []  # what was scored is not what is left of it
            say("command.reduced", language, rank=rank, error=f"{given.record['reduced']['error']:.3g}")
        if to == "peft":
            export_peft(given, folder, scores)
        else:
            name, known_revision = _base_of(given) if base is None else (base, None)
            where = {"base": name, "revision": revision or known_revision, "device": device, "precision": precision}
            _export_base(given, folder, prompts, scores, where, language)
        say("command.exported", language, path=folder)


def _export_base(
    adapter: "Adapter",
    folder: Path,
    prompts: list[str] | None,
    scores: list[Score],
    where: dict[str, Any],
    language: str,
) -> None:
    """where: the fields of BaseConfig."""
    from lori_core.bases.load import load_base
    from lori_core.bases.merged_base import PROMPTS, export_merged_base
    from lori_core.method.adapter import base_notes

    job = BaseConfig(**where)
    loaded = load_base(job.base, job.revision, job.device, job.precision)
    drift = export_merged_base(loaded, adapter, folder, prompts or PROMPTS, scores)
    for note in base_notes(adapter, loaded.record):
        say(note, language)
    figures = {"largest": drift.max_abs, "mean": drift.mean_abs, "kl": drift.kl}
    shown = {name: f"{figure:.3g}" for name, figure in figures.items()}
    say("command.drift", language, positions=drift.positions, **shown)


def import_adapter(
    folder: Annotated[Path, typer.Argument(help="Folder with adapter_config.json and adapter_model.safetensors.")],
    out: Annotated[Path, typer.Argument(help="A new folder for the adapter.")],
    origin: Annotated[
        Literal["peft", "lori"] | None,
        typer.Option("--from", help="peft: LoRA. lori: as LoRI's authors publish; default: lori where masks/ is."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the adapter; default: the folder's.")] = None,
    language: Language = "en",
) -> None:
    """Take in a LoRA adapter that PEFT wrote, or a published LoRI adapter with its masks."""
    with told(language):
        from lori_core.storage.adapter_files import save_adapter
        from lori_core.storage.uploads import exact_precision, read_adapters

        found = read_adapters(folder, name or folder.resolve().name, origin)
        for suffix, adapter in found.items():
            path = out.with_name(out.name + suffix)
            save_adapter(adapter, path, exact_precision(adapter))
            say("command.adapter", language, path=path)


def _scores_beside(folder: Path) -> list[Score]:
    """The test score of an adapter in the run of a study or a training; a version has its scores in its record."""
    try:
        return [from_json(SingleResult, score_file(folder.resolve()).read_text(encoding="utf-8")).score]
    except (OSError, ValueError):  # none there, or it is the result of something else
        return []


def _base_of(adapter: "Adapter") -> tuple[str, str | None]:
    """Name and revision of the base that the adapter's record names."""
    known = adapter.record.get("base", {})
    if not known.get("name"):
        raise ConfigError("export_needs_base", adapter=adapter.name)
    return known["name"], known.get("revision")
