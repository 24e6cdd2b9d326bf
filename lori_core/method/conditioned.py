"""Conditioned A: frozen like a random one, but chosen so that it reads what its task uses and the others do not.

With C the second moments of the module's inputs on the task, O their mean over the others, the rows w of A are those
that let most of the task through for what they let through of the others and for their own size:

    max  w C wᵀ / w (O + λ tr(O)/n · I) wᵀ        the `rank` leading solutions of the generalised eigenproblem

as in common spatial patterns (Fukunaga 1970; Koles 1991). The whole is scaled so that it lets as much of the task
through as a random A of kaiming_uniform would in the mean, so that learning rates stay what they were. Where the input
is wide, w = u R, and the problem is that of u in the space of z = R x (footprint.py).

A is stored as integers, so that it has the same bits wherever it is made again: A = 2^e W R, W of 16 bits, R of 24, and
sums of such products are exact in fp64.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lori_core.errors import ConfigError
from lori_core.method.footprint import Footprint, Moments, as_source, check_alike, check_footprint_base, random_rows

_LARGEST = 2**15 - 1


@dataclass(frozen=True, eq=False)
class Conditions:
    """What an A is conditioned on: its own task's footprint, and those of what it shall not read (at least one)."""

    own: Footprint
    others: Sequence[Footprint]

    @property
    def record(self) -> dict[str, Any]:
        """What the record of an adapter says about them; a footprint has an id if it was loaded."""
        return {"own": as_source(self.own), "others": [as_source(each) for each in self.others]}


@dataclass(frozen=True, eq=False)
class StoredRows:
    """A as integers: row i is 2^exponents[i] · W[i] R. W (rank, m) int16; exponents (rank,) int16."""

    W: Tensor
    exponents: Tensor

    def expand(self, in_features: int) -> Tensor:
        """A (rank, in_features) fp32, the same bits on every machine."""
        W = self.W.double()
        rows = W if W.shape[1] == in_features else W @ random_rows(W.shape[1], in_features)
        return torch.ldexp(rows, self.exponents.to(torch.int32).unsqueeze(1)).float()


def conditioned(conditions: Conditions, modules: Iterable[str], rank: int, ridge: float) -> dict[str, Tensor]:
    """module -> A (rank, in_features) fp32; modules that read one input share their A.

    Args:
        ridge: λ.
    Raises:
        ConfigError: there is no other footprint, or an input has too few directions for the rank.
        IncompatibleAdapters: a footprint lacks a module, or is of another base.
    """
    if not conditions.others:
        raise ConfigError("conditioned_on_nothing", task=conditions.own.name)
    base = conditions.own.record.get("base", {})
    for other in conditions.others:
        check_footprint_base(other, base.get("name"), base.get("fingerprint"))
    by_input: dict[str, Tensor] = {}
    found: dict[str, Tensor] = {}
    for module in modules:
        own, others = conditions.own.of(module), [other.of(module) for other in conditions.others]
        source = conditions.own.inputs[module]
        if source not in by_input:
            _check(conditions.own.name, module, own, others, rank)
            by_input[source] = stored_rows(_leading(own, others, rank, ridge)).expand(own.in_features)
        found[module] = by_input[source]
    return found


def stored_rows(W: Tensor) -> StoredRows:
    """W (rank, m) rounded to 16 bits, row by row."""
    largest = W.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
    exponents = torch.ceil(torch.log2(largest / _LARGEST))
    integers = torch.ldexp(W.double(), -exponents.to(torch.int32).unsqueeze(1)).round().clamp(-_LARGEST, _LARGEST)
    return StoredRows(integers.to(torch.int16), exponents.to(torch.int16))


def recover_rows(A: Tensor, directions: int | None) -> StoredRows | None:
    """The integers that A was made from, tried out; None where it was not made from such.

    Args:
        directions: m; None: as many as A has columns.
    """
    if directions is None:
        W = A.double()
    else:
        rows = random_rows(directions, A.shape[1])
        W = torch.linalg.lstsq(rows.T, A.double().T).solution.T
    # What rounding left above a row's largest possible integer must not move the row's exponent.
    stored = stored_rows(W * (1 - 2.0**-30))
    same = torch.equal(stored.expand(A.shape[1]).view(torch.int32), A.contiguous().view(torch.int32))
    return stored if same else None


def _leading(own: Moments, others: Sequence[Moments], rank: int, ridge: float) -> Tensor:
    """W (rank, m) fp64, the leading solutions by falling share, each row's largest entry positive."""
    C, mean = own.matrix, torch.stack([other.matrix for other in others]).mean(dim=0)
    energy = float(np.mean([other.energy for other in others]))
    L = torch.linalg.cholesky(mean + ridge * energy / own.in_features * own.gram)
    half = torch.linalg.solve_triangular(L, C, upper=False)
    whitened = torch.linalg.solve_triangular(L, half.T, upper=False)
    _, vectors = torch.linalg.eigh((whitened + whitened.T) / 2)
    W = torch.linalg.solve_triangular(L.T, vectors[:, -rank:].flip(1), upper=True).T
    W = W * W.gather(1, W.abs().argmax(dim=1, keepdim=True)).sign()
    as_random = rank * own.energy / (3 * own.in_features)  # E‖A x‖² of kaiming_uniform: entries of variance 1 / 3n
    return W * (as_random / (W @ C * W).sum()).sqrt()


def _check(name: str, module: str, own: Moments, others: Sequence[Moments], rank: int) -> None:
    check_alike(module, [own, *others])
    if rank > len(own.factor):
        raise ConfigError("too_few_directions", task=name, module=module, directions=len(own.factor), rank=rank)
