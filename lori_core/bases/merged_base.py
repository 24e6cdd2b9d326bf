"""Merged base: a model with an adapter in its weights, as a folder that transformers opens.

W + dW is summed in fp32 (fp64 for a fp64 base) and rounded once to the base's dtype; what that does to the logits is
measured. To put several adapters in, merge them first (method "concat" is exact): rounding after each would add up.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lori_core.bases.attach import applied
from lori_core.bases.load import Base
from lori_core.errors import ConfigError, ModelError
from lori_core.files import folder_atomic
from lori_core.method.adapter import Adapter, Factors, check_base
from lori_core.results import Score
from lori_core.storage.model_card import Drift, Library, model_card, write_beside

# Looked at where nobody names others: plain language, figures, code.
PROMPTS = ["The capital of France is", "Question: What is 12 + 30?\nAnswer:", "def add(a, b):\n    return"]

_LONGEST = 512  # tokens of a prompt that are looked at
_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def export_merged_base(
    base: Base,
    adapter: Adapter,
    folder: str | Path,
    prompts: Sequence[str],
    scores: Sequence[Score] = (),
    beside: Mapping[str, str] | None = None,
) -> Drift:
    """Writes model, tokenizer and model card to a new folder; the base is as before when it returns.

    Needs memory for a second copy of the adapted weights.

    Args:
        prompts: texts on which the logits are compared; of each the first 512 tokens count.
        scores: go into the card.
        beside: name -> text of more files in the folder.
    Raises:
        ConfigError: no prompt has a token. IncompatibleAdapters: it was trained on another base or does not fit.
        ModelError: the base is quantised, or a weight to be changed is shared with another module.
        StorageError: the folder exists, or the disk refused.
    """

    return export_merged(base, adapter, folder, prompts, scores, beside, partial(_save, base, adapter))


def export_merged(
    base: Base,
    adapter: Adapter,
    folder: str | Path,
    prompts: Sequence[str],
    scores: Sequence[Score],
    beside: Mapping[str, str] | None,
    save: Callable[[Path], None],
    library: Library = "transformers",
) -> Drift:
    """export_merged_base in any format: save() writes the base, which has the adapter in it then, into a folder."""
    rows = _tokens(base, prompts)
    check_base(adapter, base.record)
    if getattr(base.model.config, "quantization_config", None) is not None:
        raise ModelError("merge_quantised", base=base.name)
    with folder_atomic(folder) as temporary:
        with applied(base.model, adapter):
            unmerged = [_logits(base.model, row) for row in rows]
        _check_weights(base, adapter)
        with merged_into(base.model, adapter):
            drift = _drift(unmerged, [_logits(base.model, row) for row in rows])
            save(temporary)
        dtype = str(base.model.dtype).removeprefix("torch.")
        write_beside(temporary, model_card(adapter, library, scores, drift, dtype), beside)
    return drift


def _save(base: Base, adapter: Adapter, folder: Path) -> None:
    """Model and tokenizer, ending an answer where the adapter learned to: else answers would run on."""
    tokenizer, own = copy.deepcopy(base.tokenizer), base.model.generation_config
    end = (adapter.record.get("wording") or {}).get("end")
    if end is not None and end in tokenizer.get_vocab():
        tokenizer.eos_token = end
        ends = getattr(own, "eos_token_id", None)
        known = [ends] if isinstance(ends, int) else list(ends or ())
        base.model.generation_config = copy.deepcopy(own)
        base.model.generation_config.eos_token_id = list(dict.fromkeys([tokenizer.eos_token_id, *known]))
    try:
        base.model.save_pretrained(folder)
    finally:
        base.model.generation_config = own
    tokenizer.save_pretrained(folder)


@contextmanager
def merged_into(model: PreTrainedModel, adapter: Adapter) -> Iterator[None]:
    """The model with the updates in its weights, for the length of a with block."""
    before: dict[str, Tensor] = {}
    try:
        for name, factors in adapter.factors.items():
            if factors.values.numel():
                module = model.get_submodule(name)
                weight = _weight(module)
                before[name] = weight.data
                weight.data = _sum(module, weight.data, factors)
        yield
    finally:
        for name, data in before.items():
            _weight(model.get_submodule(name)).data = data


def _sum(module: nn.Module, W: Tensor, factors: Factors) -> Tensor:
    """W + dW in W's dtype and axis order: GPT-2's Conv1D has (in_features, out_features)."""
    dtype = torch.promote_types(W.dtype, torch.float32)
    B, A = factors.B.to(W.device, dtype), factors.A.to(W.device, dtype)
    left, right = (A.T, B.T) if isinstance(module, Conv1D) else (B, A)
    return torch.addmm(W.to(dtype), left, right, alpha=factors.scaling).to(W.dtype)


def _weight(module: nn.Module) -> nn.Parameter:
    weight = module.weight
    assert isinstance(weight, nn.Parameter)  # of a linear map, as applied() has seen
    return weight


def _check_weights(base: Base, adapter: Adapter) -> None:
    """Every weight to be changed is a plain float one of its own; in a tied one the change would appear twice."""
    holders: dict[int, list[str]] = {}
    for name, parameter in base.model.named_parameters(remove_duplicate=False):
        holders.setdefault(id(parameter), []).append(name)
    for module in adapter.factors:
        weight = _weight(base.model.get_submodule(module))
        if weight.dtype not in _FLOATS:
            raise ModelError("merge_quantised", base=base.name)
        if len(names := holders[id(weight)]) > 1:
            raise ModelError("merge_tied", base=base.name, module=module, shared=", ".join(names))


def _tokens(base: Base, prompts: Sequence[str]) -> list[Tensor]:
    """(1, tokens) ids of each prompt that has any."""
    longest = min(_LONGEST, getattr(base.model.config, "max_position_embeddings", _LONGEST))
    rows = [base.tokenizer(prompt, truncation=True, max_length=longest)["input_ids"] for prompt in prompts]
    if not any(rows):
        raise ConfigError("drift_needs_prompts", prompts=len(prompts))
    return [torch.tensor([row], device=base.model.device) for row in rows if row]


@torch.no_grad()
def _logits(model: PreTrainedModel, row: Tensor) -> Tensor:
    """(tokens, vocabulary), as the model computes them, on the CPU."""
    return model(row).logits[0].cpu()


def _drift(beside: Sequence[Tensor], merged: Sequence[Tensor]) -> Drift:
    """Each (tokens, vocabulary), one of each prompt; compared in fp64."""
    largest = total = kl = 0.0
    for before, after in zip(beside, merged, strict=True):
        for p, q in zip(before.split(16), after.split(16), strict=True):  # a large vocabulary in fp64 is large
            difference = (p.double() - q.double()).abs()
            largest = max(largest, difference.max().item())
            total += difference.sum().item()
            kl += F.kl_div(
                q.double().log_softmax(-1), p.double().log_softmax(-1), reduction="sum", log_target=True
            ).item()
    positions = sum(len(each) for each in beside)
    mean = total / sum(each.numel() for each in beside)
    return Drift(largest, mean, max(kl, 0.0) / positions, len(beside), positions)
