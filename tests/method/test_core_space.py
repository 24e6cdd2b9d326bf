"""Merges in the Core Space against references on dense updates, for unequal ranks, rsLoRA scalings and sparse Bs."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lori_core.config import AdapterConfig
from lori_core.method.adapter import Adapter, Factors, dense_factors
from lori_core.method.core_space import ROUNDS, core_space
from lori_core.method.merge import merge
from lori_core.method.merge_parts import Part
from lori_core.method.projection import uniform

SHAPES = {"layers.0.q": (12, 16), "layers.0.up": (40, 24), "layers.1.down": (24, 40)}
RANKS = (3, 5, 2, 4)  # at T = 4 more together than the first module has rows
NAMES = ("nlu", "math", "code", "safety")
WEIGHTS = (0.5, -0.3, 0.8, 1.2)
KEEP, DROP, SEED = 0.37, 0.6, 5
PRECISIONS = [(torch.float32, 1e-5), (torch.float64, 1e-10)]
METHODS: dict[str, dict[str, float]] = {
    "core_magnitude": {"keep": KEEP},
    "core_ties": {"keep": KEEP},
    "core_dare": {"drop": DROP, "seed": SEED},
    "knots_ties": {"keep": KEEP},
    "tsv_m": {},
    "iso_c": {},
    "pico": {},
    "compress_then_merge": {"rank": 4},
    "wudi": {},
}


def rslora(name: str, rank: int, dtype: torch.dtype) -> Adapter:
    """A random adapter at alpha / √rank, half of whose B is held at zero."""
    generator = torch.Generator().manual_seed(rank)
    factors = {}
    for module, (out_features, in_features) in SHAPES.items():
        A = torch.randn(rank, in_features, generator=generator, dtype=dtype) / in_features**0.5
        mask = torch.rand(out_features, rank, generator=generator) >= 0.5
        values = torch.randn(int(mask.sum()), generator=generator, dtype=dtype)
        factors[module] = Factors(A, values, mask, 4 / rank**0.5)
    return Adapter(name, AdapterConfig(rank=rank, sparsity=0.5), factors)


def adapters(tasks: int, dtype: torch.dtype = torch.float64) -> list[Adapter]:
    return [rslora(name, rank, dtype) for name, rank in list(zip(NAMES, RANKS, strict=True))[:tasks]]


class Dense:
    """What the references read: the weighted dense updates of a module in fp64, and the stacked factors."""

    def __init__(self, given: list[Adapter], module: str) -> None:
        self.module = module
        self.factors = [adapter.factors[module] for adapter in given]
        self.Bs = [w * f.scaling * f.B.double() for w, f in zip(WEIGHTS, self.factors, strict=False)]
        self.updates = [B @ f.A.double() for B, f in zip(self.Bs, self.factors, strict=True)]

    def bases(self) -> tuple[Tensor, Tensor]:
        """The paper's U_B and V_A."""
        B, A = torch.cat(self.Bs, dim=1), torch.cat([f.A.double() for f in self.factors])
        U = torch.linalg.svd(B, full_matrices=False)[0][:, : torch.linalg.matrix_rank(B)]
        V = torch.linalg.svd(A, full_matrices=False)[2][: torch.linalg.matrix_rank(A)].T
        return U, V

    def in_core(self, combine: Callable[[list[Tensor]], Tensor]) -> Tensor:
        U, V = self.bases()
        return U @ combine([U.T @ update @ V for update in self.updates]) @ V.T


def largest(values: Tensor) -> Tensor:
    threshold = values.abs().flatten().sort(descending=True).values[round(KEEP * values.numel()) - 1]
    return torch.where(values.abs() >= threshold, values, 0)


def plain_ties(values: list[Tensor]) -> Tensor:
    trimmed = torch.stack([largest(each) for each in values])
    positive = trimmed.sum(dim=0) > 0
    agree = torch.where(positive, trimmed.clamp(min=0), trimmed.clamp(max=0))
    return torch.nan_to_num(agree.sum(dim=0) / (agree != 0).sum(dim=0))


def core_magnitude(dense: Dense) -> Tensor:
    return dense.in_core(lambda cores: sum((largest(core) for core in cores), torch.zeros(())))


def core_ties(dense: Dense) -> Tensor:
    return dense.in_core(plain_ties)


