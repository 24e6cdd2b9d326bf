"""Each exercise's check takes the right answer in any wrapping, passes no wrong one, and says what is wrong with it."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lori_core.lessons import checks
from lori_core.lessons.wrong_answer import WrongAnswer
from lori_core.translate import LANGUAGES, messages
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


def agree(updates):
    return updates.sign() == updates.sum(0).sign()


def agreeing(updates, sign):
    agrees = updates.sign() == sign
    return (updates * agrees).sum(0) / agrees.sum(0).clamp(min=1)


def best_before(matrix, j, start):
    return max([row[j] for row in matrix[start:-1]], default=matrix[-1][j])


def lost(matrix):
    return [best_before(matrix, j, j) - matrix[-1][j] for j in range(len(matrix))]


def at(places, like):
    """A mask that is True at these places of the flat mask."""
    flat = torch.zeros(like.numel(), dtype=torch.bool)
    flat[places] = True
    return flat.view(like.shape)


def stretched(tensor, like):
    return tensor / tensor.norm() * like.norm()


def strictly(values, k):
    """What `>` gives where the threshold is the k-th largest."""
    return values > values.flatten().topk(k).values[-1]


def chosen(scores, tolerance, better=max):
    return better(s for s, value in scores.items() if value >= max(scores.values()) - tolerance)


def by_chance(s, t, n):
    """Entries that two masks share if both lie anywhere among n."""
    return s / n * t


def jaccard_by_chance(s, t, n):
    return by_chance(s, t, n) / (s + t - by_chance(s, t, n))


# exercise -> (a right answer, {mistake: an answer that makes it}); other wrong answers are below
ANSWERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "counts": (
        lambda o, i, r, s: (r * i + r * o, r * o, round((1 - s) * o * r)),
        {
            "whole_matrix": lambda o, i, r, s: (o * i, r * o, round((1 - s) * o * r)),
            "projection_counted": lambda o, i, r, s: (r * (i + o), r * (i + o), round((1 - s) * o * r)),
            "sparsity_kept": lambda o, i, r, s: (r * (i + o), r * o, round(s * o * r)),
            "unrounded": lambda o, i, r, s: (r * (i + o), r * o, (1 - s) * o * r),
            "cut_off": lambda o, i, r, s: (r * (i + o), r * o, math.floor((1 - s) * o * r)),
        },
    ),
    "layer": (
        layer(lambda m, x: x @ (m.W + m.scaling * (m.B * m.mask) @ m.A).T),
        {
            "no_scaling": layer(lambda m, x: x @ (m.W + (m.B * m.mask) @ m.A).T),
            "no_mask": layer(lambda m, x: x @ (m.W + m.scaling * m.B @ m.A).T),
            "no_base": layer(lambda m, x: x @ (m.scaling * (m.B * m.mask) @ m.A).T),
            "base_scaled": layer(lambda m, x: m.scaling * (x @ (m.W + (m.B * m.mask) @ m.A).T)),
            "outside": layer(lambda m, x: x @ (m.W + m.scaling * (m.B * ~m.mask) @ m.A).T),
        },
    ),
    "merged_weight": (
        lambda W, A, B, m, scaling: torch.where(m, B, 0) @ (scaling * A) + W,
        {
            "no_scaling": lambda W, A, B, m, scaling: W + (m * B) @ A,
            "no_mask": lambda W, A, B, m, scaling: W + scaling * B @ A,
            "update_alone": lambda W, A, B, m, scaling: scaling * (m * B) @ A,
            "base_scaled": lambda W, A, B, m, scaling: scaling * (W + (m * B) @ A),
            "outside": lambda W, A, B, m, scaling: W + scaling * (~m * B) @ A,
            "taken_away": lambda W, A, B, m, scaling: W - scaling * (m * B) @ A,
        },
    ),
    "cosine": (
        lambda s, t: torch.nn.functional.cosine_similarity(s.flatten(), t.flatten(), dim=0),
        {
            "not_normalised": lambda s, t: torch.sum(s * t),
            "squared_norms": lambda s, t: torch.sum(s * t) / (s.square().sum() * t.square().sum()),
            "matrix_product": lambda s, t: torch.trace(s @ t.T @ s @ t.T) / (s.norm() * t.norm()),
            "absolute": lambda s, t: torch.sum(s * t).abs() / (s.norm() * t.norm()),
            "mean": lambda s, t: torch.mean(s * t) / (s.norm() * t.norm()),
        },
    ),
    "spread": (
        lambda cosines: torch.tensor(cosines).square().mean().sqrt(),
        {
            "mean": lambda cosines: sum(cosines) / len(cosines),
            "absolute": lambda cosines: sum(abs(each) for each in cosines) / len(cosines),
            "no_root": lambda cosines: sum(each**2 for each in cosines) / len(cosines),
            "around_mean": lambda cosines: np.std(cosines),
            "sample": lambda cosines: torch.tensor(cosines).std(),
            "summed": lambda cosines: math.hypot(*cosines),
            "largest": lambda cosines: max(max(cosines), -min(cosines)),
        },
    ),
    "inner_product": (
        lambda A_s, B_s, A_t, B_t: torch.sum((B_s @ A_s) * (B_t @ A_t)),
        {
            "only_B": lambda A_s, B_s, A_t, B_t: torch.sum(B_s.T @ B_t),
            "matrix_product": lambda A_s, B_s, A_t, B_t: torch.sum((B_s.T @ B_t) @ (A_s @ A_t.T)),
            "transposed": lambda A_s, B_s, A_t, B_t: torch.sum((B_s.T @ B_t) * (A_t @ A_s.T)),
            "not_summed": lambda A_s, B_s, A_t, B_t: (B_s.T @ B_t) * (A_s @ A_t.T),
        },
    ),
    "keep_largest": (
        lambda B, s: top(B.abs(), kept(B, s)),
        {
            "smallest": lambda B, s: top(-B.abs(), kept(B, s)),
            "sparsity_kept": lambda B, s: top(B.abs(), round(s * B.numel())),
            "signed": lambda B, s: top(B, kept(B, s)),
            "one_short": lambda B, s: strictly(B.abs(), kept(B, s)),
            "cut_off": lambda B, s: top(B.abs(), int((1 - s) * B.numel())),
            "values": lambda B, s: B * top(B.abs(), kept(B, s)),
        },
    ),
    "jaccard": (
        lambda s, t: (s & t).sum() / (s | t).sum(),
        {
            "share_of_one": lambda s, t: (s & t).sum() / s.sum(),
            "dice": lambda s, t: 2 * (s & t).sum() / (s.sum() + t.sum()),
            "agreement": lambda s, t: (s == t).float().mean(),
            "of_all": lambda s, t: (s & t).float().mean(),
            "distance": lambda s, t: (s ^ t).sum() / (s | t).sum(),
        },
    ),
    "scattered": (
        lambda m, order: at(order[: m.sum()], m),
        {
            "last": lambda m, order: at(order[-m.sum() :], m),
            "not_kept": lambda m, order: at(order[: m.numel() - m.sum()], m),
            "outside": lambda m, order: ~at(order[: m.sum()], m),
            "shuffled": lambda m, order: m.flatten()[order].view(m.shape),
            "same_places": lambda m, order: m,
            "one_short": lambda m, order: at(order[: m.sum() - 1], m),
            "in_order": lambda m, order: at(torch.arange(int(m.sum())), m),
        },
    ),
    "masked_step": (
        lambda B, g, m, rate: torch.where(m, B - rate * g, B),
        {
            "no_mask": lambda B, g, m, rate: B - rate * g,
            "uphill": lambda B, g, m, rate: torch.where(m, B + rate * g, B),
            "erased": lambda B, g, m, rate: m * (B - rate * g),
            "outside": lambda B, g, m, rate: torch.where(m, B, B - rate * g),
            "no_rate": lambda B, g, m, rate: torch.where(m, B - g, B),
            "step_alone": lambda B, g, m, rate: -rate * g * m,
        },
    ),
    "adam_bytes": (
        lambda n: n * 2 * 4,
        {
            "one_moment": lambda n: n * 4,
            "in_bits": lambda n: n * 2 * 32,
            "with_values": lambda n: n * 3 * 4,
            "in_numbers": lambda n: 2 * n,
        },
    ),
    "mask_bytes": (
        lambda n, s: -n / 8 * (s * math.log2(s) + (1 - s) * math.log2(1 - s)),
        {
            "in_bits": lambda n, s: -n * (s * math.log2(s) + (1 - s) * math.log2(1 - s)),
            "one_bit": lambda n, s: n / 8,
            "kept_side": lambda n, s: -n / 8 * (1 - s) * math.log2(1 - s),
            "other_side": lambda n, s: -n / 8 * s * math.log2(s),
            "nats": lambda n, s: -n / 8 * (s * math.log(s) + (1 - s) * math.log(1 - s)),
            "negative": lambda n, s: n / 8 * (s * math.log2(s) + (1 - s) * math.log2(1 - s)),
            "places": lambda n, s: (1 - s) * n * math.log2(n) / 8,
        },
    ),
    "chance_overlap": (
        lambda s: (1 - s) / (1 + s),
        {
            "kept_share": lambda s: 1 - s,
            "both": lambda s: (1 - s) ** 2,
            "sparsity_used": lambda s: s / (2 - s),
            "either": lambda s: 2 * (1 - s) - (1 - s) ** 2,
            "counted_twice": lambda s: (1 - s) ** 2 / (2 * (1 - s)),
        },
    ),
    "z_score": (
        lambda value, mean, sd: (value - mean) / sd,
        {
            "not_centred": lambda value, mean, sd: value / sd,
            "variance": lambda value, mean, sd: (value - mean) / sd**2,
            "not_scaled": lambda value, mean, sd: value - mean,
            "absolute": lambda value, mean, sd: abs((value - mean) / sd),
            "turned": lambda value, mean, sd: (mean - value) / sd,
        },
    ),
    "energy": (
        lambda dW, C: torch.trace(dW @ C @ dW.T),
        {
            "any_input": lambda dW, C: dW.norm() ** 2,
            "root": lambda dW, C: torch.trace(dW @ C @ dW.T).sqrt(),
            "moments_squared": lambda dW, C: (dW @ C).norm() ** 2,
            "not_squared": lambda dW, C: torch.sum(dW @ C),
            "by_output": lambda dW, C: torch.diag(dW @ C @ dW.T),
            "not_summed": lambda dW, C: dW @ C * dW,
            "matrix": lambda dW, C: dW @ C @ dW.T,
            "mean": lambda dW, C: torch.diag(dW @ C @ dW.T).mean(),
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
            "dense": lambda A_s, B_s, A_t, B_t, w: w * (B_s @ A_s + B_t @ A_t),
            "swapped": lambda A_s, B_s, A_t, B_t, w: (torch.cat([B_s, B_t], dim=1), w * torch.cat([A_s, A_t])),
            "shapes": lambda A_s, B_s, A_t, B_t, w: (torch.cat([A_s, A_t]), w * torch.cat([B_s, B_t])),
            "one_weighted": lambda A_s, B_s, A_t, B_t, w: (torch.cat([A_s, A_t]), torch.cat([w * B_s, B_t], dim=1)),
            "other_weighted": lambda A_s, B_s, A_t, B_t, w: (torch.cat([A_s, w * A_t]), torch.cat([B_s, B_t], dim=1)),
            "mean": lambda A_s, B_s, A_t, B_t, w: (torch.cat([A_s, A_t]), w / 2 * torch.cat([B_s, B_t], dim=1)),
        },
    ),
    "ties": (
        lambda updates: agreeing(updates, updates.sum(0).sign()),
        {
            "plain_mean": lambda updates: updates.mean(0),
            "counted_votes": lambda updates: agreeing(updates, updates.sign().sum(0).sign()),
            "all_tasks": lambda updates: (updates * (updates.sign() == updates.sum(0).sign())).mean(0),
            "not_divided": lambda updates: (updates * (updates.sign() == updates.sum(0).sign())).sum(0),
            "no_clamp": lambda updates: torch.where(agree(updates), updates, torch.nan).nanmean(0),
        },
    ),
    "dare": (
        lambda update, gone, drop: update.masked_fill(gone, 0) / (1 - drop),
        {
            "not_rescaled": lambda update, gone, drop: update.masked_fill(gone, 0),
            "only_dropped": lambda update, gone, drop: update.masked_fill(~gone, 0) / (1 - drop),
            "by_dropped_share": lambda update, gone, drop: update.masked_fill(gone, 0) / drop,
            "made_smaller": lambda update, gone, drop: update.masked_fill(gone, 0) * (1 - drop),
            "nothing_dropped": lambda update, gone, drop: update / (1 - drop),
            "dropped_kept": lambda update, gone, drop: torch.where(gone, update, update / (1 - drop)),
        },
    ),
    "forgetting": (
        lost,
        {
            "sign": lambda matrix: [-each for each in lost(matrix)],
            "first_score": lambda matrix: [matrix[j][j] - matrix[-1][j] for j in range(len(matrix))],
            "before_learned": lambda matrix: [best_before(matrix, j, 0) - matrix[-1][j] for j in range(len(matrix))],
            "with_final": lambda matrix: [max(row[j] for row in matrix[j:]) - matrix[-1][j] for j in range(3)],
            "last_left_out": lambda matrix: lost(matrix)[:2],
            "mean": lambda matrix: sum(lost(matrix)) / len(matrix),
        },
    ),
    "free_entries": (
        lambda movement, held, k: top(movement.abs() * ~held, k),
        {
            "held_ignored": lambda movement, held, k: top(movement.abs(), k),
            "taken_away_after": lambda movement, held, k: top(movement.abs(), k) & ~held,
            "only_held": lambda movement, held, k: top(movement.abs() * held, k),
            "all_free": lambda movement, held, k: ~held,
            "signed": lambda movement, held, k: top(movement.masked_fill(held, -torch.inf), k),
        },
    ),
    "blind": (
        lambda A, seen: A @ (torch.eye(A.shape[1]) - seen.T @ seen),
        {
            "only_seen": lambda A, seen: A @ seen.T @ seen,
            "added": lambda A, seen: A + A @ seen.T @ seen,
            "mirrored": lambda A, seen: A - 2 * A @ seen.T @ seen,
            "first_only": lambda A, seen: A - torch.outer(A @ seen[0], seen[0]),
            "one_by_one": lambda A, seen: A * (1 - seen.square().sum(0)),
            "rescaled": lambda A, seen: stretched(A - A @ seen.T @ seen, A),
            "unchanged": lambda A, seen: A,
        },
    ),
    "retention": (
        lambda base, single, merged: (merged - base) / (single - base),
        {
            "base_ignored": lambda base, single, merged: merged / single,
            "lost": lambda base, single, merged: (single - merged) / (single - base),
            "upside_down": lambda base, single, merged: (single - base) / (merged - base),
            "points": lambda base, single, merged: merged - base,
            "in_percent": lambda base, single, merged: 100 * (merged - base) / (single - base),
            "at_most_one": lambda base, single, merged: min((merged - base) / (single - base), 1),
        },
    ),
    "decide": (
        chosen,
        {
            "best_score": lambda scores, tolerance: max(scores, key=scores.get),
            "highest": lambda scores, tolerance: max(scores),
            "against_dense": lambda scores, tolerance: max(
                s for s, v in scores.items() if v >= scores[0.0] - tolerance
            ),
            "strict": lambda scores, tolerance: max(s for s in scores if max(scores.values()) - scores[s] < tolerance),
            "score": lambda scores, tolerance: scores[chosen(scores, tolerance)],
            "lowest": lambda scores, tolerance: chosen(scores, tolerance, min),
        },
    ),
    "examples_needed": (
        lambda p, half: math.ceil(p * (1 - p) / (half / 1.96) ** 2),
        {
            "unrounded": lambda p, half: p * (1 - p) / (half / 1.96) ** 2,
            "cut_off": lambda p, half: math.floor(p * (1 - p) / (half / 1.96) ** 2),
            "rounded": lambda p, half: round(p * (1 - p) / (half / 1.96) ** 2),
            "standard_error": lambda p, half: math.ceil(p * (1 - p) / half**2),
            "whole_width": lambda p, half: math.ceil(p * (1 - p) / (half / 2 / 1.96) ** 2),
            "share_alone": lambda p, half: math.ceil(p / (half / 1.96) ** 2),
            "not_squared": lambda p, half: math.ceil(p * (1 - p) / half * 1.96),
        },
    ),
    "overlap_by_counts": (
        lambda s, t, n: (both := sum(map(by_chance, s, t, n))) / (sum(s) + sum(t) - both),
        {
            "pooled": lambda s, t, n: (both := by_chance(sum(s), sum(t), sum(n))) / (sum(s) + sum(t) - both),
            "mean_of_modules": lambda s, t, n: sum(map(jaccard_by_chance, s, t, n)) / len(n),
            "by_module": lambda s, t, n: list(map(jaccard_by_chance, s, t, n)),
            "both": lambda s, t, n: sum(map(by_chance, s, t, n)) / sum(n),
            "counted_twice": lambda s, t, n: sum(map(by_chance, s, t, n)) / sum([*s, *t]),
            "most": lambda s, t, n: (both := sum(map(min, s, t))) / (sum([*s, *t]) - both),
            "not_divided": lambda s, t, n: sum(map(by_chance, s, t, n)),
        },
    ),
    "kept_gain": (
        lambda bare, alone, merged: 1 - (merged - alone) / (bare - alone),
        {
            "lost": lambda bare, alone, merged: (alone - merged) / (alone - bare),
            "turned": lambda bare, alone, merged: 1 / ((bare - merged) / (bare - alone)),
            "sign": lambda bare, alone, merged: (merged - bare) / (bare - alone),
            "of_bare": lambda bare, alone, merged: 1 - merged / bare,
            "ratio": lambda bare, alone, merged: alone / merged,
            "difference": lambda bare, alone, merged: bare - merged,
            "absolute": lambda bare, alone, merged: abs(bare - merged) / abs(bare - alone),
            "cut_at_zero": lambda bare, alone, merged: max(0, bare - merged) / (bare - alone),
        },
    ),
    "times_likelier": (
        lambda before, after, tokens: math.exp(-after * tokens) / math.exp(-before * tokens),
        {
            "a_token": lambda before, after, tokens: math.exp(-after) / math.exp(-before),
            "turned": lambda before, after, tokens: math.exp(after * tokens) / math.exp(before * tokens),
            "nats": lambda before, after, tokens: before * tokens - after * tokens,
            "bits": lambda before, after, tokens: 2 ** (before * tokens - after * tokens),
            "tokens_times": lambda before, after, tokens: tokens * math.exp(before - after),
            "ratio": lambda before, after, tokens: before / after,
            "before_alone": lambda before, after, tokens: math.exp(before * tokens),
        },
    ),
}
MISTAKES = [(exercise, mistake) for exercise, (_, wrong) in ANSWERS.items() for mistake in wrong]


def wrapped(wrong: Callable[[Any], Any]) -> Callable[[str], Any]:
    """An exercise -> its right answer, spoiled."""

    def spoiled(exercise: str) -> Any:
        right = ANSWERS[exercise][0]
        if exercise == "layer":
            return lambda *arguments: lambda x: wrong(right(*arguments)(x))
        return lambda *arguments: wrong(right(*arguments))

    return spoiled


def raising(answer: object) -> object:
    return {}["weight"]  # the line that a student has to see


def times(answer: Any, factor: float) -> Any:
    return tuple(factor * each for each in answer) if isinstance(answer, tuple | list) else factor * answer


class Odd:
    """What nobody expects, and cannot be turned into anything."""

    def __float__(self) -> float:
        raise RuntimeError("no number")


# what is wrong with any exercise's answer: a key, or those that it may be called -> how the right one is spoiled
ANY: dict[str, tuple[tuple[str, ...], Callable[[Any], Any]]] = {
    "no return": (("no_return",), lambda answer: None),
    "dots left": (("unanswered",), lambda answer: ...),
    "dots used": (("unanswered",), lambda answer: 1 - ...),  # pyright: ignore[reportOperatorIssue]
    "stops": (("raised",), raising),
    "text": (("kind",), str),
    "dictionary": (("kind",), lambda answer: {"answer": answer}),
    "set": (("kind",), lambda answer: {1}),
    "odd": (("kind",), lambda answer: Odd()),
    "printed": (("no_return",), lambda answer: repr(answer) and None),
    "complex": (("kind",), lambda answer: 1j * torch.ones(2)),
    "too many": (("kind",), lambda answer: (answer, answer, answer, answer)),
    "slightly more": (("other", "counts.unrounded"), lambda answer: times(answer, 1.01)),
}


def message(exercise: str, answer: Any, language: str = "en") -> WrongAnswer:
    with pytest.raises(WrongAnswer) as caught:
        getattr(checks, exercise)(answer, language)
    return caught.value


@pytest.mark.parametrize("exercise", ANSWERS)
def test_the_right_answer_passes(exercise: str):
    assert getattr(checks, exercise)(ANSWERS[exercise][0], "en") == "Right."


def as_array(answer: Any) -> Any:
    if isinstance(answer, tuple) and isinstance(answer[0], torch.Tensor):
        return list(answer)
    return answer.detach().numpy() if isinstance(answer, torch.Tensor) else np.array(answer)


@pytest.mark.parametrize("exercise", ANSWERS)
@pytest.mark.parametrize(
    "wrapping", [as_array, lambda answer: answer if type(answer) is tuple else torch.as_tensor(answer)]
)
def test_right_values_pass_as_tensor_array_or_list(exercise: str, wrapping: Callable[[Any], Any]):
    """Of numbers a tensor, of tensors an array: what is in them counts."""
    assert getattr(checks, exercise)(wrapped(wrapping)(exercise), "en") == "Right."


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES)
def test_a_typical_mistake_is_named_in_both_languages(exercise: str, mistake: str):
    found = [message(exercise, ANSWERS[exercise][1][mistake], language) for language in LANGUAGES]
    assert [each.key for each in found] == [f"{exercise}.{mistake}"] * 2
    assert str(found[0]) != str(found[1])


@pytest.mark.parametrize("exercise", ANSWERS)
@pytest.mark.parametrize("how", ANY)
def test_what_is_wrong_with_any_answer_is_not_taken_for_something_else(exercise: str, how: str):
    keys, wrong = ANY[how]
    assert message(exercise, wrapped(wrong)(exercise)).key in keys


def test_the_exercises_of_the_notebooks_are_these():
    asked = [re.findall(r"^checks\.(\w+)\(", source.read_text(encoding="utf-8"), re.MULTILINE) for source in sources()]
    assert sorted(exercise for found in asked for exercise in found) == sorted(ANSWERS)


def test_every_mistake_that_has_a_sentence_is_made_here():
    made = {f"lessons.{exercise}.{mistake}" for exercise, mistake in MISTAKES}
    assert made == {key for key in messages("en") if key.split(".")[:2] in [["lessons", each] for each in ANSWERS]}


def test_six_wrong_answers_at_least_are_tried_for_each_exercise():
    assert min(len(wrong) + len(ANY) for _, wrong in ANSWERS.values()) >= 6
    assert min(len(wrong) for _, wrong in ANSWERS.values()) >= 4
    assert len(ANSWERS) >= 24


@pytest.mark.parametrize("exercise", ANSWERS)
@pytest.mark.parametrize("answer", [5, "text", None, torch.ones(2)])
def test_what_is_no_function_is_told_so(exercise: str, answer: object):
    assert message(exercise, answer).key == "no_function"


def test_numbers_are_told_with_what_was_expected_and_for_what():
    assert str(message("z_score", lambda value, mean, sd: 7.0)).endswith(
        "For (0.31, 0.05, 0.02): yours 7, expected 13."
    )
    assert "expected 8000" in str(message("adam_bytes", lambda trained: 4 * trained))
    assert "(0.375, " not in str(message("forgetting", lambda matrix: [1, 2, 3]))


def test_tensors_are_told_where_they_differ_first():
    def almost(B, gradient, mask, rate):
        after = B - rate * mask * gradient
        after[2, 1] += 5
        return after

    assert "1 of 24 entries differ, the first of them at [2, 1]" in str(message("masked_step", almost))


def test_another_shape_and_another_count_are_told_with_what_was_expected():
    found = str(message("keep_largest", lambda B, sparsity: B.flatten() > 0))
    assert "(60,)" in found and "(12, 5)" in found
    found = str(message("forgetting", lambda matrix: [0.1, 0.2]))
    assert "2 numbers" in found and "3 numbers" in found


def test_a_function_that_stops_is_told_with_its_own_line():
    found = message("jaccard", lambda s, t: (s & t).sum() / undefined)  # noqa: F821 # pyright: ignore
    assert found.key == "raised"
    assert "NameError" in str(found) and "/ undefined)" in str(found)
    assert found.__cause__ is None and found.__suppress_context__


def test_a_mask_of_numbers_is_told_that_its_entries_are_right():
    for exercise in ("keep_largest", "scattered", "free_entries"):
        found = message(exercise, wrapped(lambda mask: mask.float())(exercise))
        assert found.key == "not_bool"
        assert "float32" in str(found)


def test_a_division_of_zero_by_zero_is_told():
    assert message("masked_step", lambda B, gradient, mask, rate: B / torch.zeros(()) * 0).key == "nan"


def test_an_answer_that_changes_its_arguments_does_not_change_the_check():
    def vandal(B, gradient, mask, rate):
        right = torch.where(mask, B - rate * gradient, B)
        B.zero_()
        mask.zero_()
        return right

    def careless(matrix):
        right = lost(matrix)
        matrix.clear()
        return right

    assert checks.masked_step(vandal, "en") == "Right."
    assert checks.forgetting(careless, "en") == "Right."


def test_jupyter_shows_the_sentence_and_no_traceback():
    found = message("z_score", lambda *arguments: None)
    assert found._render_traceback_() == [f"✗ {found}"]
