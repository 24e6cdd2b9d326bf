"""Weights of a merge searched one by one: of each adapter, in each group of modules, on validation alone.

Hill climbing on a grid, from the best weight for all: a step moves one of them to its neighbour in the grid and stays
where the mean score rises. 0 in the grid leaves an adapter out of a group. No merge is scored twice; each one that is
counts against the budget.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

GroupWeights = Mapping[str, tuple[float, ...]]  # group of modules (method.masks.GROUP_KEY) -> one for each adapter
Places = tuple[int, ...]  # in the grid, group by group


@dataclass(frozen=True)
class Climbed:
    """The best weights, their mean score, and how many merges were scored on the way."""

    weights: dict[str, tuple[float, ...]]
    mean: float
    tried: int


def climb(
    mean_score: Callable[[GroupWeights], float],
    groups: Sequence[str],
    adapters: int,
    grid: Sequence[float],
    start: float,
    start_mean: float,
    budget: int,
) -> Climbed:
    """Better weights than one for all, or just that one.

    Args:
        grid: ascending, start among them. start_mean: the score of that one weight for all.
        budget: merges that may be scored.
    """

    def weights(places: Places) -> dict[str, tuple[float, ...]]:
        values = [grid[place] for place in places]
        return {group: tuple(values[i * adapters : (i + 1) * adapters]) for i, group in enumerate(groups)}

    best: Places = (list(grid).index(start),) * (len(groups) * adapters)
    means = {best: start_mean}
    while len(means) <= budget:
        untried = next((places for places in _neighbours(best, len(grid)) if places not in means), None)
        if untried is None:
            break
        means[untried] = mean_score(weights(untried))
        if means[untried] > means[best]:
            best = untried
    return Climbed(weights(best), means[best], len(means) - 1)


def _neighbours(places: Places, size: int) -> Iterator[Places]:
    """Each weight one step down and one step up."""
    for moved, step in product(range(len(places)), (-1, 1)):
        if 0 <= places[moved] + step < size:
            yield (*places[:moved], places[moved] + step, *places[moved + 1 :])
