"""Comparison of a student's function with the right one, over several cases, and with typical mistakes.

The message names the mistake where it is a typical one, and says what came out beside what was expected. Whatever the
function does (stop, return nothing, return text), the student sees a sentence and no traceback through this package.
"""

import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lori_core.lessons.wrong_answer import Right, WrongAnswer
from lori_core.translate import translate

Function = Callable[..., Any]

_LIBRARIES = (Path(__file__).parents[1], Path(torch.__file__).parents[1])  # whose lines no student wrote


def compare(
    exercise: str,
    function: Function,
    cases: Sequence[tuple[Any, ...]],
    right: Function,
    mistakes: Mapping[str, Function],
    language: str,
) -> str:
    """Says that the function is right.

    Args:
        cases: arguments, some of them chosen so that no typical mistake gives the right answer in all cases.
        right: gives the right answer: a number, a tuple of numbers, or a tensor.
        mistakes: name -> a function that makes the typical mistake of that name.
    Raises:
        WrongAnswer: it is not; `lessons.<exercise>.<mistake>` where the mistake is a typical one.
    """
    expected = [right(*case) for case in cases]
    answers = [called(function, case, language) for case in cases]
    if any(map(is_open, answers)):
        raise WrongAnswer("unanswered", language)
    if any(answer is None for answer in answers):
        raise WrongAnswer("no_return", language)
    got = [_as(wanted, answer) for wanted, answer in zip(expected, answers, strict=True)]
    wrong = [place for place, pair in enumerate(zip(got, expected, strict=True)) if not same(*pair)]
    if not wrong:
        _check_bool(got[0], expected[0], language)
        return Right(translate("lessons.right", language))
    case, answer, wanted = [each[wrong[0]] for each in (cases, got, expected)]
    beside = _beside(case, answer, wanted, language)
    for name, mistake in mistakes.items():
        made = [mistake(*each) for each in cases]
        if all(same(_as(like, answer), like) for answer, like in zip(answers, made, strict=True)):
            raise WrongAnswer(f"{exercise}.{name}", language, beside)
    if (found := kind_of(answer, language)) != (needed := kind_of(wanted, language)):
        raise WrongAnswer("kind", language, got=found, expected=needed)
    if _has_nan(answer):
        raise WrongAnswer("nan", language, beside)
    raise WrongAnswer("other", language, beside)


def called(function: Any, arguments: Sequence[Any], language: str) -> Any:
    """What a student's function returns; it gets copies, so that it cannot change what it is compared with.

    Raises:
        WrongAnswer: it is no function, or it stops with an error.
    """
    if not callable(function):
        raise WrongAnswer("no_function", language, got=_short(function))
    try:
        return function(*deepcopy(tuple(arguments)))
    except WrongAnswer:
        raise
    except Exception as error:
        if "ellipsis" in str(error):
            raise WrongAnswer("unanswered", language) from None
        lines = [f.line for f in traceback.extract_tb(error.__traceback__) if f.line and not _is_library(f.filename)]
        what = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        where = translate("lessons.in_line", language, line=lines[-1]) if lines else ""
        raise WrongAnswer("raised", language, where, error=what) from None


def same(got: Any, right: Any) -> bool:
    """Equal up to the rounding of fp32; whole numbers exactly."""
    if isinstance(right, tuple):
        return isinstance(got, tuple) and len(got) == len(right) and all(map(same, got, right))
    if isinstance(right, Tensor):
        if not isinstance(got, Tensor) or got.shape != right.shape or got.is_complex():
            return False
        return torch.allclose(got.double(), right.double(), rtol=1e-3, atol=1e-5, equal_nan=True)
    if not isinstance(got, int | float):
        return False
    exact = isinstance(right, int)
    close = math.isclose(got, right, rel_tol=1e-9 if exact else 1e-3, abs_tol=0 if exact else 1e-6)
    return close or (math.isnan(got) and math.isnan(right))


