"""Commands that export and import adapters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lori_core.commands.options import Device, Language, Revision
from lori_core.commands.store import VersionsIn, adapter_folder
from lori_core.commands.telling import say, told
from lori_core.config import BaseConfig
from lori_core.errors import ConfigError, LoRIError
from lori_core.files import named
from lori_core.results import Score, SingleResult, from_json
from lori_core.study.layout import score_file

if TYPE_CHECKING:
    from lori_core.bases.load import Base
    from lori_core.method.adapter import Adapter


To = Literal["peft", "vllm", "gguf-lora", "mlx", "base", "gguf"]


def export_adapter(
    adapter: Annotated[str, typer.Argument(help="Folder of the adapter, or a version: NAME, NAME@3, NAME@TAG.")],
    folder: Annotated[Path, typer.Argument(help="A new folder to write.")],
    store: VersionsIn = None,
    to: Annotated[
        To,
        typer.Option(
            help="An adapter: peft, vllm (PEFT's format at a rank that vLLM and SGLang take), gguf-lora, mlx. "
            "A whole model with the adapter in its weights: base (transformers), gguf (llama.cpp, Ollama)."
        ),
    ] = "peft",
    rank: Annotated[int | None, typer.Option(help="Approximate every update by that rank first (SVD).")] = None,
    prompts: Annotated[
        list[str] | None,
        typer.Option("--prompt", help="A text for the proof of life, and on which a drift is measured. Repeat it."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help='base: "embedded", a folder, a GGUF file, or a hub id; default: what it was trained on.'),
    ] = None,
    revision: Revision = None,
    device: Device = None,
    precision: Annotated[str, typer.Option("--precision", help="Of a model that is written: bf16 | fp32.")] = "bf16",
    proof: Annotated[
        bool, typer.Option(help="Measure on the base what `lori check-served` will expect, and leave it beside.")
    ] = True,
    language: Language = "en",
) -> None:
    """Hand an adapter out, with a model card: in the format of what serves it, or as a whole model with it inside."""
    with told(language):
        from lori_core.method.merge import reduce_rank
        from lori_core.storage.adapter_files import load_adapter

        lies = adapter_folder(adapter, store)
        given, scores = load_adapter(lies), _scores_beside(lies)
        if rank is not None:
            given, scores = reduce_rank(given, rank), []  # what was scored is not what is left of it
            say("command.reduced", language, rank=rank, error=f"{given.record['reduced']['error']:.3g}")
        name, known_revision = _base_of(given) if base is None else (base, None)
        where = {"base": name, "revision": revision or known_revision, "device": device}
        if to in ("base", "gguf"):
            where |= {"base": _named(name, given), "precision": precision}
            _export_model(given, folder, to, prompts, scores, where, proof, language)
        else:
            _export_adapter(given, folder, to, prompts, scores, where, proof, language)
        say("command.exported", language, path=folder)


def _export_model(
    adapter: "Adapter",
    folder: Path,
    to: To,
    prompts: list[str] | None,
    scores: list[Score],
    where: dict[str, Any],
    proof: bool,
    language: str,
) -> None:
    """where: the fields of BaseConfig."""
    from lori_core.bases.load import open_base
    from lori_core.bases.merged_base import PROMPTS, export_merged_base
    from lori_core.bases.merged_gguf import export_merged_gguf
    from lori_core.method.adapter import base_notes

    loaded = open_base(BaseConfig(**where))
    beside = _proof(loaded, adapter, prompts, language) if proof else {}
    export = export_merged_base if to == "base" else export_merged_gguf
    drift = export(loaded, adapter, folder, prompts or PROMPTS, scores, beside)
    for note in base_notes(adapter, loaded.record):
        say(note, language)
    figures = {"largest": drift.max_abs, "mean": drift.mean_abs, "kl": drift.kl}
    shown = {name: f"{figure:.3g}" for name, figure in figures.items()}
    say("command.drift", language, positions=drift.positions, **shown)


def _export_adapter(
    adapter: "Adapter",
    folder: Path,
    to: To,
    prompts: list[str] | None,
    scores: list[Score],
    where: dict[str, Any],
    proof: bool,
    language: str,
) -> None:
    """The base is needed for the proof alone; where it cannot be had the adapter goes out without one."""
    from lori_core.bases.load import load_config, open_base
    from lori_core.storage.gguf_lora import export_gguf_lora
    from lori_core.storage.mlx import export_mlx
    from lori_core.storage.peft import export_peft, export_served_peft

    beside = {}
    try:
        if proof and where["base"] is not None:
            beside = _proof(open_base(BaseConfig(**where)), adapter, prompts, language)
    except LoRIError as error:
        say("command.no_proof", language, reason=error.in_language(language))
    if to in ("gguf-lora", "mlx"):
        export = export_gguf_lora if to == "gguf-lora" else export_mlx
        export(adapter, load_config(_named(where["base"], adapter), where["revision"]), folder, scores, beside)
    else:
        (export_peft if to == "peft" else export_served_peft)(adapter, folder, scores, beside)


def _proof(base: "Base", adapter: "Adapter", prompts: list[str] | None, language: str) -> dict[str, str]:
    """Name and text of the file beside an export."""
    from lori_core.serving.proof import PROMPTS, PROOF_FILE, prove
    from lori_core.serving.verdict import tells

    proof = prove(base, adapter, prompts or PROMPTS)
    if left_out := [prompt for prompt in prompts or () if prompt not in {probe.prompt for probe in proof.probes}]:
        say("command.proof_left_out", language, prompts="; ".join(left_out))
    if not tells(proof):
        say("command.proof_tells_nothing", language)
    return {PROOF_FILE: proof.model_dump_json()}


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
            path = Path(f"{named(out)}{suffix}")  # "." has no name that a suffix could be added to
            save_adapter(adapter, path, exact_precision(adapter))
            say("command.adapter", language, path=path)


def _scores_beside(folder: Path) -> list[Score]:
    """The test score of an adapter in the run of a study or a training; a version has its scores in its record."""
    try:
        return [from_json(SingleResult, score_file(folder.resolve()).read_text(encoding="utf-8")).score]
    except (OSError, ValueError):  # none there, or it is the result of something else
        return []


def _base_of(adapter: "Adapter") -> tuple[str | None, str | None]:
    """Name and revision of the base that the adapter's record names."""
    known = adapter.record.get("base", {})
    return known.get("name"), known.get("revision")


def _named(base: str | None, adapter: "Adapter") -> str:
    if not base:
        raise ConfigError("export_needs_base", adapter=adapter.name)
    return base
