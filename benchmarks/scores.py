"""Scores: are they right, and how fast are they? The embedded base in fp32, one thread.

speed       batches against one `generate` call an example, same prompts, same greedy texts
batches     texts and choices at batch 1 and at batch 16
harness     item by item against lm-evaluation-harness, 200 rows each; needs LORI_DATA and the extra "eval"
humaneval   the canonical solutions through the sandbox; needs LORI_DATA

HF_HUB_OFFLINE=1 python -m benchmarks.scores
"""

import importlib.util
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from benchmarks.record import record
from lori_core.bases.load import Base, load_base
from lori_core.evaluation.evaluate import evaluate
from lori_core.evaluation.harness import harness_score
from lori_core.sandbox.run import isolation
from lori_core.tasks.encode import encode, end_token
from lori_core.tasks.registry import load_task
from lori_core.tasks.scorers import score_all
from lori_core.tasks.task import Example, Task

TEXTS = {"nlu": 100, "math": 100, "safety": 100}  # task -> examples
ROWS = 200
CHOICES = {"arc_easy": "hub/ai2_arc_easy", "boolq": "hub/boolq"}


def one_by_one(base: Base, examples: list[Example], max_new_tokens: int) -> list[str]:
    """As a first script would have it: `generate` with its cache, an example a call."""
    end = end_token(base.tokenizer)
    config = GenerationConfig(max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=end, eos_token_id=end)
    texts = []
    for example in examples:
        ids = torch.tensor([base.tokenizer(example.prompt)["input_ids"]])
        out = base.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)  # pyright: ignore
        texts.append(str(base.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)))
    return texts


def speed(base: Base) -> dict[str, Any]:
    found = {}
    for name, n in TEXTS.items():
        task = load_task(name)
        evaluate(base.model, base.tokenizer, task, limit=8)  # warm
        start = time.perf_counter()
        outputs = evaluate(base.model, base.tokenizer, task, limit=n).outputs
        batched = time.perf_counter() - start
        examples = [Example(output.prompt, output.expected) for output in outputs]
        start = time.perf_counter()
        texts = one_by_one(base, examples, task.max_new_tokens)
        plain = time.perf_counter() - start
        same = sum(text == output.output for text, output in zip(texts, outputs, strict=True))
        seconds = {"batched_seconds": batched, "one_by_one_seconds": plain, "times": plain / batched}
        found[name] = {"n": n, "same_texts": same, **seconds}
    return found


def batches(base: Base, tasks: dict[str, Task]) -> dict[str, Any]:
    found = {}
    for name, task in tasks.items():
        one, sixteen = (evaluate(base.model, base.tokenizer, task, limit=64, batch_size=size) for size in (1, 16))
        same = sum(a.output == b.output for a, b in zip(one.outputs, sixteen.outputs, strict=True))
        found[name] = {"n": 64, "same": same, "seconds_at_1": one.score.seconds, "seconds_at_16": sixteen.score.seconds}
    return found


def harness(base: Base, tasks: dict[str, Task]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, task in tasks.items():
        for length in ("none", "characters"):
            ours = evaluate(base.model, base.tokenizer, task, limit=ROWS, choice_length=length)
            theirs = harness_score(base, task, limit=ROWS, choice_length=length)
            same = sum(a == b for a, b in zip(ours.score.outcomes, theirs.outcomes, strict=True))
            scores = {"ours": ours.score.value, "theirs": theirs.value}
            seconds = {"our_seconds": ours.score.seconds, "their_seconds": theirs.seconds}
            found[f"{name}, {length}"] = {"n": ROWS, "same": same, **scores, **seconds}
    return found


def humaneval(folder: Path) -> dict[str, Any]:
    task = load_task(f"humaneval={folder / 'hub/openai_humaneval'}", allow_code_execution=True)
    examples = task.examples("test")
    start = time.perf_counter()
    passed = sum(score_all("program", examples, [example.response for example in examples]))
    return {"n": len(examples), "passed": passed, "seconds": time.perf_counter() - start, "isolation": isolation()}


def fitting(base: Base, task: Task) -> Task:
    """Without what is too long for the base: we count that as wrong, the harness cuts it."""
    kept = [each for each in task.examples("test") if encode(base.tokenizer, each, 500)]
    return replace(task, load={"test": kept}.__getitem__)


def main() -> None:
    torch.set_num_threads(1)
    base = load_base("embedded", device="cpu", dtype="fp32")
    tasks = {name: load_task(name) for name in ("nlu", "math")}
    results: dict[str, Any] = {"speed": speed(base)}
    if folder := os.environ.get("LORI_DATA"):
        choices = {name: fitting(base, load_task(f"{name}={folder}/{path}")) for name, path in CHOICES.items()}
        tasks |= choices
        results["humaneval"] = humaneval(Path(folder))
        if importlib.util.find_spec("lm_eval"):
            results["harness"] = harness(base, choices)
    results["batches"] = batches(base, tasks)
    record("scores", {"base": "embedded", "precision": "fp32", "threads": 1, "rows": ROWS}, results)


if __name__ == "__main__":
    main()
