"""Faults of serving, as adapters: what a server in effect computes with where a part of the hand-over was lost.

scale 0.5                    alpha / rank was lost, or counted twice
without self_attn.q_proj     a kind of module was dropped; also a layer, "layer 3", and single modules
unpermuted q, k              llama.cpp found B's rows in transformers' order
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from transformers import PreTrainedConfig

from lori_core.method.adapter import Adapter
from lori_core.storage.gguf_files import ARCHITECTURES, gguf_names, in_gguf_order

ACTIVE, BARE, UNPERMUTED = "active", "bare", "unpermuted q, k"
ROUNDED, ROUNDED_BARE = "4 bits", "4 bits, bare"  # no faults: on a base whose weights are rounded
SCALE, WITHOUT = "scale ", "without "  # beginnings of states

_MOST_SINGLE = 64  # modules of a base up to which each may be missing alone; of more the kinds and layers are enough
_SCALES = (0.25, 0.5, 2.0, 4.0)
_IN_LAYER = re.compile(r"(?P<layer>.*?\.\d+)\.(?P<kind>.+)")  # the first number in a name is the layer's


def served_states(adapter: Adapter, config: PreTrainedConfig) -> Iterator[tuple[str, Adapter]]:
    """(state, the adapter that has its effect); ACTIVE comes first, BARE has no adapter and is not among them."""
    yield ACTIVE, adapter
    for scale in _scales(adapter):
        yield f"{SCALE}{scale:g}", _scaled(adapter, scale)
    for part in _parts(adapter):
        if kept := {m: f for m, f in adapter.factors.items() if part != m and part not in _parts_of(m)}:
            yield f"{WITHOUT}{part}", replace(adapter, factors=kept)
    if ARCHITECTURES.get(config.model_type) and (moved := _unpermuted(adapter, config)) is not None:
        yield UNPERMUTED, moved


def _scales(adapter: Adapter) -> list[float]:
    """Of alpha / rank an exporter or a server can lose either half, or the whole of it."""
    rank = max(factors.rank for factors in adapter.factors.values())
    own = adapter.config.scaling
    return sorted({*_SCALES, float(rank), 1 / rank, own, 1 / own} - {1.0})


def _scaled(adapter: Adapter, scale: float) -> Adapter:
    factors = {module: replace(f, scaling=scale * f.scaling) for module, f in adapter.factors.items()}
    return replace(adapter, factors=factors)


def _parts(adapter: Adapter) -> list[str]:
    """Kinds of modules, layers, and where they are few the modules themselves."""
    single = list(adapter.factors) if len(adapter.factors) <= _MOST_SINGLE else []
    return list(dict.fromkeys([*(part for module in adapter.factors for part in _parts_of(module)), *single]))


def _parts_of(module: str) -> tuple[str, ...]:
    found = _IN_LAYER.fullmatch(module)
    return (found["kind"], f"layer {found['layer'].rpartition('.')[2]}") if found else (module,)


def _unpermuted(adapter: Adapter, config: PreTrainedConfig) -> Adapter | None:
    """B's rows where llama.cpp would find them that were never moved; None where nothing has to move."""
    name_of: Callable[[str], str | None] = gguf_names(config)
    factors = dict(adapter.factors)
    for module, f in adapter.factors.items():
        rows = torch.arange(f.shape[0])
        moved = in_gguf_order(config, name_of(f"{module}.weight") or "", rows)
        if not torch.equal(moved, rows):
            back = moved.argsort()
            mask = f.mask[back]
            factors[module] = replace(f, mask=mask, values=f.B[back][mask])
    return (
        None
        if all(factors[module] is f for module, f in adapter.factors.items())
        else replace(adapter, factors=factors)
    )
