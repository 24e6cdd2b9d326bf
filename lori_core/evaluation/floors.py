"""Floors: what a score is worth that was reached without reading the question.

chance    a choice, or a label, drawn at random
majority  the one answer that is right most often, given to every question; of kinds that weigh the same, the mean

Both are of the very examples that were scored. A score says that something was learned where it is clearly above both.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from statistics import fmean

from lori_core.tasks.scorers import evened, find_label, find_number
from lori_core.tasks.task import Example

MOST_CLASSES = 20  # of a confusion matrix

# scorer -> what two right answers have in common where one answer is right for both
_ANSWER: Mapping[str, Callable[[Example], Hashable]] = {
    "exact": lambda example: " ".join(example.response.split()),
    "normalised": lambda example: evened(example.response),
    "contains": lambda example: " ".join(example.response.split()),
    "number": lambda example: find_number(example.response),
    "label": lambda example: find_label(example, example.response),
    "choice": lambda example: example.answer,
    "refusal": lambda example: example.kind,
}
# scorer -> what was said, where answers are classes
_SAID: Mapping[str, Callable[[Example, str], str | None]] = {
    "exact": lambda example, output: " ".join(output.split()),
    "normalised": lambda example, output: evened(output),
    "label": find_label,
    "choice": lambda example, output: example.choices[int(output)].strip() if output else None,
}


def chance_of(scorer: str, examples: Sequence[Example]) -> float | None:
    """The score of answers drawn at random; None where there is nothing to draw from."""
    of = {
        "choice": lambda example: len(example.choices),
        "label": lambda example: len(example.checks.get("labels", ())),
    }.get(scorer)
    if of is None or not all(map(of, examples)):
        return None
    return _mean_of_kinds([1 / of(example) for example in examples], examples)


def majority_of(scorer: str, examples: Sequence[Example]) -> float | None:
    """The score of the best constant answer; None where no answer could be right for two questions."""
    answer, kinds = _ANSWER.get(scorer), {example.kind for example in examples}
    if answer is None or (scorer == "refusal" and len(kinds) < 2):  # to refuse is all that harmful prompts alone ask
        return None
    each = {kind: Counter(answer(example) for example in examples if example.kind == kind) for kind in kinds}
    shares = Counter[Hashable]()
    for counted in each.values():
        for key, times in counted.items():
            shares[key] += times / counted.total() / len(each)  # pyright: ignore[reportArgumentType]
    return float(max(shares.values()))


def confusion_of(scorer: str, examples: Sequence[Example], outputs: Sequence[str]) -> dict[str, dict[str, int]]:
    """Class -> what was said of its examples -> how often, "" for what is no class; empty where answers are no classes.

    They are where there are few, each with two examples on average, and choices are the same in every row.
    """
    said = _SAID.get(scorer)
    lists = {example.choices for example in examples}
    if said is None or (scorer == "choice" and len(lists) > 1):
        return {}
    wanted = [_class(scorer, example) for example in examples]
    classes = sorted(set(wanted))
    if not 2 <= len(classes) <= min(MOST_CLASSES, len(examples) / 2):
        return {}
    found = {each: Counter[str]() for each in classes}
    for example, output, right in zip(examples, outputs, wanted, strict=True):
        got = said(example, output) or ""
        found[right][got if got in found or scorer == "choice" else ""] += 1
    return {each: dict(counted) for each, counted in found.items()}


def _class(scorer: str, example: Example) -> str:
    return example.choices[example.answer or 0].strip() if scorer == "choice" else str(_ANSWER[scorer](example))


def _mean_of_kinds(values: Sequence[float], examples: Sequence[Example]) -> float:
    by_kind: dict[str, list[float]] = {}
    for value, example in zip(values, examples, strict=True):
        by_kind.setdefault(example.kind, []).append(value)
    return fmean(fmean(those) for those in by_kind.values())
