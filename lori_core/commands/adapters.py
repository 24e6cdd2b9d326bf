"""Commands on adapters that are there: merge, evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from lori_core.commands.footprints import footprint_folder
from lori_core.commands.options import Group, Language, Out, Tasks, choices, with_groups
from lori_core.commands.running import start
from lori_core.commands.store import STORE, VersionsIn, adapter_folder
from lori_core.commands.telling import told
from lori_core.config import ChoiceLength, Sampling
from lori_core.study.specs import EvaluateJob, MergeJob

MERGE_WEIGHT = 0.5  # the official one for three LoRI-D adapters; `lori study` searches it

SAMPLING = Sampling()


def merge(
    adapters: Annotated[
        list[str], typer.Argument(help="Folders of the adapters, or versions: NAME, NAME@3, NAME@TAG.")
    ],
    method: Annotated[str, typer.Option(help="concat | task_arithmetic | ties | dare | removal ...")] = "concat",
    weights: Annotated[
        list[float] | None, typer.Option("--weight", help=f"One for all (default {MERGE_WEIGHT}), or one for each.")
    ] = None,
    keep: Annotated[
        float | None, typer.Option(help="magnitude, ties: fraction of an update's entries that trimming keeps.")
    ] = None,
    drop: Annotated[float | None, typer.Option(help="dare: probability at which an entry is dropped.")] = None,
    seed: Annotated[int | None, typer.Option(help="dare: draws what is dropped.")] = None,
    rank: Annotated[
        int | None,
        typer.Option(help="Of the result, by SVD; for dW of concat take task_arithmetic."),
    ] = None,
    ridge: Annotated[float | None, typer.Option(help="removal: lambda, the price of an update's size.")] = None,
    footprints: Annotated[
        list[str] | None,
        typer.Option("--footprint", help="removal: of each adapter's task, a folder or a version. Repeat it."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the merged adapter.")] = "merged",
    store: Annotated[
        Path | None,
        typer.Option(help=f"The store that holds the versions, default: {STORE}; if named, it keeps the result too."),
    ] = None,
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Merge adapters into one; no base is needed."""
    with told(language):
        given = weights or [MERGE_WEIGHT]
        each = given * len(adapters) if len(given) == 1 else given
        asked = {"keep": keep, "drop": drop, "seed": seed, "rank": rank, "ridge": ridge}
        options = {option: value for option, value in asked.items() if value is not None}
        folders = [str(adapter_folder(adapter, store)) for adapter in adapters]
        job: Group = {"adapters": folders, "method": method, "weights": each, "options": options, "name": name}
        job["footprints"] = [str(footprint_folder(each, store)) for each in footprints or []]
        start(out, language, "merge", MergeJob, **job, store=store and str(store))


@with_groups
def evaluate(
    tasks: Tasks,
    adapter: Annotated[
        str | None, typer.Option(help="Its folder, or a version: NAME, NAME@3, NAME@TAG; default: the base alone.")
    ] = None,
    store: VersionsIn = None,
    split: Annotated[str, typer.Option(help="train | validation | test")] = "test",
    limit: Annotated[int, typer.Option(help="Examples of each task.")] = 200,
    samples: Annotated[
        int | None, typer.Option(help="Draw so many answers an example, for pass@k; default: the greedy one.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="Of drawn answers.")] = SAMPLING.temperature,
    top_p: Annotated[float, typer.Option(help="Share of the likeliest tokens to draw from.")] = SAMPLING.top_p,
    choice_length: Annotated[
        str, typer.Option(help=f"Divide a choice's log-likelihood by its length in: {choices(ChoiceLength)}")
    ] = "none",
    harness: Annotated[bool, typer.Option("--harness", help="Score with lm-evaluation-harness too.")] = False,
    *,
    base: Group,
    out: Out = Path("lab"),
    language: Language = "en",
) -> None:
    """Score the base, or the base with an adapter."""
    with told(language):
        start(
            out,
            language,
            "evaluate",
            EvaluateJob,
            **base,
            tasks=tasks,
            adapter=None if adapter is None else str(adapter_folder(adapter, store)),
            split=split,
            limit=limit,
            sampling=None if samples is None else Sampling(n=samples, temperature=temperature, top_p=top_p),
            choice_length=choice_length,
            harness=harness,
        )