def core_dare(dense: Dense) -> Tensor:
    def combine(cores: list[Tensor]) -> Tensor:
        total = torch.zeros_like(cores[0])
        for core, name in zip(cores, NAMES, strict=False):
            draws = uniform(tuple(core.shape), "dare", SEED, name, dense.module, "core")
            total += core * (torch.from_numpy(draws) >= 2 * DROP - 1) / (1 - DROP)
        return total

    return dense.in_core(combine)


def knots_ties(dense: Dense) -> Tensor:
    beside = torch.cat(dense.updates, dim=1)
    rank = int(torch.linalg.matrix_rank(beside))
    U, S, Vh = torch.linalg.svd(beside, full_matrices=False)
    values = (S[:rank, None] * Vh[:rank]).split(dense.updates[0].shape[1], dim=1)
    return U[:, :rank] @ plain_ties(list(values))


def tsv_m(dense: Dense) -> Tensor:
    """The published code's product of two decompositions."""
    U, S, Vh = [], [], []
    for update in dense.updates:
        u, s, vh = torch.linalg.svd(update, full_matrices=False)
        rank = int(torch.linalg.matrix_rank(update))
        U.append(u[:, :rank])
        S.append(s[:rank])
        Vh.append(vh[:rank])
    u_u, _, v_u = torch.linalg.svd(torch.cat(U, dim=1), full_matrices=False)
    u_v, _, v_v = torch.linalg.svd(torch.cat(Vh), full_matrices=False)
    return u_u @ v_u @ torch.diag(torch.cat(S)) @ u_v @ v_v


def iso_c(dense: Dense) -> Tensor:
    total = torch.stack(dense.updates).sum(dim=0)
    rank = int(torch.linalg.matrix_rank(total))
    U, S, Vh = torch.linalg.svd(total, full_matrices=False)
    return S[:rank].mean() * U[:, :rank] @ Vh[:rank]


def pico(dense: Dense) -> Tensor:
    U, S, _ = torch.linalg.svd(torch.cat(dense.Bs, dim=1), full_matrices=False)
    alpha = 1 / (1 + (len(dense.Bs) - 1) * S**2 / (S**2).sum())
    operator = torch.eye(U.shape[0], dtype=U.dtype) + U @ torch.diag(alpha - 1) @ U.T
    damped = torch.stack([operator @ update for update in dense.updates]).sum(dim=0)
    return damped * torch.stack([update.norm() for update in dense.updates]).mean() / damped.norm()


def compress_then_merge(dense: Dense) -> Tensor:
    rank = int(METHODS["compress_then_merge"]["rank"])

    def leading(matrices: list[Tensor]) -> Tensor:
        gram = torch.stack([matrix @ matrix.T for matrix in matrices]).sum(dim=0)
        return torch.linalg.eigh(gram).eigenvectors[:, -rank:]

    normed = [update / update.norm() for update in dense.updates]
    P, Q = leading(normed), leading([update.T for update in normed])
    for _ in range(ROUNDS):
        P = leading([update @ Q for update in normed])
        Q = leading([update.T @ P for update in normed])
    return P @ P.T @ torch.stack(dense.updates).sum(dim=0) @ Q @ Q.T


def wudi(dense: Dense) -> Tensor:
    """Least squares over all rows of all updates, the smallest of the solutions."""
    K = torch.cat([update / update.norm() for update in dense.updates])
    Y = torch.cat([update @ update.T / update.norm() for update in dense.updates], dim=1)
    return torch.linalg.lstsq(K, Y.T, rcond=1e-12, driver="gelsd").solution.T


