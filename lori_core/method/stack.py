"""Stack: factors of another adapter beside those that are there, as one adapter of which only the new part moves."""

from dataclasses import replace

import torch

from lori_core.method.adapter import Adapter, Factors, check_comparable
from lori_core.method.masks import Masks, sparsity_of


def stacked(earlier: Adapter, new: Adapter) -> tuple[Adapter, Masks]:
    """The sum of both updates as one adapter, and which of its entries are the new one's: module -> (out, ranks) bool.

    Its scaling is the new one's, so that it trains as it would alone; the earlier B are rescaled to it.

    Raises:
        IncompatibleAdapters: their updates do not lie in one space.
    """
    check_comparable([earlier, new])
    factors, moves = {}, {}
    for module, old in earlier.factors.items():
        own = new.factors[module]
        B = torch.cat([old.B * (old.scaling / own.scaling), own.B], dim=1)
        mask = torch.cat([old.mask, own.mask], dim=1)
        factors[module] = Factors(torch.cat([old.A, own.A]), B[mask], mask, own.scaling)
        moves[module] = torch.cat([torch.zeros_like(old.mask), own.mask], dim=1)
    masks = {module: each.mask for module, each in factors.items()}
    rank = max(each.rank for each in factors.values())
    config = new.config.changed(rank=rank, sparsity=sparsity_of(masks))
    drawn = (*earlier.drawn_from, *new.drawn_from) if earlier.drawn_from and new.drawn_from else ()
    return replace(new, name=f"{earlier.name}+{new.name}", config=config, factors=factors, drawn_from=drawn), moves
