"""Options that several commands have, each declared once, and the settings they become."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from lori_core.config import AdapterConfig, Attention, Granularity, Projection, Quantization, TrainConfig
from lori_core.errors import ConfigError
from lori_core.training.recipes import Recipe, training_for
from lori_core.translate import LANGUAGES


def _language(value: str) -> str:
    if value not in LANGUAGES:
        raise typer.BadParameter(f"{value!r}; choose one of {', '.join(LANGUAGES)}")
    return value


def choices(literal: Any) -> str:
    return " | ".join(get_args(literal))


Group = dict[str, Any]  # of options: field -> value, see with_groups

AllowCode = Annotated[
    bool,
    typer.Option("--allow-code-execution", help="Run model-written code where a foreign benchmark is judged by it."),
]
Tasks = Annotated[list[str], typer.Option("--task", help="A mini task, or name=path?...; see `lori tasks`. Repeat it.")]
OneTask = Annotated[str, typer.Option("--task", help="A mini task, or name=path?...; see `lori tasks`.")]
OneMethod = Annotated[str, typer.Option("--method", help="lora | lori_d | lori_s")]
Sparsity = Annotated[float | None, typer.Option(help="Fraction of B held at zero, 0 to below 1.")]
Rank = Annotated[int | None, typer.Option(help="Rank of the adapters.")]
MaskRuns = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        help="How LoRI-S finds its mask. dense: a whole dense run, the paper's way. For a twentieth of it, early: the "
        "entries of largest |B · gradient| at its start; one_pass: of largest |gradient| at B = 0.",
    ),
]
Granularities = Annotated[str | None, typer.Option("--granularity", help=choices(Granularity))]
Projections = Annotated[str | None, typer.Option("--projection", help=f"How A is drawn: {choices(Projection)}")]
Modules = Annotated[
    list[str] | None,
    typer.Option("--module", help="End of the names of modules to adapt, or a pattern as *.layers.[0-7].*. Repeat it."),
]
Steps = Annotated[int | None, typer.Option(help="Optimizer steps of every training stage.")]
Rates = Annotated[list[str] | None, typer.Option("--learning-rate", help="METHOD=RATE, as in lori_s=5e-4. Repeat it.")]
Recipes = Annotated[
    str | None,
    typer.Option("--recipe", help=f"{choices(Recipe)}: training settings; default: embedded there, else official."),
]
Batch = Annotated[
    int | None,
    typer.Option("--batch", help="Examples a forward pass; default: the recipe's.", min=1),
]
OptimizerBatch = Annotated[
    int | None,
    typer.Option("--optimizer-batch", help="Examples an optimizer step; default: the recipe's.", min=1),
]
TestExamples = Annotated[
    int, typer.Option("--test-examples", help="Test examples that are scored at most, of each task.", min=1)
]
Length = Annotated[
    int | None,
    typer.Option("--length", help="Tokens of prompt and response at most; default: the recipe's.", min=8),
]
GradientCheckpointing = Annotated[
    bool,
    typer.Option(
        "--gradient-checkpointing", help="Activations computed again in the backward pass: less memory, more time."
    ),
]
Seed = Annotated[int, typer.Option(help="Draws A and the order of the examples.")]
BaseName = Annotated[str, typer.Option("--base", help='"embedded", "smollm2", a folder, a GGUF file, or a hub id.')]
Revision = Annotated[str | None, typer.Option(help="Of a hub id: branch, tag or commit.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps ...; default: what is there.")]
PrecisionOption = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="Of the base: bf16 | fp32; default: bf16 where the device computes in it; embedded: fp32 on a CPU.",
    ),
]
Quantizations = Annotated[
    str | None, typer.Option("--quantization", help=f"Of the base, by bitsandbytes: {choices(Quantization)}")
]
Attentions = Annotated[str | None, typer.Option("--attention", help=f"How it is computed: {choices(Attention)}")]
TrustRemoteCode = Annotated[bool, typer.Option("--trust-remote-code", help="Run the Python that comes with the base.")]
Chat = Annotated[bool, typer.Option("--chat", help="Wrap prompts by the base's chat template (instruct models).")]
Store = Annotated[
    str | None, typer.Option("--store", metavar="<path>", help="Also keep the adapter as a version in this store.")
]
LaterRate = Annotated[
    float, typer.Option(help="In sequence, the share of its own learning rate at which a method learns later tasks.")
]
LaterMasksOption = Annotated[
    str,
    typer.Option(
        "--later-masks",
        help="LoRI-S in sequence. continued: a later mask is what its task moves most from where earlier tasks left B. "
        "own_run: it is that of the task's own run from zero under its own A, as in the official code.",
    ),
]
Out = Annotated[Path, typer.Option(help="Folder of runs.")]
Language = Annotated[str, typer.Option(help="en | ja: of what is printed and of the report.", callback=_language)]


# Field of BaseConfig -> (option, default).
BASE_OPTIONS: dict[str, tuple[Any, Any]] = {
    "base": (BaseName, "embedded"),
    "revision": (Revision, None),
    "device": (Device, None),
    "precision": (PrecisionOption, None),
    "quantization": (Quantizations, None),
    "attention": (Attentions, None),
    "trust_remote_code": (TrustRemoteCode, False),
    "chat": (Chat, False),
    "allow_code_execution": (AllowCode, False),
}


# Field of AdapterConfig -> (option, default); None leaves the field at its own default.
ADAPTER_OPTIONS: dict[str, tuple[Any, Any]] = {
    "sparsity": (Sparsity, None),
    "rank": (Rank, None),
    "granularity": (Granularities, None),
    "calibration": (MaskRuns, None),
    "projection": (Projections, None),
    "target_modules": (Modules, None),
}
# What train_configs makes settings of.
TRAINING_OPTIONS: dict[str, tuple[Any, Any]] = {
    "steps": (Steps, None),
    "recipe": (Recipes, None),
    "rates": (Rates, None),
    "batch": (Batch, None),
    "optimizer_batch": (OptimizerBatch, None),
    "length": (Length, None),
    "gradient_checkpointing": (GradientCheckpointing, False),
}

GROUPS = {"base": BASE_OPTIONS, "adapter": ADAPTER_OPTIONS, "training": TRAINING_OPTIONS}


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """The command, whose parameters annotated `Group` (dicts: field -> value) become the options of GROUPS."""
    asked = signature(command).parameters.values()
    groups = {parameter.name: GROUPS[parameter.name] for parameter in asked if parameter.annotation is Group}

    @wraps(command)
    def with_options(**values: Any) -> None:
        given = {name: {field: values.pop(field) for field in options} for name, options in groups.items()}
        command(**values, **given)

    parameters: list[Parameter] = []
    for parameter in asked:
        if parameter.name in groups:
            for field, (option, default) in groups[parameter.name].items():
                parameters.append(Parameter(field, Parameter.KEYWORD_ONLY, default=default, annotation=option))
        else:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))
    with_options.__signature__ = Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def adapter_config(options: Group) -> AdapterConfig:
    """Of ADAPTER_OPTIONS, or some of them."""
    return AdapterConfig(**{field: value for field, value in options.items() if value not in (None, [])})


def train_configs(
    base: str,
    steps: int | None,
    recipe: Recipe | None,
    rates: list[str] | None,
    batch: int | None,
    optimizer_batch: int | None,
    length: int | None,
    gradient_checkpointing: bool,
) -> dict[str, TrainConfig]:
    """The recipe, or that of the base, with what was asked for in its place; empty where nothing was."""
    if recipe not in (None, *get_args(Recipe)):
        raise ConfigError("bad_recipe", got=recipe, known=", ".join(get_args(Recipe)))
    known = {str(method): config for method, config in training_for(base, recipe=recipe).items()}
    asked = {"steps": steps, "batch_size": optimizer_batch, "micro_batch_size": batch, "max_length": length}
    for_all: dict[str, Any] = {field: value for field, value in asked.items() if value is not None}
    if gradient_checkpointing:
        for_all["gradient_checkpointing"] = True
    wanted = {method: dict(for_all) for method in known}
    for text in rates or []:
        method, equals, rate = text.partition("=")
        if method not in known or not equals:
            raise ConfigError("bad_learning_rate", got=text, known=", ".join(known))
        wanted[method]["learning_rate"] = rate
    return {method: known[method].changed(**changes) for method, changes in wanted.items() if changes or recipe}


def seed_list(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError("bad_seeds", got=text) from None
