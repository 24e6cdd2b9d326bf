"""Command that checks what is served against the proof of life that was exported with it."""

from pathlib import Path
from typing import Annotated

import typer

from lori_core.commands.options import Language
from lori_core.commands.telling import say, told

DEAD, UNTOLD = 1, 2  # exit codes: the adapter is not active as it was exported; that cannot be told


def check_served(
    served: Annotated[str, typer.Argument(help="Address of an OpenAI-compatible server, a folder, or a .gguf file.")],
    proof: Annotated[
        Path | None, typer.Option(help="proof_of_life.json, or the exported folder with it; default: what lies beside.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of the adapter on a server that has several models.")] = None,
    base: Annotated[
        str | None, typer.Option(help="Of a folder in PEFT's format: the base. Of a LoRA .gguf: the .gguf of its base.")
    ] = None,
    language: Language = "en",
) -> None:
    """Say whether a served adapter is active, or what is wrong (exit code 1; 2: it cannot be told).

    LORI_API_KEY is sent as the key.
    """
    with told(language):
        from lori_core.serving.check import check_served as check

        known, verdict = check(served, proof, model, base)
        figures = {"off": f"{verdict.off:.3g}", "effect": f"{verdict.effect:.3g}"}
        say(f"served.{verdict.finding}", language, adapter=known.adapter, base=known.base, detail=verdict.detail or "?")
        say("served.figures", language, probes=len(known.probes), **figures)
        if not verdict.active:
            raise typer.Exit(UNTOLD if verdict.finding == "untold" else DEAD)
