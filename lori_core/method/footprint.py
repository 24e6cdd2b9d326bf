"""Footprint: what a task feeds into each adapted module, as second moments C = E[x xᵀ] of the module's inputs x.

A is frozen before anything is trained, so footprints tell before training how much of one task the A of another lets
through (forecast.py), which A reads a task and not the others (conditioned.py), and after training which part of an
adapter to leave out of a merge (merge_methods.py: removal). Values only: training/footprints.py measures them.

An input of up to EXACT features has its whole C. A wider one, of n features, has the moments of z = R x instead, for
`directions` random rows R, so that no (n, n) matrix is ever formed; R is the same for all modules of that width.
Modules that read one input, such as q, k and v, share its moments. A matrix is kept as its Cholesky factor, rounded to
16 bits: what is rounded stays positive semidefinite, and what is saved is what was used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from lori_core.errors import IncompatibleAdapters
from lori_core.method.projection import uniform

EXACT = 1024  # features up to which an input has its whole C
_IN_SPAN = 1e-4  # of the norm of A: what may lie outside the span of R where A counts as W R


@dataclass(frozen=True, eq=False)
class Moments:
    """Second moments of one input.

    Attributes:
        factor: (m, m) fp16, lower triangular: E[z zᵀ] = energy · factor factorᵀ. m = in_features where z is x itself.
        in_features: width n of the input x.
        energy: E‖x‖² a token.
    """

    factor: Tensor
    in_features: int
    energy: float

    @property
    def rows(self) -> Tensor | None:
        """R (m, n) fp64; None where z is x itself."""
        return None if len(self.factor) == self.in_features else random_rows(len(self.factor), self.in_features)

    @property
    def matrix(self) -> Tensor:
        """E[z zᵀ] (m, m) fp64."""
        factor = self.factor.double()
        return self.energy * (factor @ factor.T)

    @property
    def gram(self) -> Tensor:
        """R Rᵀ (m, m) fp64: ‖W R‖² = tr(W (R Rᵀ) Wᵀ), what a ridge on A is in the space of z."""
        rows = self.rows
        return torch.eye(self.in_features, dtype=torch.float64) if rows is None else rows @ rows.T

    def in_span(self, A: Tensor) -> Tensor | None:
        """W (rows of A, m) fp64 with A = W R; None where A reads what R does not."""
        A, rows = A.double(), self.rows
        if rows is None:
            return A
        W = torch.linalg.lstsq(rows.T, A.T).solution.T
        return W if torch.dist(W @ rows, A) <= _IN_SPAN * A.norm() else None

    def through(self, A: Tensor) -> float:
        """E‖A x‖². Where A reads what R does not it is that of random rows of A's size, ‖A‖² E‖x‖² / n."""
        W = self.in_span(A)
        if W is None:
            return A.double().square().sum().item() * self.energy / self.in_features
        return self.energy * (W @ self.factor.double()).square().sum().item()


def moments_of(second: Tensor, in_features: int, energy: float) -> Moments:
    """second: E[z zᵀ] (m, m), as it was summed; energy: E‖x‖² a token."""
    matrix = second.double() / energy
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    root = vectors * values.clamp(min=0).sqrt()  # rounding of the sums leaves some below zero
    factor = torch.linalg.qr(root.T).R.T
    return Moments(factor.half(), in_features, energy)


@lru_cache(maxsize=4)
def random_rows(directions: int, in_features: int) -> Tensor:
    """R (directions, in_features) fp64, entries U(-1, 1) in multiples of 2⁻²³, the same bits on every machine."""
    return torch.from_numpy(uniform((directions, in_features), "footprint", in_features)).double()


@dataclass(frozen=True, eq=False)
class Footprint:
    """Of one task, or of any text.

    Attributes:
        name: the task's.
        inputs: module -> the module under which its input's moments stand, itself or one that reads the same input.
        moments: module -> the moments of its input.
        tokens: how many were counted: of prompts and responses, but for the first of each, to which others attend
            whatever it is (an attention sink).
        record: JSON values only: base, data, how many examples.
    """

    name: str
    inputs: Mapping[str, str]
    moments: Mapping[str, Moments]
    tokens: int
    record: dict[str, Any] = field(default_factory=dict)

    def of(self, module: str) -> Moments:
        """The moments of a module's input; raises IncompatibleAdapters where it was not measured."""
        if module not in self.inputs:
            raise IncompatibleAdapters("footprint_without_module", name=self.name, module=module)
        return self.moments[self.inputs[module]]
