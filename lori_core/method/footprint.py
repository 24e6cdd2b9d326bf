"""Footprint: what a task feeds into each adapted module, as second moments C = E[x xᵀ] of the module's inputs x.

A is frozen before anything is trained, so footprints tell before training how much of one task the A of another lets
through (forecast.py), which A reads a task and not the others (conditioned.py), and after training which part of an
adapter to leave out of a merge (merge_methods.py: removal). Values only: training/footprints.py measures them.

An input of up to EXACT features has its whole C. A wider one, of n features, has the moments of z = R x instead, for
`directions` random rows R, so that no (n, n) matrix is ever formed; R is the same for all modules of that width.
Modules that read one input, such as q, k and v, share its moments. A matrix is kept as its Cholesky factor, rounded to
16 bits: what is rounded stays positive semidefinite, and what is saved is what was used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from lori_core.errors import ConfigError, IncompatibleAdapters
from lori_core.method.adapter import Adapter
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
        Q, upper = _orthonormal(*rows.shape)
        W = torch.linalg.solve_triangular(upper, Q.T @ A.T, upper=True).T
        return W if torch.dist(W @ rows, A) <= _IN_SPAN * A.norm() else None

    def through(self, A: Tensor) -> float:
        """E‖A x‖². Where A reads what R does not it is that of random rows of A's size, ‖A‖² E‖x‖² / n."""
        return self._through(A, self.in_span(A))

    def _through(self, A: Tensor, W: Tensor | None) -> float:
        if W is None:
            return A.double().square().sum().item() * self.energy / self.in_features
        return self.energy * (W @ self.factor.double()).square().sum().item()


def through_each(A: Tensor, every: Sequence[Moments]) -> list[float]:
    """E‖A x‖² of many inputs of A's width; what A is in the span of R is found once for all that have the same R."""
    found: dict[int, Tensor | None] = {}
    for moments in every:
        if len(moments.factor) not in found:
            found[len(moments.factor)] = moments.in_span(A)
    return [moments._through(A, found[len(moments.factor)]) for moments in every]


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


@lru_cache(maxsize=4)
def _orthonormal(directions: int, in_features: int) -> tuple[Tensor, Tensor]:
    """Q (n, m) and an upper triangle T with Rᵀ = Q T, fp64: least squares in the rows of R for one A after another."""
    Q, upper = torch.linalg.qr(random_rows(directions, in_features).T)
    return Q, upper


@dataclass(frozen=True, eq=False)
class Footprint:
    """Of one task, or of any text.

    Attributes:
        name: the task's.
        inputs: module -> the module under which its input's moments stand, itself or one that reads the same input.
        moments: module -> the moments of its input.
        tokens: how many were counted: of prompts and responses, but for the first of each, to which others attend
            whatever it is (an attention sink).
        record: JSON values only: base, data, how many examples, wording.
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


def as_source(footprint: Footprint) -> dict[str, Any]:
    """What the record of an adapter that rests on it says about it; it has an id if it was loaded."""
    return {"name": footprint.name} | {
        key: footprint.record[key] for key in ("version", "id") if key in footprint.record
    }


def distance(left: Moments, right: Moments) -> float:
    """‖C_left - C_right‖ / ‖C_left‖, Frobenius; of a wide input the same of the moments of z.

    Raises:
        ConfigError: they are not of one size.
    """
    check_alike("", [left, right])
    return (torch.dist(left.matrix, right.matrix) / left.matrix.norm()).item()


def check_alike(module: str, every: Sequence[Moments]) -> None:
    """Raises ConfigError where the moments of an input are not of one size."""
    for other in every[1:]:
        if other.factor.shape != every[0].factor.shape or other.in_features != every[0].in_features:
            sizes = [(len(each.factor), each.in_features) for each in (every[0], other)]
            raise ConfigError("footprints_differ", module=module, left=sizes[0], right=sizes[1])


def check_footprint_base(footprint: Footprint, name: str | None, fingerprint: str | None) -> None:
    """Refuse a footprint of another base than the one of that name; where one is not known it is taken on trust.

    Raises:
        IncompatibleAdapters: its weights are others.
    """
    known = footprint.record.get("base", {})
    found = known.get("fingerprint")
    if None not in (found, fingerprint) and found != fingerprint:
        raise IncompatibleAdapters("footprint_of_other_base", name=footprint.name, wanted=known.get("name"), got=name)


def check_footprints(footprints: Sequence[Footprint], adapters: Sequence[Adapter]) -> None:
    """Refuse footprints that are not one for each adapter, of the same base and its widths.

    Raises:
        IncompatibleAdapters: so it is, one lacks a module, or prompts stood in a chat template for one of the two only.
    """
    if len(footprints) != len(adapters):
        raise IncompatibleAdapters("footprints_count", adapters=len(adapters), footprints=len(footprints))
    first = footprints[0].record.get("base", {})
    for footprint in footprints:
        check_footprint_base(footprint, first.get("name"), first.get("fingerprint"))
        for adapter in adapters:
            base = adapter.record.get("base", {})
            check_footprint_base(footprint, base.get("name"), base.get("fingerprint"))
            for module, factors in adapter.factors.items():
                if (width := footprint.of(module).in_features) != factors.A.shape[1]:
                    widths = {"width": width, "expected": factors.A.shape[1]}
                    raise IncompatibleAdapters("footprint_width", name=footprint.name, module=module, **widths)
    for footprint, adapter in zip(footprints, adapters, strict=True):
        measured, learned = (_in_chat(each.record) for each in (footprint, adapter))
        if None not in (measured, learned) and measured != learned:
            key = "footprint_in_chat" if measured else "footprint_without_chat"
            raise IncompatibleAdapters(key, name=footprint.name, adapter=adapter.name)


def _in_chat(record: Mapping[str, Any]) -> bool | None:
    """Whether prompts stood in a chat template; None: it is not known, and taken on trust."""
    wording = record.get("wording")
    return bool(wording.get("chat")) if isinstance(wording, Mapping) else None
