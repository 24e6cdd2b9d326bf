"""The search of single weights on made-up scores: what it finds, what it costs, and that it starts from one for all."""

from lori_core.evaluation.weight_search import Climbed, GroupWeights, climb

GRID = (0.0, 0.3, 0.5, 0.8, 1.0)
WANTED = {"attention": (0.0, 0.8), "mlp": (1.0, 0.3)}  # the first adapter is best left out of attention


def score(weights: GroupWeights) -> float:
    """1 at WANTED, less with every step away from it."""
    pairs = [pair for group, best in WANTED.items() for pair in zip(weights[group], best, strict=True)]
    return 1 - sum((got - best) ** 2 for got, best in pairs)


def searched(budget: int, asked: list[GroupWeights]) -> Climbed:
    def counted(weights: GroupWeights) -> float:
        asked.append(weights)
        return score(weights)

    alike = dict.fromkeys(WANTED, (0.5, 0.5))
    return climb(counted, list(WANTED), 2, GRID, 0.5, score(alike), budget)


def test_each_weight_in_each_group_is_found_and_one_is_left_out():
    asked: list[GroupWeights] = []
    assert searched(100, asked) == Climbed(WANTED, 1.0, len(asked))


def test_no_merge_is_scored_twice_and_none_beyond_the_budget():
    for budget in (1, 7, 100):
        asked: list[GroupWeights] = []
        found = searched(budget, asked)
        assert found.tried == len(asked) <= budget
        assert len({str(weights) for weights in asked}) == len(asked)
        assert found.mean == max([score(dict.fromkeys(WANTED, (0.5, 0.5))), *map(score, asked)])


def test_where_no_step_gains_the_one_weight_for_all_stays():
    found = climb(lambda weights: 0.4, ["model"], 3, GRID, 0.8, 0.4, 50)
    assert found == Climbed({"model": (0.8, 0.8, 0.8)}, 0.4, 6)
