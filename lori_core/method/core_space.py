"""Core Space: one module's updates in orthonormal bases that they share, and the merge methods that act there.

    w_t dW_t = U M_t Vᵀ,    M_t = Uᵀ (w_t s_t B_t) (A_t V)          (arXiv 2509.17786)

U and V are the left singular vectors of the stacked [.. w_t s_t B_t ..] and [.. A_tᵀ ..], so nothing is lost, and M_t,
a core, is (Σ r, Σ r) at most however large dW is. No dW is ever formed. Cores are computed in fp64.

    core_magnitude, core_ties, core_dare    magnitude, ties and dare on the entries of the cores
    knots_ties           ties on Σ V_t, where [.. dW_t ..] = U Σ [.. V_t ..] (arXiv 2410.19735)
    tsv_m                the tasks' singular vectors, made orthogonal to each other (arXiv 2412.00081)
    iso_c                the sum with all its singular values at their mean (arXiv 2502.04959)
    pico                 directions that the Bs share are damped, the sum is rescaled (arXiv 2604.16826)
    compress_then_merge  the sum inside bases of a fixed rank that suit all tasks (arXiv 2606.03723)
    wudi                 least interference with the tasks' own rows (arXiv 2503.08099); of updates whose rows are
                         orthogonal it is the plain sum: independent random As come near it only in wide modules

The bases, and with them what core_magnitude, core_ties, core_dare and pico do, depend on how updates are written as
factors; the others see updates only. The weight of an adapter does what scaling its update by it would do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lori_core.config import MergeOptions
from lori_core.method.adapter import dense_factors
from lori_core.method.merge_parts import Merged, Part, above_rounding, compress, drop_at_random, elect, factorise, trim

ROUNDS = 10  # of compress_then_merge's alternation, each a closed step; it settles in a few


@dataclass(frozen=True)
class CoreSpace:
    """The weighted updates of one module as cores between shared bases, fp64.

    Attributes:
        U: (out_features, p) with orthonormal columns.
        V: (in_features, q) with orthonormal columns.
        cores: (T, p, q); U cores[t] Vᵀ is the update of the t-th part times its weight.
        spectrum: (p,) singular values of the stacked Bs, by column of U.
        dtype: of the factors.
    """

    U: Tensor
    V: Tensor
    cores: Tensor
    spectrum: Tensor
    dtype: torch.dtype

    def lifted(self, core: Tensor, rank: int | None) -> Merged:
        """U core Vᵀ as factors. core: (p, q); rank: as factorise has it."""
        return self.back(factorise(core, rank))

    def back(self, merged: Merged) -> Merged:
        """Factors of a core as those of the update that it stands for."""
        A, B = merged.factors.A @ self.V.T, self.U @ merged.factors.B
        return replace(merged, factors=dense_factors(A.to(self.dtype), B.to(self.dtype)))


def core_space(parts: Sequence[Part]) -> CoreSpace:
    """The frame of all methods here; modules whose Bs or As lie in fewer directions have a smaller one."""
    As = [part.factors.A.double() for part in parts]
    Bs = [part.scale * part.factors.B.double() for part in parts]
    U, spectrum = _basis(torch.cat(Bs, dim=1))
    V, _ = _basis(torch.cat(As).T)
    cores = torch.stack([(U.T @ B) @ (A @ V) for A, B in zip(As, Bs, strict=True)])
    return CoreSpace(U, V, cores, spectrum, parts[0].factors.A.dtype)


def core_magnitude(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """Σ trim(M_t): arXiv 2509.17786 with pruning by magnitude as the merge in the core."""
    space = core_space(parts)
    return space.lifted(
        torch.stack([trim(module, core, options.keep) for core in space.cores]).sum(dim=0), options.rank
    )


def core_ties(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """elect(trim(M_t)): arXiv 2509.17786 with TIES (arXiv 2306.01708, algorithm 1) as the merge in the core."""
    space = core_space(parts)
    return space.lifted(elect(torch.stack([trim(module, core, options.keep) for core in space.cores])), options.rank)


def core_dare(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """Σ keep_t ⊙ M_t / (1 - drop): arXiv 2509.17786 with DARE (arXiv 2311.03099) as the merge in the core."""
    space = core_space(parts)
    cores = [
        drop_at_random(core, options.drop, options.seed, part.name, module, "core")
        for core, part in zip(space.cores, parts, strict=True)
    ]
    return space.lifted(torch.stack(cores).sum(dim=0), options.rank)


def knots_ties(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """U elect(trim(Σ V_t)), where [dW_1 .. dW_T] = U Σ [V_1 .. V_T] (arXiv 2410.19735, KnOTS-TIES).

    Σ V_t = Uᵀ dW_t is (Σ r, in_features), the size of a factor. As in the published code Σ stays with the V_t.
    """
    space = core_space(parts)
    left, _ = _basis(torch.cat(list(space.cores), dim=1))
    aligned = torch.stack([trim(module, left.T @ core @ space.V.T, options.keep) for core in space.cores])
    merged = compress(dense_factors(elect(aligned), space.U @ left), options.rank)
    A, B = merged.factors.A, merged.factors.B
    return replace(merged, factors=dense_factors(A.to(space.dtype), B.to(space.dtype)))


def tsv_m(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """TSV-Merge (arXiv 2412.00081): P(U) S P(V)ᵀ of all tasks' U_t S_t V_tᵀ = dW_t side by side.

    P(X), the orthonormal matrix nearest to X, takes from the singular vectors what tasks share. All that are not zero
    are kept: the paper's share of 1 / T of a full-rank update is more than a low rank has.
    """
    space = core_space(parts)
    U, S, V = zip(*(_singular(core) for core in space.cores), strict=True)
    core = _nearest_orthonormal(torch.cat(U, dim=1)) * torch.cat(S) @ _nearest_orthonormal(torch.cat(V, dim=1)).T
    return space.lifted(core, options.rank)


def iso_c(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """Iso-C (arXiv 2502.04959): σ̄ U Vᵀ of the sum U S Vᵀ, σ̄ the mean of S.

    Mean and vectors are of the singular values above zero: others have no directions. Of one adapter it is not that
    adapter.
    """
    space = core_space(parts)
    U, S, V = _singular(space.cores.sum(dim=0))
    return space.lifted(S.sum() / max(len(S), 1) * U @ V.T, options.rank)


def pico(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """Pico before a plain sum (arXiv 2604.16826, sections 4.1 and 4.2).

    Direction j of the stacked Bs, which has the share s_j = σ_j² / Σ σ² of their energy, is multiplied by
    1 / (1 + (T - 1) s_j); the sum gets the tasks' mean norm, so it is smaller than concat's at the same weights.
    """
    space = core_space(parts)
    energy = space.spectrum.square()
    share = energy / energy.sum().clamp(min=torch.finfo(energy.dtype).tiny)
    damped = space.cores.sum(dim=0) / (1 + (len(parts) - 1) * share)[:, None]
    norm = torch.linalg.matrix_norm(damped).clamp(min=torch.finfo(damped.dtype).tiny)
    return space.lifted(torch.linalg.matrix_norm(space.cores).mean() / norm * damped, options.rank)


def compress_then_merge(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """P Pᵀ (Σ dW_t) Q Qᵀ, with bases P and Q of a rank that keep most of all dW_t / ‖dW_t‖ (arXiv 2606.03723).

    Tucker-2: P and Q start as the leading singular vectors of the normed updates side by side and below each other,
    and each is then found anew between the other (the paper's β is 0 and its merge a sum).

    Args:
        options: rank None is the largest rank among the adapters, so the result serves where each of them does.
    """
    space = core_space(parts)
    rank = options.rank or max(part.factors.rank for part in parts)
    norms = torch.linalg.matrix_norm(space.cores, keepdim=True).clamp(min=torch.finfo(space.cores.dtype).tiny)
    normed = space.cores / norms
    P, Q = _leading(normed, rank), _leading(normed.mT, rank)
    for _ in range(ROUNDS):
        P = _leading(normed @ Q, rank)
        Q = _leading(normed.mT @ P, rank)
    total = space.cores.sum(dim=0)
    inside = P @ (P.T @ total @ Q) @ Q.T
    merged = space.lifted(inside, None)
    return replace(merged, lost=(total - inside).square().sum().item(), size=total.square().sum().item())


def wudi(module: str, parts: Sequence[Part], options: MergeOptions) -> Merged:
    """argmin over M of Σ_t ‖(M - dW_t) dW_tᵀ‖² / ‖dW_t‖² (WUDI-Merging, arXiv 2503.08099), of several the smallest.

    Closed as in appendix A.1.4, without its ridge: M K = Y, K = [.. dW_tᵀ / ‖dW_t‖ ..], Y = [.. dW_t dW_tᵀ / ‖dW_t‖ ..]
    """
    space = core_space(parts)
    norms = torch.linalg.matrix_norm(space.cores, keepdim=True).clamp(min=torch.finfo(space.cores.dtype).tiny)
    normed = space.cores / norms
    K = torch.cat(list(normed.mT), dim=1)
    Y = torch.cat(list(space.cores @ normed.mT), dim=1)
    rounding = max(K.shape) * torch.finfo(space.dtype).eps  # of the factors: rows that differ by less are the same
    return space.lifted(Y @ torch.linalg.pinv(K, rtol=rounding), options.rank)


def _basis(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Left singular vectors (rows, k) and singular values (k,) above rounding, one at least.

    Args:
        columns: (rows, n); tall ones cost a QR.
    """
    Q, R = torch.linalg.qr(columns)
    U, S, _ = torch.linalg.svd(R, full_matrices=False)
    k = max(1, above_rounding(S, columns))
    return Q @ U[:, :k], S[:k]


def _singular(core: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U (p, k), S (k,), V (q, k) of the singular values above rounding; k may be 0."""
    U, S, Vh = torch.linalg.svd(core, full_matrices=False)
    k = above_rounding(S, core)
    return U[:, :k], S[:k], Vh[:k].T


def _nearest_orthonormal(columns: Tensor) -> Tensor:
    """U Vᵀ of U S Vᵀ; columns that depend on each other share the directions that there are."""
    U, _, V = _singular(columns)
    return U @ V.T


def _leading(matrices: Tensor, rank: int) -> Tensor:
    """(rows, rank): the left singular vectors of largest singular values of (T, rows, columns) side by side."""
    U, _, _ = torch.linalg.svd(torch.cat(list(matrices), dim=1), full_matrices=False)
    return U[:, :rank]
