"""PEFT's file format: adapters out for whatever reads it (PEFT, vLLM, llama.cpp), in where it is plain LoRA.

    adapter_config.json, adapter_model.safetensors: "base_model.model.<module>.lora_A.weight" (rank, in_features) and
    "....lora_B.weight" (out_features, rank);   dW = s B A,   s = lora_alpha / rank, with rsLoRA lora_alpha / √rank

Written is the subset that every reader has: one rank for all modules (smaller ones are filled up with zeros),
lora_alpha = rank with each module's scaling folded into its B, no patterns. What is read and would not mean that dW, or
more than it, is refused by name. PEFT itself is not needed: https://github.com/huggingface/peft describes the format.
"""

import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
import torch.nn.functional as F
from pydantic import ConfigDict, Field
from safetensors.torch import save
from torch import Tensor

from lori_core.config import LARGEST_RANK, LARGEST_SCALING, AdapterConfig, Config
from lori_core.errors import AdapterError, ConfigError
from lori_core.files import folder_atomic, read_file, read_json, write_atomic
from lori_core.method.adapter import Adapter, Factors, dense_factors
from lori_core.results import Score
from lori_core.storage.model_card import MAX_LORA_RANKS, max_lora_rank, model_card, write_beside
from lori_core.storage.tensors import read_tensors

Value = TypeVar("Value")
Parts = dict[str, Tensor]  # of one module, fp32: "A" (rank, in_features), "B" (out_features, rank), "B.mask" as B
Rank = Annotated[int, Field(ge=1, le=LARGEST_RANK)]
Alpha = Annotated[float, Field(gt=0, le=LARGEST_SCALING)]

_CONFIG, _TENSORS, _PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
_NAME = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<part>[AB](\.default)?\.weight|B\.mask)")

# Keys of rank_pattern and alpha_pattern are regular expressions: read are those that are names with "." and ".*" for
# any character and any characters, "\." for a dot, and "^" and "$" at the ends, which need no search that turns back.
# No other sign is read behind a backslash: "\d" would be taken for a letter, fit no module, and leave the default.
_PATTERN = re.compile(r"\^?(\.\*|\\\.|[\w/.-])*\$?")
_GLOB = {".*": "*", "\\.": ".", ".": "?"}
LONGEST_PATTERN, MOST_TRIES = 256, 2**20  # characters of a key; keys times modules

# Settings that do not change what trained factors mean: how they were drawn, found, dropped out or wrapped.
_HARMLESS = {
    *("task_type", "auto_mapping", "peft_version", "inference_mode", "target_modules", "exclude_modules"),
    *("layers_to_transform", "layers_pattern", "lora_dropout", "fan_in_fan_out", "runtime_config", "eva_config"),
    *("megatron_core", "qalora_group_size", "loftq_config"),
}
# Of init_lora_weights; others (PiSSA, OLoRA, CorDA, LoftQ ...) take a part out of the base when PEFT opens them.
_KEEP_BASE = (True, False, "gaussian", "eva", "orthogonal")


class PeftConfig(Config):
    """The settings of adapter_config.json that dW depends on; the others are in model_extra."""

    model_config = ConfigDict(frozen=True, extra="allow")

    peft_type: str
    r: Rank
    lora_alpha: Alpha
    use_rslora: bool = False
    rank_pattern: dict[str, Rank] | None = None  # name of a module, its end, or a regular expression -> rank
    alpha_pattern: dict[str, Alpha] | None = None
    bias: str = "none"
    init_lora_weights: bool | str = True
    base_model_name_or_path: str | None = None
    revision: str | None = None


def plain_factors(adapter: Adapter, rank: int | None = None) -> dict[str, tuple[Tensor, Tensor]]:
    """module -> A (rank, in_features), B (out_features, rank) with dW = B A: the scaling folded in, one rank for all.

    Args:
        rank: filled up with zeros to this; None: to the largest of a module.
    """
    largest = max(factors.rank for factors in adapter.factors.values())
    rank = max(rank or 0, largest)
    return {
        module: (
            F.pad(factors.A, (0, 0, 0, rank - factors.rank)),
            F.pad(factors.B * factors.scaling, (0, rank - factors.rank)),
        )
        for module, factors in adapter.factors.items()
    }


