"""The options that several commands have, each declared once, and the settings they become."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from lori_core.config import AdapterConfig, Attention, Granularity, Projection, Quantization, TrainConfig
from lori_core.errors import ConfigError
from lori_core.recipes import training_for
from lori_core.translate import LANGUAGES


def _language(value: str) -> str:
    if value not in LANGUAGES:
        raise typer.BadParameter(f"{value!r}; choose one of {', '.join(LANGUAGES)}")
    return value


def choices(literal: Any) -> str:
    return " | ".join(get_args(literal))


AllowCode = Annotated[
    bool,
    typer.Option("--allow-code-execution", help="Run model-written code where a foreign benchmark is judged by it."),
]
Tasks = Annotated[list[str], typer.Option("--task", help="A mini task, or name=path?...; see `lori tasks`. Repeat it.")]
OneTask = Annotated[str, typer.Option("--task", help="A mini task, or name=path?...; see `lori tasks`.")]
OneMethod = Annotated[str, typer.Option("--method", help="lora | lori_d | lori_s")]
Sparsity = Annotated[float | None, typer.Option(help="Fraction of B held at zero, 0 to below 1.")]
Rank = Annotated[int | None, typer.Option(help="Rank of the adapters.")]
Granularities = Annotated[str | None, typer.Option("--granularity", help=choices(Granularity))]
Projections = Annotated[str | None, typer.Option("--projection", help=f"How A is drawn: {choices(Projection)}")]
Modules = Annotated[
    list[str] | None,
    typer.Option("--module", help="End of the names of modules to adapt, or a pattern as *.layers.[0-7].*. Repeat it."),
]
Steps = Annotated[int | None, typer.Option(help="Optimizer steps of every training stage.")]
Rates = Annotated[list[str] | None, typer.Option("--learning-rate", help="METHOD=RATE, as in lori_s=5e-4. Repeat it.")]
Seed = Annotated[int, typer.Option(help="Draws A and the order of the examples.")]
BaseName = Annotated[str, typer.Option("--base", help='"embedded", a local folder, or a hub id.')]
Revision = Annotated[str | None, typer.Option(help="Of a hub id: branch, tag or commit.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps ...; default: what is there.")]
PrecisionOption = Annotated[str, typer.Option("--precision", help="Of the base: bf16 | fp32.")]
Quantizations = Annotated[
    str | None, typer.Option("--quantization", help=f"Of the base, by bitsandbytes: {choices(Quantization)}")
]
Attentions = Annotated[str | None, typer.Option("--attention", help=f"How it is computed: {choices(Attention)}")]
TrustRemoteCode = Annotated[bool, typer.Option("--trust-remote-code", help="Run the Python that comes with the base.")]
Chat = Annotated[bool, typer.Option("--chat", help="Wrap prompts by the base's chat template (instruct models).")]
Store = Annotated[Path | None, typer.Option("--store", help="Also keep the adapter as a version in this store.")]
Out = Annotated[Path, typer.Option(help="Folder of runs.")]
Language = Annotated[str, typer.Option(help="en | ja: of what is printed and of the report.", callback=_language)]


# Field of BaseConfig -> (option, default).
BASE_OPTIONS: dict[str, tuple[Any, Any]] = {
    "base": (BaseName, "embedded"),
    "revision": (Revision, None),
    "device": (Device, None),
    "precision": (PrecisionOption, "bf16"),
    "quantization": (Quantizations, None),
    "attention": (Attentions, None),
    "trust_remote_code": (TrustRemoteCode, False),
    "chat": (Chat, False),
    "allow_code_execution": (AllowCode, False),
}


def names_base(command: Callable[..., None]) -> Callable[..., None]:
    """The command, its parameter `base` (a dict of BaseConfig's fields) become the options that name a base."""

    @wraps(command)
    def with_options(**values: Any) -> None:
        base = {field: values.pop(field) for field in BASE_OPTIONS}
        command(**values, base=base)

    parameters: list[Parameter] = []
    for parameter in signature(command).parameters.values():
        if parameter.name == "base":
            for field, (option, default) in BASE_OPTIONS.items():
                parameters.append(Parameter(field, Parameter.KEYWORD_ONLY, default=default, annotation=option))
        else:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))
    with_options.__signature__ = Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def adapter_config(
    rank: int | None,
    sparsity: float | None,
    granularity: str | None,
    projection: str | None,
    modules: list[str] | None,
) -> AdapterConfig:
    options = {
        "rank": rank,
        "sparsity": sparsity,
        "granularity": granularity,
        "projection": projection,
        "target_modules": modules or None,
    }
    return AdapterConfig(**{name: value for name, value in options.items() if value is not None})


def train_configs(base: str, steps: int | None, rates: list[str] | None) -> dict[str, TrainConfig]:
    """The recipes of the base with what was asked for in their place; empty where nothing was."""
    known = {str(method): config for method, config in training_for(base).items()}
    wanted: dict[str, dict[str, Any]] = {method: {} if steps is None else {"steps": steps} for method in known}
    for text in rates or []:
        method, equals, rate = text.partition("=")
        if method not in known or not equals:
            raise ConfigError("bad_learning_rate", got=text, known=", ".join(known))
        wanted[method]["learning_rate"] = rate
    return {method: known[method].changed(**changes) for method, changes in wanted.items() if changes}


def seed_list(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError("bad_seeds", got=text) from None