def is_open(got: Any) -> bool:
    """Whether three dots still stand where an answer, or a part of it, should be."""
    return got is ... or (isinstance(got, tuple | list) and any(each is ... for each in got))


def _as(like: Any, got: Any) -> Any:
    """The answer as what it is compared with, where only its wrapping differs: an array, a list, a tensor of one."""
    if isinstance(got, Tensor):
        got = got.detach().cpu()
    if isinstance(got, np.ndarray | np.generic) and got.dtype.kind in "biuf":
        got = torch.as_tensor(got)
    if isinstance(like, tuple):
        parts = got.unbind() if isinstance(got, Tensor) and got.ndim == 1 else got
        if isinstance(parts, tuple | list):
            return tuple(_as(0.0, each) for each in parts)
    if isinstance(like, Tensor) and like.ndim and isinstance(got, list | tuple):
        try:
            return torch.as_tensor(got)
        except (TypeError, ValueError, RuntimeError):
            return got
    if isinstance(like, Tensor) and not like.ndim and isinstance(got, int | float):
        return torch.tensor(float(got))
    if isinstance(like, int | float) and isinstance(got, Tensor) and not got.ndim and not got.is_complex():
        return got.item()
    return got


def _check_bool(got: Any, expected: Any, language: str) -> None:
    if isinstance(expected, Tensor) and expected.dtype == torch.bool and got.dtype != torch.bool:
        raise WrongAnswer("not_bool", language, dtype=str(got.dtype).removeprefix("torch."))


def _beside(case: Sequence[Any], got: Any, expected: Any, language: str) -> str:
    """What came out beside what was expected; nothing where they are not of one kind."""
    if isinstance(expected, Tensor) and expected.ndim:
        if not isinstance(got, Tensor) or got.shape != expected.shape:
            return ""
        wrong = ~torch.isclose(got.double(), expected.double(), rtol=1e-3, atol=1e-5)
        place = tuple(wrong.nonzero()[0].tolist())
        values = {"got": _short(got[place]), "expected": _short(expected[place])}
        counts = {"wrong": int(wrong.sum()), "entries": wrong.numel(), "place": list(place)}
        return translate("lessons.beside.entries", language, **values, **counts)
    if kind_of(got, language) != kind_of(expected, language):
        return ""
    values = {"got": _short(got), "expected": _short(expected)}
    if all(isinstance(each, int | float | list | dict) for each in case):
        arguments = ", ".join(map(repr, case))
        return translate("lessons.beside.case", language, arguments=arguments, **values)
    return translate("lessons.beside.value", language, **values)


def kind_of(got: Any, language: str) -> str:
    """What an answer is, in words; a tensor of no dimension is a number."""
    if isinstance(got, Tensor) and got.ndim:
        return translate("lessons.kinds.tensor", language, shape=tuple(got.shape))
    if isinstance(got, int | float | Tensor):
        return translate("lessons.kinds.number", language)
    if isinstance(got, tuple) and all(isinstance(each, int | float) for each in got):
        return translate("lessons.kinds.numbers", language, count=len(got))
    return translate("lessons.kinds.other", language, type=type(got).__name__, got=_short(got))


def _has_nan(got: Any) -> bool:
    return any(map(_has_nan, got)) if isinstance(got, tuple) else bool(torch.as_tensor(got).isnan().any())


def _is_library(filename: str) -> bool:
    return any(Path(filename).is_relative_to(folder) for folder in _LIBRARIES)


def _short(got: Any) -> str:
    if isinstance(got, tuple) and all(isinstance(each, int | float) for each in got):
        return f"({', '.join(map(_short, got))})"
    if isinstance(got, Tensor) and not got.ndim:
        got = got.item()
    text = f"{got:.6g}" if isinstance(got, float) else " ".join(repr(got).split())
    return text if len(text) <= 60 else text[:59] + "…"