REFERENCES: dict[str, Callable[[Dense], Tensor]] = {
    "core_magnitude": core_magnitude,
    "core_ties": core_ties,
    "core_dare": core_dare,
    "knots_ties": knots_ties,
    "tsv_m": tsv_m,
    "iso_c": iso_c,
    "pico": pico,
    "compress_then_merge": compress_then_merge,
    "wudi": wudi,
}


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("tasks", [2, 3, 4])
@pytest.mark.parametrize("method", METHODS)
def test_a_merge_on_factors_is_the_merge_of_the_dense_updates(method, tasks, dtype, tolerance):
    given = adapters(tasks, dtype)
    merged = merge(given, method, WEIGHTS[:tasks], "merged", None, **METHODS[method])
    for module, factors in merged.factors.items():
        assert factors.A.dtype == factors.values.dtype == dtype
        expected = REFERENCES[method](Dense(given, module))
        torch.testing.assert_close(factors.update.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("method", METHODS)
def test_a_merge_on_factors_never_forms_an_update(method):
    """Of the update of this module nothing could be held: it has 2^36 entries."""
    wide, rank = 2**18, 2
    generator = torch.Generator().manual_seed(0)
    given = []
    for name in NAMES[:2]:
        A, B = (torch.randn(size, generator=generator) for size in ((rank, wide), (wide, rank)))
        given.append(Adapter(name, AdapterConfig(rank=rank), {"m": dense_factors(A, B)}))
    merged = merge(given, method, [1.0, 1.0], "merged", None, **METHODS[method])
    assert merged.factors["m"].shape == (wide, wide)
    assert merged.factors["m"].rank <= 2 * rank


@pytest.mark.parametrize("method", METHODS)
def test_a_merge_on_factors_is_written_at_the_rank_that_is_asked_for(method):
    merged = merge(adapters(3), method, WEIGHTS[:3], "merged", None, **METHODS[method] | {"rank": 2})
    assert {factors.rank for factors in merged.factors.values()} == {2}
    whole = merge(adapters(3), "concat", WEIGHTS[:3], "sum") if method == "compress_then_merge" else None
    if whole is not None:  # what it says to have lost is what is missing of the whole sum
        lost = sum((whole.factors[m].update - f.update).square().sum() for m, f in merged.factors.items())
        size = sum(f.update.square().sum() for f in whole.factors.values())
        assert merged.record["merge"]["error"] == pytest.approx(float(lost / size) ** 0.5)


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"knots_ties"}))  # which cuts input features out of rows
def test_one_a_for_all_tasks_leaves_a_frame_of_its_directions_alone(method):
    A = {module: factors.A for module, factors in rslora("nlu", 3, torch.float64).factors.items()}
    given = []
    for seed, name in enumerate(NAMES):
        generator = torch.Generator().manual_seed(seed)
        factors = {
            m: dense_factors(a, torch.randn(SHAPES[m][0], 3, generator=generator).double()) for m, a in A.items()
        }
        given.append(Adapter(name, AdapterConfig(rank=3), factors))
    merged = merge(given, method, WEIGHTS, "merged", None, **METHODS[method])
    for module, a in A.items():
        V = core_space([Part(each.name, each.factors[module], 1.0) for each in given]).V
        update = merged.factors[module].update
        assert V.shape[1] == merged.factors[module].rank == 3
        torch.testing.assert_close(update @ torch.linalg.pinv(a) @ a, update)


@pytest.mark.parametrize("tasks", [2, 3, 4])
def test_wudi_of_updates_with_orthogonal_rows_is_the_plain_sum(tasks):
    """So where independent random As keep tasks apart it adds nothing to concat."""
    rows = torch.linalg.qr(torch.randn(40, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    given = []
    for each, A in zip(adapters(tasks), rows.split((*RANKS[:tasks], 40 - sum(RANKS[:tasks]))), strict=False):
        f = each.factors["layers.1.down"]
        given.append(Adapter(each.name, each.config, {"m": Factors(A, f.values, f.mask, f.scaling)}))
    wudi, total = (merge(given, method, WEIGHTS[:tasks], "merged") for method in ("wudi", "concat"))
    torch.testing.assert_close(wudi.factors["m"].update, total.factors["m"].update, rtol=1e-10, atol=1e-10)


def test_pico_has_the_mean_norm_of_the_updates():
    given = adapters(3)
    merged = merge(given, "pico", WEIGHTS[:3], "merged")
    for module, factors in merged.factors.items():
        norms = [update.norm() for update in Dense(given, module).updates]
        assert factors.update.norm() == pytest.approx(float(sum(norms)) / 3)


def test_compress_then_merge_keeps_everything_at_a_rank_that_has_room_for_everything():
    whole, kept = (
        merge(adapters(3), method, WEIGHTS[:3], "merged", None, **options)
        for method, options in (("concat", {}), ("compress_then_merge", {"rank": 10}))
    )
    for module, factors in kept.factors.items():
        torch.testing.assert_close(factors.update, whole.factors[module].update, rtol=1e-10, atol=1e-10)
    assert kept.record["merge"]["error"] < 1e-10


def test_compress_then_merge_fits_where_the_largest_of_the_adapters_does_unless_told_otherwise():
    merged = merge(adapters(4), "compress_then_merge", WEIGHTS, "merged")
    assert merged.config.rank == max(RANKS)
