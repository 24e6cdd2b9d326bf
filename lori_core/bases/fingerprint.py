"""Fingerprint of a base's weights: one number for a checkpoint, in whichever form it was loaded.

Weights that are packed in 8 or 4 bits are not looked at themselves: the checkpoint's files have them as they were. So
an adapter that was trained on a quantised base loads on the unquantised one too, and the other way round: check_base()
of method/adapter.py compares them.

A GGUF file is another matter: it holds the weights rounded to a few bits, and nothing says what they were. Such a base
has the fingerprint of what is computed with. What every GGUF file keeps as it was are the vectors (norms, biases), so
they have a fingerprint of their own, by which a rounded copy and its checkpoint know each other.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import cached_file

from lori_core.bases.sharded import gathered

_SAMPLE = 65_536  # elements of a parameter that go into the fingerprint


def fingerprint(model: nn.Module, files: Sequence[str] = ()) -> str:
    """sha256 over name, shape and up to 65,536 evenly strided elements, rounded to bf16, of every parameter.

    Says whether two processes loaded the same weights, on any device, in fp32, in bf16 or packed: adapters trained on
    the one belong on the other too. Ask before adapters are attached: they are parameters as well.

    Args:
        files: the safetensors files that it was loaded from; only packed weights are sought there. One that is not
            there under its own name counts as it is packed.
    """
    digest = hashlib.sha256()
    with ExitStack() as opened:
        packed = any(not parameter.is_floating_point() for parameter in model.parameters())
        sources = [opened.enter_context(safe_open(file, framework="pt")) for file in files] if packed else []
        stored = {key: source for source in sources for key in source.keys()}  # noqa: SIM118, it is no dict
        for name, parameter in model.named_parameters():
            whole = gathered(parameter.detach())
            weight = whole if whole.is_floating_point() else _stored(stored, name, whole)
            stride = max(1, math.ceil(weight.numel() / _SAMPLE))
            sample = weight.reshape(-1)[::stride].to("cpu", torch.bfloat16).contiguous()
            digest.update(f"{name} {tuple(weight.shape)}\n".encode())
            digest.update(sample.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def vectors_fingerprint(model: nn.Module) -> str:
    """sha256 over name and elements, rounded to bf16, of every parameter that is a vector; "" where none is."""
    digest, vectors = hashlib.sha256(), [(n, p) for n, p in model.named_parameters() if p.dim() == 1]
    for name, vector in vectors:
        digest.update(f"{name} {len(vector)}\n".encode())
        whole = gathered(vector.detach()).to("cpu", torch.bfloat16).contiguous()
        digest.update(whole.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest() if vectors else ""


def weight_files(source: str | Path, revision: str | None) -> list[str]:
    """The safetensors files of a checkpoint, local folder or hub id, that has been loaded already."""
    asked: dict[str, Any] = {"revision": revision, "_raise_exceptions_for_missing_entries": False}
    index = cached_file(source, SAFE_WEIGHTS_INDEX_NAME, **asked)
    names = [SAFE_WEIGHTS_NAME]
    if index is not None:
        names = sorted(set(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].values()))
    return [file for name in names if (file := cached_file(source, name, **asked)) is not None]


def _stored(stored: dict[str, Any], name: str, packed: Tensor) -> Tensor:
    """The parameter as the files have it. They may leave out the name of the model inside: "h.0.attn" for
    "transformer.h.0.attn"."""
    for key in (name, name.partition(".")[2]):
        if key in stored:
            return stored[key].get_tensor(key)
    return packed
