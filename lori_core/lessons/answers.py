"""Comparison of an answer with the right one and with typical mistakes, so that the message can name the mistake."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from lori_core.translate import translate


class Right(str):
    """A sentence that Jupyter shows as text, and not as a quoted string."""

    def _repr_markdown_(self) -> str:
        return f"**✓ {self}**"


class WrongAnswer(Exception):
    """What is wrong with an answer, in the notebook's language.

    Attributes:
        key: "unanswered", "shape", "other", or "<exercise>.<mistake>".
    """

    def __init__(self, key: str, language: str, **values: object) -> None:
        super().__init__(translate(f"lessons.{key}", language, **values))
        self.key = key

    def _render_traceback_(self) -> list[str]:
        """Jupyter shows the sentence alone: where this module raised it helps nobody."""
        return [f"✗ {self}"]


def compare(exercise: str, got: Any, right: Any, mistakes: Mapping[str, Any], language: str) -> str:
    """Says that the answer is right.

    Args:
        got: a number, a tuple of numbers, or a tensor, as `right` is; None or ... stands for no answer yet.
        mistakes: name -> what the typical mistake of that name gives.
    Raises:
        WrongAnswer: it is not; `lessons.<exercise>.<mistake>` where the mistake is a typical one.
    """
    if is_open(got):
        raise WrongAnswer("unanswered", language)
    for mistake, value in mistakes.items():
        if same(got, value) and not same(right, value):
            raise WrongAnswer(f"{exercise}.{mistake}", language)
    if isinstance(right, Tensor) and isinstance(got, Tensor) and got.shape != right.shape:
        raise WrongAnswer("shape", language, got=tuple(got.shape), expected=tuple(right.shape))
    if not same(got, right):
        raise WrongAnswer("other", language, got=_short(got))
    return Right(translate("lessons.right", language))


def is_open(got: Any) -> bool:
    """Whether three dots still stand where an answer, or a part of it, should be."""
    return got is None or got is ... or (isinstance(got, tuple | list) and any(each is ... for each in got))


def called(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a student's function returns; it gets copies, so that it cannot change what it is compared with."""
    return function(*(each.clone() if isinstance(each, Tensor) else each for each in arguments))


def same(got: Any, right: Any) -> bool:
    """Equal up to the rounding of fp32."""
    if isinstance(right, tuple | list):
        listed = isinstance(got, tuple | list) and len(got) == len(right)
        return listed and all(same(*pair) for pair in zip(got, right, strict=True))
    if isinstance(right, Tensor) and right.ndim:
        if not isinstance(got, Tensor) or got.shape != right.shape:
            return False
        return torch.allclose(got.detach().double(), right.double(), rtol=1e-3, atol=1e-5)
    try:
        return math.isclose(float(got), float(right), rel_tol=1e-3, abs_tol=1e-6)
    except (TypeError, ValueError):
        return False


def _short(got: Any) -> str:
    text = repr(got.detach().tolist() if isinstance(got, Tensor) else got)
    return text if len(text) <= 60 else text[:59] + "…"