def export_peft(
    adapter: Adapter,
    folder: str | Path,
    scores: Sequence[Score] = (),
    beside: Mapping[str, str] | None = None,
    rank: int | None = None,
) -> None:
    """Writes a new folder that PEFT opens, with a model card; A and B keep their dtype.

    Args:
        scores: go into the card.
        beside: name -> text of more files in the folder.
        rank: filled up with zeros to this, where a server takes only some; None: the adapter's.
    Raises:
        StorageError: the folder exists, or the disk refused.
    """
    factors = plain_factors(adapter, rank)
    rank = next(iter(factors.values()))[0].shape[0]
    tensors: dict[str, Tensor] = {}
    for module, pair in factors.items():
        for letter, tensor in zip("AB", pair, strict=True):
            # Cloned, since modules may share one A, and safetensors refuses shared memory.
            copy = tensor.clone(memory_format=torch.contiguous_format)
            tensors[f"base_model.model.{module}.lora_{letter}.weight"] = copy
    base = adapter.record.get("base", {})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.get("name"),
        "revision": base.get("revision"),
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "target_modules": list(adapter.factors),  # whole names: an end of them could fit other modules of the base too
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "fan_in_fan_out": False,  # PEFT corrects it for GPT-2's Conv1D, and says so
        "inference_mode": True,
    }
    with folder_atomic(folder) as temporary:
        write_atomic(temporary / _TENSORS, save(tensors, metadata={"format": "pt"}))
        write_atomic(temporary / _CONFIG, json.dumps(config, indent=1))
        write_beside(temporary, model_card(adapter, "peft", scores), beside)


def export_served_peft(
    adapter: Adapter, folder: str | Path, scores: Sequence[Score] = (), beside: Mapping[str, str] | None = None
) -> None:
    """export_peft for vLLM and SGLang: the rank is filled up with zeros to one that --max-lora-rank takes.

    Raises:
        AdapterError: no such rank is large enough. StorageError: the folder exists, or the disk refused.
    """
    rank = max(factors.rank for factors in adapter.factors.values())
    if (served := max_lora_rank(rank)) is None:
        raise AdapterError("rank_too_large_to_serve", adapter=adapter.name, rank=rank, largest=MAX_LORA_RANKS[-1])
    export_peft(adapter, folder, scores, beside, served)


def import_peft(folder: str | Path, name: str | None = None) -> Adapter:
    """The LoRA adapter in a folder that PEFT wrote: A and B as fp32, scaling by module.

    All of B is kept; where LoRI's official code left its mask beside B, as "....lora_B.mask", what that keeps.

    Args:
        name: of the adapter; None: the folder's.
    Raises:
        AdapterError: there is none, it is a pickle (never opened) or damaged, its tensors do not fit each other or its
            settings, or it is more than plain LoRA (DoRA, trained biases, LoKr ...), which the message names; its
            patterns are more than names with wildcards.
    """
    folder = Path(folder)
    config = _read_config(folder)
    modules = _modules(folder, _read_tensors(folder))
    ranks = _globs(folder, config.rank_pattern, len(modules))
    alphas = _globs(folder, config.alpha_pattern, len(modules))
    factors = {}
    for module, parts in modules.items():
        rank = _matching(ranks, module, config.r)
        scaling = _scaling(config, _matching(alphas, module, config.lora_alpha), rank)
        factors[module] = _factors(folder, module, parts, rank, scaling)
    settings = AdapterConfig(
        rank=max(each.rank for each in factors.values()),
        scaling=_scaling(config, config.lora_alpha, config.r),
        sparsity=0.0,
        target_modules=tuple(factors),
        train_projection=True,
    )
    record: dict[str, Any] = {"imported": {"from": "peft", "folder": folder.resolve().name}}
    if config.base_model_name_or_path:
        record["base"] = {"name": config.base_model_name_or_path, "revision": config.revision}
    return Adapter(name or folder.resolve().name, settings, factors, record)


def _read_config(folder: Path) -> PeftConfig:
    path = folder / _CONFIG
    try:
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
        if isinstance(kind := content.get("peft_type"), str) and kind != "LORA":  # what it lacks then is no fault
            raise AdapterError("peft_unsupported", path=path, found=f"peft_type = {kind!r}")
        config = PeftConfig(**content)
    except (FileNotFoundError, NotADirectoryError):
        raise AdapterError("no_peft_adapter", path=folder) from None
    except (OSError, ValueError, ConfigError) as error:
        raise AdapterError("adapter_unreadable", path=path, reason=error) from None
    if found := _beyond_lora(config):
        raise AdapterError("peft_unsupported", path=path, found=", ".join(found))
    return config


