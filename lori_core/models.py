"""Loads a base, frozen, and says which of its linear maps to adapt.

base = load_base()                     # the embedded one; or a local folder, or a hub id
shapes = target_modules(base.model)    # {"model.layers.0.self_attn.q_proj": (out_features, in_features), ...}
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.pytorch_utils import Conv1D

from lori_core.assets import ASSETS
from lori_core.config import Precision
from lori_core.errors import ConfigError, ModelError

_GATED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")  # what the paper adapts
_FUSED = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")

# config.model_type -> ends of the names of the modules to adapt: every linear map of attention and MLP.
TARGETS: dict[str, tuple[str, ...]] = {
    "llama": _GATED,
    "mistral": _GATED,
    "qwen2": _GATED,
    "qwen3": _GATED,
    "gemma": _GATED,
    "gemma2": _GATED,
    "gemma3_text": _GATED,
    "olmo2": _GATED,
    "phi3": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
    "gpt2": ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"),
    "opt": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
    "gpt_neox": _FUSED,
    "falcon": _FUSED,
    "bloom": _FUSED,
    "bert": ("self.query", "self.key", "self.value", "output.dense", "intermediate.dense"),
}

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}

_SAMPLE = 65_536  # elements of a parameter that go into the fingerprint


@dataclass(frozen=True, eq=False)
class Base:
    """A frozen model with its tokenizer.

    Attributes:
        name: "embedded", a local folder or a hub id, as it was asked for.
        revision: of a hub id, else None.
        fingerprint: of the weights as they were loaded, see fingerprint().
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    revision: str | None
    fingerprint: str


def load_base(
    name: str = "embedded", revision: str | None = None, device: str | None = None, dtype: Precision | None = None
) -> Base:
    """A causal language model and its tokenizer, frozen and in eval mode.

    Args:
        name: "embedded", a local folder, or a hub id; the environment variable HF_HUB_OFFLINE=1 keeps to the cache.
        device: None: cuda, mps or cpu, whatever is there.
        dtype: of the weights; None: bf16 on cuda, fp32 elsewhere.
    Raises:
        ModelError: there is no such model, it is damaged or incomplete, or it is no causal language model.
    """
    source = _source(name)
    device = device or default_device()
    weights = DTYPES[dtype or ("bf16" if device.startswith("cuda") else "fp32")]
    revision = None if isinstance(source, Path) else revision
    try:
        config = AutoConfig.from_pretrained(source, revision=revision)
        if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
            raise ModelError("not_causal", name=name, architecture=config.model_type)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source,
            revision=revision,
            dtype=weights,
            # The fused attention's backward pass is slow on CPUs: a training step takes 0.23 s with it, 0.16 s without.
            attn_implementation="eager" if device == "cpu" else None,
            use_safetensors=True,
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        key = "folder_not_loadable" if isinstance(source, Path) else "hub_not_loadable"
        raise ModelError(key, name=name, reason=str(error).strip()) from error
    model, loading = loaded  # in eval mode
    if missing := sorted(loading["missing_keys"]):  # transformers would fill them with random numbers
        raise ModelError("weights_missing", name=name, count=len(missing), missing=", ".join(missing[:3]))
    if tokenizer.pad_token is None:  # batches are padded; padded positions are masked, so which token does not matter
        tokenizer.pad_token = tokenizer.eos_token
    model = model.to(device).requires_grad_(False)
    return Base(model, tokenizer, name, revision, fingerprint(model))


def default_device() -> str:
    """cuda, mps or cpu, whatever is there, in this order."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def fingerprint(model: nn.Module) -> str:
    """sha256 over name, shape and up to 65,536 evenly strided elements, rounded to bf16, of every parameter.

    Says whether two processes loaded the same weights, on any device, in fp32 or in bf16: adapters trained on the one
    belong on the other too. Ask before adapters are attached: they are parameters as well.
    """
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        stride = max(1, math.ceil(parameter.numel() / _SAMPLE))
        sample = parameter.detach().reshape(-1)[::stride].to("cpu", torch.bfloat16).contiguous()
        digest.update(f"{name} {tuple(parameter.shape)}\n".encode())
        digest.update(sample.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def target_modules(model: PreTrainedModel, names: Sequence[str] = ()) -> dict[str, tuple[int, int]]:
    """The linear maps to adapt: module name -> (out_features, in_features), in the model's order.

    Args:
        names: ends of module names ("q_proj", "mlp.c_fc"); empty: those of the architecture. The output head is
            never among them: it is often tied to the embeddings.
    Raises:
        ModelError: the architecture is unknown and nothing is named, or a name fits no linear map.
    """
    linear = _linear_shapes(model)
    architecture = model.config.model_type
    suffixes = tuple(names) or TARGETS.get(architecture)
    known = ", ".join(dict.fromkeys(re.sub(r"\.\d+\.", ".*.", module) for module in linear))
    if suffixes is None:
        raise ModelError("unknown_architecture", architecture=architecture, known=known)
    for suffix in suffixes:
        if not any(_ends_with(module, suffix) for module in linear):
            raise ModelError("no_linear_module", name=suffix, architecture=architecture, known=known)
    return {module: shape for module, shape in linear.items() if any(_ends_with(module, end) for end in suffixes)}


def check_rank(shapes: Mapping[str, tuple[int, int]], rank: int) -> None:
    """Raises ConfigError where the rank exceeds that of a module; shapes as target_modules returns them."""
    for module, shape in shapes.items():
        if rank > min(shape):
            raise ConfigError("rank_too_large", rank=rank, module=module, shape=shape, largest=min(shape))


def _source(name: str) -> str | Path:
    """What to load from: a folder that holds a config.json, or a hub id."""
    if name == "embedded":
        path = ASSETS / "base"
    elif (path := Path(name).expanduser()).is_dir() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        pass
    else:
        return name
    if not (path / "config.json").is_file():
        raise ModelError("no_model_folder", path=path)
    return path


def _linear_shapes(model: PreTrainedModel) -> dict[str, tuple[int, int]]:
    """module -> (out_features, in_features) of every linear map but the output head."""
    head = model.get_output_embeddings()
    shapes: dict[str, tuple[int, int]] = {}
    for name, module in model.named_modules():
        if module is head:
            continue
        if isinstance(module, Conv1D):  # GPT-2's: y = x W + b, so its weight is (in_features, out_features)
            shapes[name] = (module.weight.shape[1], module.weight.shape[0])
        elif isinstance(module, nn.Linear):  # not weight.shape: a quantised weight is packed
            shapes[name] = (module.out_features, module.in_features)
    return shapes


def _ends_with(module: str, suffix: str) -> bool:
    return module == suffix or module.endswith(f".{suffix}")
