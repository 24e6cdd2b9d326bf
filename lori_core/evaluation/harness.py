"""Second opinion by lm-evaluation-harness (the extra "eval"): its score of a base, with whatever is attached to it.

The task's own examples go through it, from a file in a temporary folder, so nothing is downloaded. What is compared is
the scoring: its tokenizing of prompts and choices, its log-likelihoods, its generation, its way to find a number.
"""

import importlib.util
import io
import json
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from lori_core.bases.load import Base
from lori_core.config import ChoiceLength
from lori_core.errors import TaskError
from lori_core.evaluation.evaluate import BATCH_SIZE, chosen_examples
from lori_core.evaluation.intervals import score_of
from lori_core.results import Score
from lori_core.tasks.task import Example, Task

METRIC = {"none": "acc", "characters": "acc_norm"}
# Its own GSM8K task's: the last number of the answer, and what is ignored when it is compared.
NUMBER = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"
IGNORED = [",", r"\$", r"(?s).*#### ", r"\.$"]
SCORERS = ("choice", "number", "exact")


def check_harness(tasks: Sequence[Task], split: str) -> None:
    """Raises TaskError where the extra is not installed, or the harness has no way to score one of the tasks."""
    if importlib.util.find_spec("lm_eval") is None:
        raise TaskError("no_harness")
    for task in tasks:
        if task.scorer_of(split) not in SCORERS:
            known = ", ".join(SCORERS)
            raise TaskError("harness_cannot_score", task=task.name, scorer=task.scorer_of(split), known=known)


def harness_score(
    base: Base, task: Task, split: str = "test", limit: int | None = None, choice_length: ChoiceLength = "none"
) -> Score:
    """The harness's score on the very examples that evaluate() takes, outcomes in the same order.

    They agree item by item but on examples too long for the base: evaluate() counts those as wrong, the harness cuts
    their beginning off and asks all the same.

    Raises:
        TaskError: as check_harness, or choices are to be compared in a way that the harness does not have.
    """
    check_harness([task], split)
    if choice_length not in METRIC:
        raise TaskError("harness_cannot_score", task=task.name, scorer=choice_length, known=", ".join(METRIC))
    start = time.perf_counter()
    examples = chosen_examples(task, split, limit)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        config = _written(Path(folder), task, split, examples)
        samples = _run(base, config)
    metric = METRIC[choice_length] if task.scorer_of(split) == "choice" else "exact_match"
    outcomes = [float(sample[metric]) for sample in sorted(samples, key=lambda sample: sample["doc_id"])]
    kinds = [example.kind for example in examples]
    seconds = time.perf_counter() - start
    return score_of(task.name, split, f"lm-eval {metric}", outcomes, kinds, seconds, task.prompts)


def _run(base: Base, config: dict[str, Any]) -> list[dict[str, Any]]:
    from lm_eval import simple_evaluate  # pyright: ignore[reportMissingImports]
    from lm_eval.models.huggingface import HFLM  # pyright: ignore[reportMissingImports]
    from lm_eval.tasks import TaskManager  # pyright: ignore[reportMissingImports]

    # Ours puts before a prompt what the tokenizer puts there by itself; the harness is told.
    starts = base.tokenizer("a")["input_ids"] != base.tokenizer("a", add_special_tokens=False)["input_ids"]
    model = HFLM(
        pretrained=base.model, tokenizer=base.tokenizer, batch_size=BATCH_SIZE, add_bos_token=starts, backend="causal"
    )
    found = simple_evaluate(
        model,
        tasks=[config],
        task_manager=TaskManager(include_defaults=False),
        log_samples=True,
        bootstrap_iters=0,
        # None: it would reseed Python, NumPy and torch for the whole process.
        random_seed=None,
        numpy_random_seed=None,
        torch_random_seed=None,
        fewshot_random_seed=None,
    )
    assert found
    return found["samples"][config["task"]]


def _written(folder: Path, task: Task, split: str, examples: Sequence[Example]) -> dict[str, Any]:
    """The harness's description of the task; its examples stand in a file beside it."""
    spaced = all(choice.startswith(" ") for example in examples for choice in example.choices)
    rows = [
        {
            "prompt": example.prompt,
            "response": example.response.strip(),
            "choices": [choice.removeprefix(" ") if spaced else choice for choice in example.choices],
            "answer": example.answer,
        }
        for example in examples
    ]
    path = folder / "examples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    shared = {
        "task": "lori",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(path)}, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        "doc_to_text": "prompt",
    }
    if task.scorer_of(split) == "choice":
        return shared | {
            "output_type": "multiple_choice",
            "doc_to_choice": "choices",
            "doc_to_target": "answer",
            "target_delimiter": " " if spaced else "",
            "metric_list": [{"metric": metric} for metric in METRIC.values()],
        }
    number = task.scorer_of(split) == "number"
    regex = {"regex_pattern": NUMBER, "group_select": -1} if number else {"regex_pattern": r"(?s)^\s*(.*?)\s*$"}
    exact = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
    return shared | {
        "output_type": "generate_until",
        "doc_to_target": "response",
        "generation_kwargs": {"until": list(task.stop), "max_gen_toks": task.max_new_tokens, "do_sample": False},
        "filter_list": [{"name": "answer", "filter": [{"function": "regex", **regex}, {"function": "take_first"}]}],
        "metric_list": [exact | ({"regexes_to_ignore": IGNORED} if number else {})],
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Its log and progress bars would stand in the middle of ours."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
