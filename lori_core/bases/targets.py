"""Target modules: the linear maps of a model to adapt, known for each architecture or named by the user.

target_modules(model)                       every linear map of attention and MLP
target_modules(model, ["q_proj", "v_proj"]) ends of module names
target_modules(model, ["*.layers.[0-7].*"]) a pattern for whole names: * any text, ? one character, [0-7] one of these
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lori_core.errors import ConfigError, ModelError

_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_GATED = (*_ATTENTION, "gate_proj", "up_proj", "down_proj")  # what the paper adapts
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
    # Experts are three-dimensional parameters, no linear maps: attention is adapted, and the expert that all share.
    "mixtral": _ATTENTION,
    "qwen2_moe": _GATED,
    "qwen3_moe": _ATTENTION,
}


def target_modules(model: PreTrainedModel, names: Sequence[str] = ()) -> dict[str, tuple[int, int]]:
    """The linear maps to adapt: module name -> (out_features, in_features), in the model's order.

    Args:
        names: ends of module names ("q_proj", "mlp.c_fc") or patterns; empty: those of the architecture. The output
            head is never among them: it is often tied to the embeddings.
    Raises:
        ModelError: the architecture is unknown and nothing is named, or a name fits no linear map.
    """
    linear = linear_shapes(model)
    architecture = model.config.model_type
    wanted = tuple(names) or TARGETS.get(architecture)
    known = ", ".join(dict.fromkeys(re.sub(r"\.\d+\.", ".*.", module) for module in linear))
    if wanted is None:
        raise ModelError("unknown_architecture", architecture=architecture, known=known)
    for name in wanted:
        if not any(_fits(module, name) for module in linear):
            raise ModelError(_why_not(model, name), name=name, architecture=architecture, known=known)
    return {module: shape for module, shape in linear.items() if any(_fits(module, name) for name in wanted)}


def check_rank(shapes: Mapping[str, tuple[int, int]], rank: int) -> None:
    """Raises ConfigError where the rank exceeds that of a module; shapes as target_modules returns them."""
    for module, shape in shapes.items():
        if rank > min(shape):
            raise ConfigError("rank_too_large", rank=rank, module=module, shape=shape, largest=min(shape))


def linear_shape(module: nn.Module | None) -> tuple[int, int] | None:
    """(out_features, in_features) of a linear map; None of anything else.

    Not that of its weight: GPT-2's Conv1D holds it transposed, and where it is quantised it is packed.
    """
    if isinstance(module, Conv1D):
        return module.nf, module.nx
    return (module.out_features, module.in_features) if isinstance(module, nn.Linear) else None


def linear_shapes(model: PreTrainedModel) -> dict[str, tuple[int, int]]:
    """module -> (out_features, in_features) of every linear map but the output head."""
    head = model.get_output_embeddings()
    shapes = {name: linear_shape(module) for name, module in model.named_modules() if module is not head}
    return {name: shape for name, shape in shapes.items() if shape}


def _fits(module: str, name: str) -> bool:
    if any(letter in name for letter in "*?["):
        return fnmatchcase(module, name)
    return module == name or module.endswith(f".{name}")


def _why_not(model: PreTrainedModel, name: str) -> str:
    """The key of the error for a name that fits no linear map."""
    stacked = [parameter for parameter, value in model.named_parameters() if value.dim() == 3]
    return "fused_experts" if any(_fits(parameter, name) for parameter in stacked) else "no_linear_module"