def _beyond_lora(config: PeftConfig) -> list[str]:
    """Settings that make dW another one than s B A, or touch more than dW; unknown ones count as such where set."""
    extra = config.model_extra or {}
    found = [f"{key} = {value!r}" for key, value in extra.items() if value and key not in _HARMLESS]
    if config.bias != "none":
        found.append(f"bias = {config.bias!r}")
    if config.init_lora_weights not in _KEEP_BASE:
        found.append(f"init_lora_weights = {config.init_lora_weights!r}")
    return found


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    path = folder / _TENSORS
    try:
        return read_tensors(read_file(path))
    except FileNotFoundError:
        key = "peft_pickle" if (folder / _PICKLE).exists() else "no_peft_adapter"
        raise AdapterError(key, path=folder) from None
    except (OSError, ValueError) as error:
        raise AdapterError("adapter_unreadable", path=path, reason=error) from None


def _modules(folder: Path, tensors: Mapping[str, Tensor]) -> dict[str, Parts]:
    """Layer by layer, with numbers as numbers: a safetensors file comes in no order."""
    found: dict[str, Parts] = {}
    for name, tensor in tensors.items():
        matched = _NAME.fullmatch(name)
        numbers = tensor.is_floating_point() or (tensor.dtype == torch.bool and name.endswith(".mask"))
        if matched is None or tensor.ndim != 2 or 0 in tensor.shape or not numbers:
            raise AdapterError("peft_tensor", path=folder, tensor=name, shape=tuple(tensor.shape), dtype=tensor.dtype)
        parts = found.setdefault(matched["module"], {})
        if (part := matched["part"].removesuffix(".weight").removesuffix(".default")) in parts:
            raise AdapterError("peft_twice", path=folder, module=matched["module"], part=part)
        parts[part] = tensor.float()
    for module, parts in found.items():
        if not {"A", "B"} <= parts.keys():
            raise AdapterError("peft_half", path=folder, module=module, letter=next(iter(parts)))
    if not found:
        raise AdapterError("no_peft_adapter", path=folder)
    ordered = sorted(found, key=lambda module: re.sub(r"\d+", lambda number: number[0].zfill(8), module))
    return {module: found[module] for module in ordered}


def _factors(folder: Path, module: str, parts: Parts, rank: int, scaling: float) -> Factors:
    A, B, mask = parts["A"], parts["B"], parts.get("B.mask")
    if A.shape[0] != rank or B.shape[1] != rank:
        raise AdapterError("peft_rank", path=folder, module=module, A=tuple(A.shape), B=tuple(B.shape), rank=rank)
    if not (bool(A.isfinite().all()) and bool((scaling * B).isfinite().all())):
        raise AdapterError("peft_not_finite", path=folder, module=module)
    if mask is None:
        return dense_factors(A, B, scaling)
    if mask.shape != B.shape or not bool(((mask == 0) | (mask == 1)).all()):
        raise AdapterError("peft_mask", path=folder, module=module, expected=tuple(B.shape))
    kept = (mask == 1) | (B != 0)  # PEFT adds all of B, also what an earlier task left outside the mask
    return Factors(A, B[kept], kept, scaling)


def _scaling(config: PeftConfig, alpha: float, rank: int) -> float:
    return alpha / rank**0.5 if config.use_rslora else alpha / rank


def _globs(folder: Path, pattern: Mapping[str, Value] | None, modules: int) -> list[tuple[tuple[str, ...], Value]]:
    """Of each key the globs of the names that it means, and its value; raises AdapterError where it is beyond them."""
    pattern = pattern or {}
    if len(pattern) * modules > MOST_TRIES:
        raise AdapterError("peft_patterns", path=folder / _CONFIG, keys=len(pattern), modules=modules)
    globs = []
    for key, value in pattern.items():
        if len(key) > LONGEST_PATTERN or not _PATTERN.fullmatch(key):
            raise AdapterError("peft_pattern", path=folder / _CONFIG, pattern=key, most=LONGEST_PATTERN)
        name = re.sub(r"\.\*|\\\.|\.", lambda sign: _GLOB[sign[0]], key.removeprefix("^").removesuffix("$"))
        globs.append(((name,) if key.startswith("^") else (name, f"*.{name}"), value))
    return globs


def _matching(globs: Sequence[tuple[tuple[str, ...], Value]], module: str, default: Value) -> Value:
    """The value of the first key that is the module's name or its end, as PEFT has it."""
    for names, value in globs:
        if any(fnmatchcase(module, name) for name in names):
            return value
    return default
