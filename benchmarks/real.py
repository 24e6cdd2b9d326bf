"""SmolLM2-135M on real rows: LoRA, LoRI-D and LoRI-S, under a random or a conditioned A; alone, merged, in sequence.

LORI_DATA=FOLDER python -m benchmarks.real [--base smollm2] [--seeds 0 1 2] [--only single merged] [--minutes 90]

Units of real_parts.py lie in build/real, one JSON each; whoever stops it goes on there, in the middle of a training
too. results/real.json is all of them, without single examples. Processes with other seeds may share the folder once
the learning rates are found. Most tasks are judged by the held-out loss alone: at this size hardly an answer is right.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.real_parts import VARIANTS, Bench, Settings, units
from benchmarks.record import RESULTS, record
from lori_core.bases.load import DTYPES, checked_device, load_base
from lori_core.files import write_atomic
from lori_core.tasks.registry import load_task

FOLDER = Path("build/real")
DRAWS = 4000  # of the bootstrap
BY_EXAMPLE = ("outcomes", "nats", "lengths", "losses")  # what is left out of the merged file
SPECS = {  # name -> where its rows lie in LORI_DATA, and how they are judged
    "nlu": "hub/ai2_arc_easy",
    "math": "hub/gsm8k?scorer=likelihood",
    "code": "hub/codealpaca/train_2k.jsonl",
    "safety": "safety/saferpaca_safety_only.jsonl",
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="smollm2")
    parser.add_argument("--device")
    parser.add_argument("--precision", choices=DTYPES, help="of the base; default: fp32 on a CPU, else the device's")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rows", type=int, default=16, help="of a step")
    parser.add_argument("--validation", type=int, default=40)
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--only", nargs="+", help="beginnings of names of units")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which no further unit is begun")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def opened(given: argparse.Namespace) -> Bench:
    """The base and the tasks; refuses a folder that holds units of other settings."""
    # On a CPU with AVX512-BF16 400 tokens take 1.0 s in fp32 and 1.5 s in bf16.
    usual = "fp32" if checked_device(given.device) == "cpu" else None
    base = load_base(given.base, device=given.device, dtype=given.precision or usual)
    precision = str(base.model.dtype).removeprefix("torch.")
    settings = Settings(
        base=base.fingerprint,
        precision=precision,
        rank=32,
        sparsity=0.9,
        steps=given.steps,
        batch_size=given.rows,
        max_length=192,
        validation=given.validation,
        test=given.test,
    )
    known = given.out / "settings.txt"
    text = json.dumps(asdict(settings), indent=1)
    if known.exists() and known.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{given.out} holds units of other settings: {known.read_text(encoding='utf-8')}")
    write_atomic(known, text)
    rows = os.environ["LORI_DATA"]
    tasks = {name: load_task(f"{name}={rows}/{spec}") for name, spec in SPECS.items()}
    return Bench(settings, base, tasks, given.out)


def results_in(folder: Path) -> dict[str, Any]:
    """Unit -> its result."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def without_examples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_examples(part) for key, part in value.items() if key not in BY_EXAMPLE}
    return [without_examples(part) for part in value] if isinstance(value, list) else value


def in_sequence(units: Mapping[str, Any], variant: str, seed: int, gain: Callable[[str, Any], Any]) -> dict[str, Any]:
    """What a sequence keeps of each old task in the end, as a share of its gain when it was learned, and what each new
    one gained then, as a share of LoRA's gain alone: the means, and the worst old task.

    Args:
        gain: (task, score) -> nats below the bare base, a number or (draws,).
    """
    found = units[f"sequence-{variant}-{seed}"]
    order, scores = found["order"], found["scores"]
    then = {task: gain(task, scores[place][place]) for place, task in enumerate(order)}
    kept = np.array([gain(task, scores[-1][place]) / then[task] for place, task in enumerate(order[:-1])])
    new = np.array([then[task] / gain(task, units[f"single-lora-{seed}-{task}"]["test"]) for task in order[1:]])
    return {"old_kept": kept.mean(axis=0), "worst": kept.min(axis=0), "new_learned": new.mean(axis=0)}


