"""Merges on factors against the dense way at Llama-3-8B's shapes: one module, four adapters of rank 32, one core, fp32.

`python -m benchmarks.merge_speed` writes results/merge_speed.json. The dense way forms the four dW, merges them and
writes the result as factors; for ties, magnitude and dare it is the product's own, for others the papers' steps.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.record import record
from lori_core.config import MergeOptions
from lori_core.method.adapter import Factors
from lori_core.method.core_space import CoreSpace, core_space
from lori_core.method.merge_methods import MERGE_METHODS
from lori_core.method.merge_parts import Merged, Part, elect, factorise, trim

SHAPES = {"k_proj": (1024, 4096), "q_proj": (4096, 4096), "up_proj": (14336, 4096)}
TASKS, RANK, SPARSITY = 4, 32, 0.9
ON_FACTORS = [name for name, method in MERGE_METHODS.items() if method.__module__ == CoreSpace.__module__]
OPTIONS = MergeOptions()


def parts_of(shape: tuple[int, int]) -> list[Part]:
    """Random adapters of LoRI-S's shape."""
    out_features, in_features = shape
    parts = []
    for task in range(TASKS):
        generator = torch.Generator().manual_seed(task)
        mask = torch.rand(out_features, RANK, generator=generator) >= SPARSITY
        values = torch.randn(int(mask.sum()), generator=generator)
        A = torch.randn(RANK, in_features, generator=generator) / in_features**0.5
        parts.append(Part(f"task {task}", Factors(A, values, mask, 2.0), 0.5))
    return parts


def updates_of(parts: Sequence[Part]) -> list[Tensor]:
    return [part.weight * part.factors.update for part in parts]


def dense_iso_c(parts: Sequence[Part]) -> Merged:
    U, S, Vh = torch.linalg.svd(torch.stack(updates_of(parts)).sum(dim=0), full_matrices=False)
    return factorise(S[: TASKS * RANK].mean() * U[:, : TASKS * RANK] @ Vh[: TASKS * RANK], None)


def dense_tsv_m(parts: Sequence[Part]) -> Merged:
    U, S, Vh = zip(*(torch.linalg.svd(update, full_matrices=False) for update in updates_of(parts)), strict=True)
    left, _, left_t = torch.linalg.svd(torch.cat([u[:, :RANK] for u in U], dim=1), full_matrices=False)
    right, _, right_t = torch.linalg.svd(torch.cat([vh[:RANK] for vh in Vh]), full_matrices=False)
    return factorise(left @ left_t * torch.cat([s[:RANK] for s in S]) @ right @ right_t, None)


def dense_knots_ties(parts: Sequence[Part]) -> Merged:
    U, S, Vh = torch.linalg.svd(torch.cat(updates_of(parts), dim=1), full_matrices=False)
    aligned = torch.stack((S[:, None] * Vh).split(parts[0].factors.shape[1], dim=1))
    return factorise(U @ elect(torch.stack([trim("m", each, OPTIONS.keep) for each in aligned])), None)


def dense_pico(parts: Sequence[Part]) -> Merged:
    U, S, _ = torch.linalg.svd(torch.cat([part.scale * part.factors.B for part in parts], dim=1), full_matrices=False)
    alpha = 1 / (1 + (TASKS - 1) * S.square() / S.square().sum())
    updates = updates_of(parts)
    damped = torch.stack([update + U @ ((alpha - 1)[:, None] * (U.T @ update)) for update in updates]).sum(dim=0)
    return factorise(damped * torch.stack([update.norm() for update in updates]).mean() / damped.norm(), None)


def dense_wudi(parts: Sequence[Part]) -> Merged:
    updates = updates_of(parts)
    inner = [update.T @ update / update.square().sum() for update in updates]
    wanted = torch.stack([update @ each for update, each in zip(updates, inner, strict=True)]).sum(dim=0)
    return factorise(wanted @ torch.linalg.pinv(torch.stack(inner).sum(dim=0), hermitian=True), None)


DENSE: dict[str, Callable[[Sequence[Part]], Any]] = {
    "core_magnitude": lambda parts: MERGE_METHODS["magnitude"]("m", parts, OPTIONS),
    "core_ties": lambda parts: MERGE_METHODS["ties"]("m", parts, OPTIONS),
    "core_dare": lambda parts: MERGE_METHODS["dare"]("m", parts, OPTIONS),
    "iso_c": dense_iso_c,
    "tsv_m": dense_tsv_m,
    "knots_ties": dense_knots_ties,
    "pico": dense_pico,
    "wudi": dense_wudi,
}
DENSE_SHAPES = ("k_proj",)  # a dW of q_proj takes minutes for each singular value decomposition


def seconds(work: Callable[[], Any], rounds: int = 3) -> float:
    """The fastest of so many."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def main() -> None:
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name, shape in SHAPES.items():
        parts = parts_of(shape)
        rows: dict[str, Any] = {"frame": {"factors": seconds(lambda parts=parts: core_space(parts))}}
        for method in ON_FACTORS:
            rows[method] = {"factors": seconds(lambda: MERGE_METHODS[method]("m", parts, OPTIONS))}  # noqa: B023
            if name in DENSE_SHAPES and method in DENSE:
                rows[method]["dense"] = seconds(lambda: DENSE[method](parts), rounds=1)  # noqa: B023
                rows[method]["ratio"] = rows[method]["factors"] / rows[method]["dense"]
            print(name, method, rows[method], flush=True)
        found[name] = rows
    config = {"shapes": SHAPES, "tasks": TASKS, "rank": RANK, "sparsity": SPARSITY}
    print("written", record("merge_speed", config, found))


if __name__ == "__main__":
    main()
