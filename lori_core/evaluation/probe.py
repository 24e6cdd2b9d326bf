"""Interference in function: what an adapter does to the activations of another task, measured on the base.

    value[s][t] = √( E‖dW_s x_t‖² / E‖dW_t x_t‖² ),   x_t: what the adapted modules see while the base reads task t

The first token of each example is left out, as of footprints: others attend to it whatever it is (an attention sink).
On a pretrained model its activations are so large that, counted, they decide every value, and all values are near 1.

With B scaled = Q R (QR decomposition) and P = R A, ‖dW x‖ = ‖P x‖: only rank-sized products are formed and stored, in
one forward pass of each example. Energies are summed over the modules before the ratio is taken.

Why beside metrics.py: orthogonal updates do not make dW_s x_t small. Independent A make the two tasks' changes
uncorrelated, and leave the other task's change about as large as its own: interference in function is decorrelated, not
removed. A value near 1 is therefore what to expect, also where the cosine of the updates is 0.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from lori_core.bases.inputs import in_batches, listening
from lori_core.bases.layer import LoRILinear
from lori_core.errors import IncompatibleAdapters
from lori_core.method.adapter import Adapter, check_comparable
from lori_core.method.forecast import input_map
from lori_core.method.pair_matrix import Reading, pair_matrix
from lori_core.results import PairMatrix
from lori_core.tasks.encode import sampled
from lori_core.tasks.task import Task

DRAWS = 32  # of the null; they give its spread to about 13 %

Cell = tuple[float, float, float]  # energy, and its mean and variance by chance; they add up over modules


def cross_talk(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    adapters: Sequence[Adapter],
    tasks: Sequence[Task],
    examples: int = 64,
    seed: int = 0,
    max_length: int = 512,
) -> PairMatrix:
    """How large the change of adapter s (row) is on the inputs of task t (column), as a multiple of t's own.

    The null turns dW_s at random in its input space, in each module apart: the mean energy is exactly
    ‖dW_s‖² E‖x_t‖² / in_features (for an independent A of entries of variance v that is scaling² v ‖B_s‖² E‖x_t‖²), its
    spread comes from DRAWS turns and reaches the root to first order. Where a few directions carry most of the
    activations the null is skewed: read a z of 3 as a hint, not as one in a thousand.

    Args:
        model: the base, nothing attached; it is left as it was.
        adapters: one for each of the tasks, in their order.
        examples: of each validation split, prompt and response; those longer than max_length tokens are left out.
        seed: draws the examples and the null.
    Raises:
        IncompatibleAdapters: not one adapter a task, or the adapters fit neither each other nor the model.
        DataError: a task has no example within max_length.
    """
    _check(model, adapters, tasks)
    device = next(model.parameters()).device
    maps = {m: [input_map(adapter.factors[m]).to(device) for adapter in adapters] for m in adapters[0].factors}
    # A turned update is so many times orthonormal rows.
    sizes = {m: [torch.linalg.svdvals(P.double()).cpu() for P in each] for m, each in maps.items()}
    turns = _random_frames(maps, seed)
    found: dict[str, list[list[Cell]]] = {module: [] for module in maps}  # module -> column by column
    for task in tasks:
        batches = in_batches(sampled(tokenizer, task, "validation", examples, seed, max_length))
        for module, sums in _sums(model, batches, maps, turns).items():
            found[module].append(_cells(maps[module], sizes[module], *sums))
    total = [[_sum_cells([found[m][t][s] for m in found]) for s in range(len(adapters))] for t in range(len(tasks))]
    names = [adapter.name for adapter in adapters]
    return pair_matrix("function", names, _readings(total), {m: _readings(each) for m, each in found.items()})


def _check(model: nn.Module, adapters: Sequence[Adapter], tasks: Sequence[Task]) -> None:
    check_comparable(adapters)
    if len(adapters) != len(tasks):
        raise IncompatibleAdapters("tasks_count", adapters=len(adapters), tasks=len(tasks))
    modules = dict(model.named_modules())
    for module in adapters[0].factors:
        if module not in modules:
            raise IncompatibleAdapters("no_such_module", name=adapters[0].name, module=module)
        if isinstance(modules[module], LoRILinear):
            raise IncompatibleAdapters("probe_needs_base", module=module)


def _random_frames(maps: Mapping[str, Sequence[Tensor]], seed: int) -> dict[int, Tensor]:
    """in_features -> (DRAWS · rank, in_features), of each draw orthonormal rows in uniformly random directions."""
    generator = torch.Generator().manual_seed(seed)
    first = next(iter(maps.values()))[0]
    ranks: dict[int, int] = {}
    for each in maps.values():
        width = each[0].shape[1]
        ranks[width] = max(ranks.get(width, 0), *(min(P.shape) for P in each))
    return {
        width: torch.linalg.qr(torch.randn(DRAWS, width, rank, generator=generator)).Q.mT.reshape(-1, width).to(first)
        for width, rank in ranks.items()
    }


def _sums(
    model: nn.Module,
    batches: Iterable[Tensor],
    maps: Mapping[str, Sequence[Tensor]],
    turns: Mapping[int, Tensor],
) -> dict[str, list[Tensor]]:
    """module -> Σ (P x)² by row, Σ (turn x)² by draw and row, Σ ‖x‖², over the tokens."""
    stacked = {module: torch.cat(list(each)) for module, each in maps.items()}  # one product for all adapters
    seen: dict[str, list[Tensor]] = {}
    last: tuple[Tensor, list[Tensor]] | None = None  # an input, and the two sums that do not depend on the module

    def listen(module: str, given: Tensor) -> None:
        nonlocal last
        x = given.detach()[:, 1:].reshape(-1, given.shape[-1]).to(stacked[module].dtype)
        if last is None or last[0] is not given:  # q, k and v see one input, gate and up another
            turned = (x @ turns[x.shape[1]].T).square().sum(dim=0).view(DRAWS, -1)
            last = given, [turned, x.square().sum()]
        sums = [(x @ stacked[module].T).square().sum(dim=0), *last[1]]
        before = seen.get(module)
        seen[module] = sums if before is None else [a + b for a, b in zip(before, sums, strict=True)]

    with listening(model, maps, listen):
        for batch in batches:
            model(input_ids=batch.to(next(model.parameters()).device))
    return {module: [each.double().cpu() for each in sums] for module, sums in seen.items()}


def _cells(
    maps: Sequence[Tensor], sizes: Sequence[Tensor], energy: Tensor, turned: Tensor, inputs: Tensor
) -> list[Cell]:
    """For each adapter the energy Σ ‖dW x‖² of one module, and its mean and variance by chance.

    Args:
        sizes: singular values of the maps. energy: (Σ ranks,), turned: (DRAWS, rank), inputs: (): see _sums().
    """
    cells = []
    for P, S, rows in zip(maps, sizes, energy.split([len(P) for P in maps]), strict=True):
        mean = S.square().sum() * inputs / P.shape[1]
        variance = (turned[:, : len(S)] @ S.square() - mean).square().mean()
        cells.append((rows.sum().item(), mean.item(), variance.item()))
    return cells


def _sum_cells(cells: Sequence[Cell]) -> Cell:
    energies, means, variances = zip(*cells, strict=True)
    return sum(energies), sum(means), sum(variances)


def _readings(cells: Sequence[Sequence[Cell]]) -> list[list[Reading | None]]:
    """cells: [t][s]. Readings: [s][t], None where task t's adapter or adapter s changes nothing."""
    tasks = range(len(cells))
    return [[_read(cells[t][s], own=cells[t][t][0]) for t in tasks] for s in tasks]


def _read(cell: Cell, own: float) -> Reading | None:
    energy, mean, variance = cell
    if not own or not mean:
        return None
    return Reading((energy / own) ** 0.5, (mean / own) ** 0.5, variance**0.5 / (2 * (mean * own) ** 0.5))