def summary(results: Mapping[str, Any]) -> dict[str, Any]:
    """variant -> test loss by task, and the share of the single adapters' gain that merging keeps, means over seeds;
    of a sequence in_sequence()."""
    found: dict[str, Any] = {}

    def gain(task: str, score: Mapping[str, Any]) -> float:
        return results[f"base-{task}"]["test"]["loss"]["value"] - score["loss"]["value"]

    for variant in VARIANTS:
        alone = [name for name in results if name.startswith(f"single-{variant}-")]
        merges = [results[name] for name in results if name.startswith(f"merged-{variant}-")]
        removals = [results[name] for name in results if name.startswith(f"removal-{variant}-")]
        by_task: dict[str, list[float]] = {}
        for name in alone:
            by_task.setdefault(name.rsplit("-", 1)[-1], []).append(results[name]["test"]["loss"]["value"])
        found[variant] = {"single_loss": {task: fmean(losses) for task, losses in by_task.items()}}
        for how, where, rows in (
            ("whole", "whole", merges),
            ("searched", "searched", merges),
            ("removal", "whole", removals),
        ):
            kept = [row[where]["loss_retention"] for row in rows if row[where]["loss_retention"]]
            if kept:
                means = {"mean": fmean(fmean(each.values()) for each in kept)}
                found[variant][how] = means | {"worst": fmean(min(each.values()) for each in kept), "seeds": len(kept)}
        if f"sequence-{variant}-0" in results:
            shares = in_sequence(results, variant, 0, gain)
            found[variant]["sequence"] = {share: float(value) for share, value in shares.items()}
    return found


def intervals(units: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """95 % intervals over test examples, in shares of the held-out loss: [low, high].

    Examples are drawn with replacement, the same ones for all, so that two ways are compared on the same rows.

    Args:
        units: with what is of single examples.
    Returns:
        "of_lora": variant -> its gain over the base as a share of LoRA's, mean of the tasks. "kept": "unit, where" ->
        mean and worst task of what a merge keeps. "above_random": variant with a conditioned A at weight 1 -> how much
        more it keeps than the best of the others at their searched weights. "sequence": variant -> of in_sequence().
    """
    generator = np.random.default_rng(0)
    tasks = [name.removeprefix("base-") for name in units if name.startswith("base-")]
    counts = {task: len(units[f"base-{task}"]["test"]["loss"]["nats"]) for task in tasks}
    drawn = {task: generator.integers(0, n, (DRAWS, n)) for task, n in counts.items()}

    def gains(task: str, score: Mapping[str, Any]) -> np.ndarray:
        """(draws,) nats below the bare base."""
        base = units[f"base-{task}"]["test"]["loss"]["nats"]
        return (np.array(base) - np.array(score["loss"]["nats"]))[drawn[task]].sum(axis=1)

    def single(variant: str, task: str) -> np.ndarray:
        return gains(task, units[f"single-{variant}-{seed}-{task}"]["test"])

    def ends(draws: np.ndarray) -> list[float]:
        return [float(each) for each in np.quantile(draws, (0.025, 0.975))]

    found: dict[str, Any] = {"of_lora": {}, "kept": {}, "above_random": {}, "sequence": {}}
    means: dict[tuple[str, str], np.ndarray] = {}
    for variant in VARIANTS:
        if all(f"single-{each}-{seed}-{task}" in units for task in tasks for each in (variant, "lora")):
            shares = [single(variant, task) / single("lora", task) for task in tasks]
            found["of_lora"][variant] = ends(np.mean(shares, axis=0))
        if f"sequence-{variant}-{seed}" in units:
            shares = in_sequence(units, variant, seed, gains)
            found["sequence"][variant] = {share: ends(draws) for share, draws in shares.items()}
        for unit, where in product(("merged", "removal"), ("whole", "searched")):
            merge = units.get(f"{unit}-{variant}-{seed}", {}).get(where)
            if merge:
                kept = np.array([gains(task, merge["scores"][task]) / single(variant, task) for task in tasks])
                means[variant, f"{unit} {where}"] = kept.mean(axis=0)
                found["kept"][f"{unit}-{variant}-{seed} {where}"] = {
                    "mean": ends(kept.mean(axis=0)),
                    "worst": ends(kept.min(axis=0)),
                }
    random = [
        means[each, "merged searched"]
        for each, how in VARIANTS.items()
        if not how.conditioned and (each, "merged searched") in means
    ]
    for variant, how in VARIANTS.items():
        if how.conditioned and random and (variant, "merged whole") in means:
            more = means[variant, "merged whole"] - np.max(random, axis=0)
            found["above_random"][variant] = ends(more)
    return found


def main() -> None:
    given = arguments()
    begun = time.monotonic()
    bench = opened(given)
    for name, unit in units(bench, tuple(given.seeds)).items():
        if given.only and not name.startswith(tuple(given.only)):
            continue
        if time.monotonic() - begun > 60 * given.minutes:
            print(f"time is up before {name}", flush=True)
            break
        unit()
    results = results_in(given.out)
    content = {"summary": summary(results), "intervals": {seed: intervals(results, seed) for seed in given.seeds}}
    content["units"] = without_examples(results)
    print("written", record("real", asdict(bench.settings) | {"tasks": SPECS}, content, given.results))


if __name__ == "__main__":
    main()
