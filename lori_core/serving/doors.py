"""Doors to a served model: how a probe is asked over HTTP, of a folder in PEFT's format or of transformers, of a GGUF.

Each gives the log-probabilities of the first token, and where it can those of the bare base through the same door.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import gguf
from transformers import PreTrainedModel

from lori_core.bases.load import Base, load_base
from lori_core.errors import AdapterError, ConfigError, ModelError
from lori_core.files import read_json
from lori_core.serving.endpoint import Endpoint, endpoint
from lori_core.serving.proof import Probe, next_log_probs, probe_ids
from lori_core.serving.verdict import Seen

Ask = Callable[[Probe], Seen | None]  # None: it did not tell


@dataclass(frozen=True)
class Door:
    """ask: with the adapter. bare: without; None: the base alone is not served here."""

    ask: Ask
    bare: Ask | None = None


def http_door(url: str, model: str | None, adapter: str) -> Door:
    """An OpenAI-compatible server: vLLM, SGLang, llama.cpp, mlx-lm ...

    Args:
        model: its name there; None: the only one, or the one of the adapter's name.
    Raises:
        ModelError: it does not answer, or has several models.
    """
    return _of_endpoint(endpoint(url, model, adapter))


def _of_endpoint(served: Endpoint) -> Door:
    return Door(served.ask, served.bare.ask if served.bare else None)


def folder_door(folder: Path, base: str | None) -> Door:
    """An adapter in PEFT's format, opened by PEFT itself, or a whole model, opened by transformers.

    Args:
        base: of an adapter; None: the one that its settings name.
    Raises:
        AdapterError: it is neither, or its settings cannot be read. ConfigError: PEFT is not installed, or the base is
            not named. ModelError: the base cannot be loaded, or PEFT does not put the adapter on it.
    """
    if (folder / "adapters.safetensors").is_file():
        raise AdapterError("served_mlx", path=folder)
    if not (folder / "adapter_config.json").is_file():
        if not (folder / "config.json").is_file():
            raise AdapterError("served_nothing", path=folder)
        return Door(_asker(load_base(str(folder))))
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ConfigError("served_needs", package="peft", path=folder) from error
    named = _named_base(folder / "adapter_config.json")
    if not (name := base or named):
        raise ConfigError("served_base", path=folder)
    # Where there are no weights PEFT would take the folder's name for a repository's, and ask the hub for them.
    if not any((folder / f"adapter_model.{ending}").is_file() for ending in ("safetensors", "bin")):
        raise AdapterError("no_peft_adapter", path=folder)
    loaded = load_base(name)
    try:
        model: Any = PeftModel.from_pretrained(loaded.model, str(folder)).eval()
    except Exception as error:  # what PEFT makes of damaged files and of other bases is any kind of error
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelError("served_peft", path=folder, base=name, reason=reason) from error
    ask = _asker(loaded, model)

    def bare(probe: Probe) -> Seen | None:
        with model.disable_adapter():
            return ask(probe)

    return Door(ask, bare)


def _named_base(settings: Path) -> str | None:
    """The base that adapter_config.json names, if any; raises AdapterError where the file cannot be read."""
    try:
        content = read_json(settings)
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError) as error:
        raise AdapterError("adapter_unreadable", path=settings, reason=error) from None
    name = content.get("base_model_name_or_path")
    return name if isinstance(name, str) else None


def _asker(base: Base, model: PreTrainedModel | None = None) -> Ask:
    def ask(probe: Probe) -> Seen | None:
        if not (ids := probe_ids(base, probe.prompt, probe.chat)):
            return None
        nats = next_log_probs(model or base.model, [ids])[0]
        return Seen({number: float(nats[number]) for number in probe.ids if number < len(nats)})

    return ask


@contextmanager
def gguf_door(file: Path, base: str | None) -> Iterator[Door]:
    """A GGUF in a llama.cpp of this process; a LoRA GGUF on the GGUF of its base.

    Raises:
        ConfigError: xllamacpp is not installed, or a LoRA has no base. ModelError: llama.cpp does not load it.
    """
    try:
        xllamacpp: Any = import_module("xllamacpp")  # compiled, and without types
    except ImportError as error:
        raise ConfigError("served_needs", package="xllamacpp", path=file) from error
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    if _is_lora(file):
        if base is None:
            raise ConfigError("served_base", path=file)
        parameters.model.path = base
        parameters.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(file), 1.0)]
    parameters.n_ctx, parameters.n_parallel, parameters.port = 2048, 1, 0
    parameters.warmup, parameters.verbosity = False, -1
    parameters.cpuparams.n_threads = max(1, (os.cpu_count() or 2) // 2)  # they wait by spinning: all of them can starve
    try:
        server = xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise ModelError("served_not_loadable", path=file, base=base or file, reason=error) from error
    yield _of_endpoint(endpoint(server.listening_address, None, ""))
    del server  # ends it


def _is_lora(file: Path) -> bool:
    try:
        kind = gguf.GGUFReader(file).get_field(gguf.Keys.General.TYPE)
    except (OSError, ValueError, IndexError) as error:
        raise AdapterError("served_nothing", path=file) from error
    return kind is not None and kind.contents() == gguf.GGUFType.ADAPTER
