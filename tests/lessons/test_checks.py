"""Each exercise's check takes the right answer, and names three typical mistakes."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lori_core.lessons import checks
from lori_core.lessons.answers import WrongAnswer
from lori_core.translate import LANGUAGES
from notebooks.build import sources


def layer(forward: Callable[[Any, Any], Any]) -> type[nn.Module]:
    class Layer(nn.Module):
        def __init__(self, W, A, B, mask, scaling):
            super().__init__()
            self.W, self.A, self.B, self.mask, self.scaling = W, A, B, mask, scaling

        def forward(self, x):
            return forward(self, x)

    return Layer


def top(values, k):
    flat = torch.zeros(values.numel(), dtype=torch.bool)
    flat[values.flatten().topk(k).indices] = True
    return flat.view(values.shape)


def kept(B, sparsity):
    return round((1 - sparsity) * B.numel())


def agreeing(updates, sign):
    agrees = updates.sign() == sign
    return (updates * agrees).sum(0) / agrees.sum(0).clamp(min=1)


def best_before(matrix, j, start):
    return max([row[j] for row in matrix[start:-1]], default=matrix[-1][j])


def lost(matrix):
    return [best_before(matrix, j, j) - matrix[-1][j] for j in range(len(matrix))]


# exercise -> (a right answer, {mistake: an answer that makes it})
ANSWERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "counts": (
        lambda o, i, r, s: (r * i + r * o, r * o, round((1 - s) * o * r)),
        {
            "whole_matrix": lambda o, i, r, s: (o * i, r * o, round((1 - s) * o * r)),
            "projection_counted": lambda o, i, r, s: (r * (i + o), r * (i + o), round((1 - s) * o * r)),
            "sparsity_kept": lambda o, i, r, s: (r * (i + o), r * o, round(s * o * r)),
        },
    ),
    "layer": (
        layer(lambda m, x: x @ (m.W + m.scaling * (m.B * m.mask) @ m.A).T),
        {
            "no_scaling": layer(lambda m, x: x @ (m.W + (m.B * m.mask) @ m.A).T),
            "no_mask": layer(lambda m, x: x @ (m.W + m.scaling * m.B @ m.A).T),
            "no_base": layer(lambda m, x: x @ (m.scaling * (m.B * m.mask) @ m.A).T),
        },
    ),
    "cosine": (
        lambda s, t: torch.nn.functional.cosine_similarity(s.flatten(), t.flatten(), dim=0),
        {
            "not_normalised": lambda s, t: torch.sum(s * t),
            "squared_norms": lambda s, t: torch.sum(s * t) / (s.square().sum() * t.square().sum()),
            "matrix_product": lambda s, t: torch.trace(s @ t.T @ s @ t.T) / (s.norm() * t.norm()),
        },
    ),
    "inner_product": (
        lambda A_s, B_s, A_t, B_t: torch.sum((B_s @ A_s) * (B_t @ A_t)),
        {
            "only_B": lambda A_s, B_s, A_t, B_t: torch.sum(B_s.T @ B_t),
            "matrix_product": lambda A_s, B_s, A_t, B_t: torch.sum((B_s.T @ B_t) @ (A_s @ A_t.T)),
            "transposed": lambda A_s, B_s, A_t, B_t: torch.sum((B_s.T @ B_t) * (A_t @ A_s.T)),
        },
    ),
    "keep_largest": (
        lambda B, s: top(B.abs(), kept(B, s)),
        {
            "smallest": lambda B, s: top(-B.abs(), kept(B, s)),
            "sparsity_kept": lambda B, s: top(B.abs(), round(s * B.numel())),
            "signed": lambda B, s: top(B, kept(B, s)),
        },
    ),
    "jaccard": (
        lambda s, t: (s & t).sum() / (s | t).sum(),
        {
            "share_of_one": lambda s, t: (s & t).sum() / s.sum(),
            "dice": lambda s, t: 2 * (s & t).sum() / (s.sum() + t.sum()),
            "agreement": lambda s, t: (s == t).float().mean(),
        },
    ),
    "masked_step": (
        lambda B, g, m, rate: torch.where(m, B - rate * g, B),
        {
            "no_mask": lambda B, g, m, rate: B - rate * g,
            "uphill": lambda B, g, m, rate: torch.where(m, B + rate * g, B),
            "erased": lambda B, g, m, rate: m * (B - rate * g),
        },
    ),
    "adam_bytes": (
        lambda n: n * 2 * 4,
        {"one_moment": lambda n: n * 4, "in_bits": lambda n: n * 2 * 32, "with_values": lambda n: n * 3 * 4},
    ),
    "chance_overlap": (
        lambda s: (1 - s) / (1 + s),
        {
            "kept_share": lambda s: 1 - s,
            "both": lambda s: (1 - s) ** 2,
            "sparsity_used": lambda s: s / (2 - s),
        },
    ),
    "z_score": (
        lambda value, mean, sd: (value - mean) / sd,
        {
            "not_centred": lambda value, mean, sd: value / sd,
            "variance": lambda value, mean, sd: (value - mean) / sd**2,
            "not_scaled": lambda value, mean, sd: value - mean,
        },
    ),
    "concat": (
        lambda A_s, B_s, A_t, B_t, w: (torch.cat([w * A_s, w * A_t]), torch.cat([B_s, B_t], dim=1)),
        {
            "no_weight": lambda A_s, B_s, A_t, B_t, w: (torch.cat([A_s, A_t]), torch.cat([B_s, B_t], dim=1)),
            "weight_squared": lambda A_s, B_s, A_t, B_t, w: (
                w * torch.cat([A_s, A_t]),
                w * torch.cat([B_s, B_t], dim=1),
            ),
            "factors_added": lambda A_s, B_s, A_t, B_t, w: (w * (A_s + A_t), B_s + B_t),
        },
    ),
    "ties": (
        lambda updates: agreeing(updates, updates.sum(0).sign()),
        {
            "plain_mean": lambda updates: updates.mean(0),
            "counted_votes": lambda updates: agreeing(updates, updates.sign().sum(0).sign()),
            "all_tasks": lambda updates: (updates * (updates.sign() == updates.sum(0).sign())).mean(0),
        },
    ),
    "forgetting": (
        lost,
        {
            "sign": lambda matrix: [-each for each in lost(matrix)],
            "first_score": lambda matrix: [matrix[j][j] - matrix[-1][j] for j in range(len(matrix))],
            "before_learned": lambda matrix: [best_before(matrix, j, 0) - matrix[-1][j] for j in range(len(matrix))],
        },
    ),
    "free_entries": (
        lambda movement, held, k: top(movement.abs() * ~held, k),
        {
            "held_ignored": lambda movement, held, k: top(movement.abs(), k),
            "taken_away_after": lambda movement, held, k: top(movement.abs(), k) & ~held,
            "only_held": lambda movement, held, k: top(movement.abs() * held, k),
        },
    ),
    "retention": (
        lambda base, single, merged: (merged - base) / (single - base),
        {
            "base_ignored": lambda base, single, merged: merged / single,
            "lost": lambda base, single, merged: (single - merged) / (single - base),
            "upside_down": lambda base, single, merged: (single - base) / (merged - base),
        },
    ),
    "decide": (
        lambda scores, tolerance: max(s for s, value in scores.items() if value >= max(scores.values()) - tolerance),
        {
            "best_score": lambda scores, tolerance: max(scores, key=scores.get),
            "highest": lambda scores, tolerance: max(scores),
            "against_dense": lambda scores, tolerance: max(
                s for s, v in scores.items() if v >= scores[0.0] - tolerance
            ),
        },
    ),
}
MISTAKES = [(exercise, mistake) for exercise, (_, wrong) in ANSWERS.items() for mistake in wrong]


def message(exercise: str, answer: Any, language: str = "en") -> WrongAnswer:
    with pytest.raises(WrongAnswer) as caught:
        getattr(checks, exercise)(answer, language)
    return caught.value


@pytest.mark.parametrize("exercise", ANSWERS)
def test_the_right_answer_passes(exercise: str):
    assert getattr(checks, exercise)(ANSWERS[exercise][0], "en") == "Right."


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES)
def test_a_typical_mistake_is_named_in_both_languages(exercise: str, mistake: str):
    found = [message(exercise, ANSWERS[exercise][1][mistake], language) for language in LANGUAGES]
    assert [each.key for each in found] == [f"{exercise}.{mistake}"] * 2
    assert str(found[0]) != str(found[1])


def test_the_exercises_of_the_notebooks_are_these():
    asked = [re.findall(r"^checks\.(\w+)\(", source.read_text(encoding="utf-8"), re.MULTILINE) for source in sources()]
    assert sorted(exercise for found in asked for exercise in found) == sorted(ANSWERS)


def test_each_exercise_names_three_mistakes():
    assert {len(wrong) for _, wrong in ANSWERS.values()} == {3}


@pytest.mark.parametrize("exercise", [each for each in ANSWERS if each != "layer"])
@pytest.mark.parametrize("answer", [None, ...])
def test_an_exercise_that_is_left_open_is_not_called_wrong(exercise: str, answer: object):
    assert message(exercise, lambda *arguments: answer).key == "unanswered"


@pytest.mark.parametrize("answer", ["text", torch.zeros(2, 2), (1, 2)])
def test_an_answer_of_another_kind_is_refused_with_its_value(answer: object):
    found = message("z_score", lambda *arguments: answer)
    assert found.key == "other"
    assert repr(answer)[:5] in str(found) or "[[0.0" in str(found)


def test_a_wrong_shape_is_told_with_both_shapes():
    found = message("keep_largest", lambda B, sparsity: B.flatten() > 0)
    assert found.key == "shape"
    assert "(60,)" in str(found) and "(12, 5)" in str(found)


def test_an_answer_that_changes_its_arguments_does_not_change_the_check():
    def vandal(B, gradient, mask, rate):
        right = torch.where(mask, B - rate * gradient, B)
        B.zero_()
        mask.zero_()
        return right

    assert checks.masked_step(vandal, "en") == "Right."


def test_jupyter_shows_the_sentence_and_no_traceback():
    found = message("z_score", lambda *arguments: None)
    assert found._render_traceback_() == [f"✗ {found}"]
