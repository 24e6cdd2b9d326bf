"""Check of a task before anything is learned from it: what its rows are like, how they are judged, what is doubtful.

Nothing but the data is looked at: no base, no tokenizer, no torch.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from lori_core.tasks.own_files import LABELS, Quality, examine
from lori_core.tasks.registry import asked_of
from lori_core.tasks.splits import near
from lori_core.tasks.task import SPLITS, Example, Task

FEW = 50  # test examples; the 95 % interval of a share among them reaches 14 points to both sides
LOPSIDED = 0.8  # share of one answer
LONG = 60  # characters of an answer that hardly is written twice in the same words

_CONTROL = re.compile(r"<\|[^|<>\s]{1,30}\|>|</?s>|\[/?INST\]|<(?:end|start)_of_turn>|<eos>|<bos>")


@dataclass(frozen=True)
class TaskCheck:
    """What a task's data are like.

    Attributes:
        left_out: split -> reason -> rows that are not used.
        quality: of the training split; None where the task is there to test with.
        scorer, why: how the test is judged, and by what it was chosen: "named" | "choices" | "known" | "default".
        twins: training examples whose prompt differs from another's only in how it is written.
        shown: the first examples.
        doubts: (name, values of its sentence) of what should be looked at before training.
    """

    task: Task
    counts: Mapping[str, int]
    left_out: Mapping[str, Mapping[str, int]]
    quality: Quality | None
    scorer: str
    why: str
    twins: int
    shown: Sequence[Example]
    doubts: Sequence[tuple[str, dict[str, object]]]


def check_task(spec: str, task: Task, shown: int = 3) -> TaskCheck:
    """Of a task and the spec that it was loaded by."""
    splits = ("test",) if task.test_only else SPLITS
    examples = {split: tuple(task.examples(split)) for split in splits}
    first = examples[splits[0]]
    quality = None if task.test_only else examine(task)
    checked = TaskCheck(
        task,
        {split: len(those) for split, those in examples.items()},
        task.dropped,
        quality,
        task.scorer,
        _why(spec, task, first),
        _twins(first),
        first[:shown],
        (),
    )
    doubts = [(name, values) for name, look in DOUBTS.items() if (values := look(checked, first)) is not None]
    return TaskCheck(**{**vars(checked), "doubts": tuple(doubts)})


def _why(spec: str, task: Task, examples: Sequence[Example]) -> str:
    asked = asked_of(spec)
    if "scorer" in asked:
        return "named"
    if task.scorer == "choice" and examples and examples[0].choices:
        return "choices"
    return "default" if asked.keys() & {"prompt", "template"} else "known"


def _twins(examples: Sequence[Example]) -> int:
    """Prompts that stand twice as they are have twins only where they are written otherwise too."""
    written: dict[str, set[str]] = {}
    for example in examples:
        written.setdefault(near(example.prompt), set()).add(example.prompt)
    return sum(len(each) - 1 for each in written.values())


# --- doubts: what is looked at -> the values of its sentence, None where nothing is doubtful

Values = dict[str, object] | None


def _empty(check: TaskCheck, examples: Sequence[Example]) -> Values:
    empty = [split for split, count in check.counts.items() if not count]
    return {"splits": ", ".join(empty)} if empty else None


def _few(check: TaskCheck, examples: Sequence[Example]) -> Values:
    n = check.counts["test"]
    return {"n": n, "points": round(98 / n**0.5)} if 0 < n < FEW else None


def _contradicting(check: TaskCheck, examples: Sequence[Example]) -> Values:
    return {"count": check.quality.contradicting} if check.quality and check.quality.contradicting else None


def _repeated(check: TaskCheck, examples: Sequence[Example]) -> Values:
    return {"count": check.quality.repeated} if check.quality and check.quality.repeated else None


def _twin_rows(check: TaskCheck, examples: Sequence[Example]) -> Values:
    return {"count": check.twins} if check.twins else None


def _lopsided(check: TaskCheck, examples: Sequence[Example]) -> Values:
    answers = Counter(example.response.strip() for example in examples)
    answer, times = answers.most_common(1)[0] if answers else ("", 0)
    if not examples or len(answers) > LABELS or times < LOPSIDED * len(examples):
        return None
    return {"answer": answer[:40], "share": f"{100 * times / len(examples):.0f}"}


def _given_away(check: TaskCheck, examples: Sequence[Example]) -> Values:
    """Prompts that end in their answer."""
    count = sum(example.prompt.rstrip().endswith(example.response.strip() or "\0") for example in examples)
    return {"count": count} if examples and count > len(examples) / 10 else None


def _control_names(check: TaskCheck, examples: Sequence[Example]) -> Values:
    found = [match[0] for example in examples if (match := _CONTROL.search(f"{example.prompt} {example.response}"))]
    return {"count": len(found), "name": found[0]} if found else None


def _unlikely_exact(check: TaskCheck, examples: Sequence[Example]) -> Values:
    long = bool(examples) and median(len(example.response) for example in examples) > LONG
    return {"length": LONG} if check.scorer == "exact" and long else None


def _labels_by_exact(check: TaskCheck, examples: Sequence[Example]) -> Values:
    answers = {example.response.strip() for example in examples}
    labels = 1 < len(answers) <= LABELS and len(examples) >= 5 * len(answers)
    return {"count": len(answers)} if check.scorer == "exact" and check.why == "default" and labels else None


DOUBTS: dict[str, Callable[[TaskCheck, Sequence[Example]], Values]] = {
    "empty": _empty,
    "few": _few,
    "contradicting": _contradicting,
    "repeated": _repeated,
    "twins": _twin_rows,
    "lopsided": _lopsided,
    "given_away": _given_away,
    "control_names": _control_names,
    "unlikely_exact": _unlikely_exact,
    "labels_by_exact": _labels_by_exact,
}
