"""An adapter for stores: small, with a mask and a record."""

import torch

from lori_core.config import AdapterConfig
from lori_core.method.adapter import Adapter, blank
from lori_core.method.masks import random_masks

SHAPES = {"layers.0.q_proj": (16, 8), "layers.0.up_proj": (24, 8)}
BASE = {"name": "tiny", "revision": None, "fingerprint": "f" * 64}


def sparse(name: str = "math", seed: int = 0, sparsity: float = 0.75) -> Adapter:
    """An adapter with values of some bits, and a record."""
    config = AdapterConfig(rank=4, sparsity=sparsity, projection_seed=seed)
    masks = random_masks({module: (out, 4) for module, (out, _) in SHAPES.items()}, sparsity, seed)
    adapter = blank(name, SHAPES, config, masks)
    for number, factors in enumerate(adapter.factors.values()):
        factors.values.uniform_(-1, 1, generator=torch.Generator().manual_seed(number + seed))
    record = {"task": name, "base": BASE, "data": {"fingerprint": "d" * 64}, "scores": [{"n": 20, "seed": seed}]}
    return Adapter(name, config, adapter.factors, record, adapter.drawn_from)
