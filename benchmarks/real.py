"""SmolLM2-135M on real rows: LoRA, LoRI-D and LoRI-S, under a random or a conditioned A; alone, merged, in sequence.

LORI_DATA=FOLDER python -m benchmarks.real [--base smollm2] [--seeds 0 1 2] [--only single merged] [--minutes 90]

Units of real_parts.py lie in build/real, one JSON each; whoever stops it goes on there, in the middle of a training
too. results/real.json is all of them, without single examples, and keeps those of earlier runs. Processes with other
seeds may share the folder once the learning rates and footprints are found. Most tasks are judged by the held-out loss
alone: at this size hardly an answer is right.
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

from benchmarks.methods import SEEDS, over_seeds
from benchmarks.real_parts import MASK_KINDS, MASK_TASKS, VARIANTS, Bench, Settings, units
from benchmarks.record import RESULTS, record
from lori_core.bases.load import DTYPES, checked_device, load_base
from lori_core.files import write_atomic
from lori_core.tasks.registry import load_task

FOLDER = Path("build/real")
DRAWS = 4000  # of the bootstrap
BY_EXAMPLE = ("outcomes", "nats", "lengths", "losses")  # what is left out of the merged file
WAYS = {"whole": ("merged", "whole"), "searched": ("merged", "searched"), "removal": ("removal", "whole")}
RIVALS = ("lora", "lori_s")  # of a conditioned A, whose merges every seed has
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
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
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


def summary(results: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """variant -> test loss by task, its gain over the base as a share of LoRA's (mean of the tasks), and the share of
    the single adapters' gain that merging keeps; of a sequence in_sequence(). What was not measured is not there."""
    found: dict[str, Any] = {}
    tasks = [name.removeprefix("base-") for name in results if name.startswith("base-")]

    def gain(task: str, score: Mapping[str, Any]) -> float:
        return results[f"base-{task}"]["test"]["loss"]["value"] - score["loss"]["value"]

    def alone(variant: str) -> dict[str, Any] | None:
        names = [f"single-{variant}-{seed}-{task}" for task in tasks]
        if all(name in results for name in names):
            return {task: results[name]["test"] for task, name in zip(tasks, names, strict=True)}
        return None

    for variant in VARIANTS:
        own, lora, of = alone(variant), alone("lora"), {}
        if own:
            of["single_loss"] = {task: score["loss"]["value"] for task, score in own.items()}
        if own and lora:
            of["of_lora"] = fmean(gain(task, own[task]) / gain(task, lora[task]) for task in tasks)
        for way, (unit, where) in WAYS.items():
            row = results.get(f"{unit}-{variant}-{seed}")
            if row and (kept := row[where]["loss_retention"].values()):  # none where no adapter gained anything
                of[way] = {"mean": fmean(kept), "worst": min(kept)}
        if f"sequence-{variant}-{seed}" in results:
            shares = in_sequence(results, variant, seed, gain)
            of["sequence"] = {share: float(value) for share, value in shares.items()}
        if of:
            found[variant] = of
    return found


def together(by_seed: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """variant -> of_lora, and mean and worst task of each way to merge, where more than one seed has them."""
    found: dict[str, Any] = {}
    for variant in VARIANTS:
        rows = [summed[variant] for summed in by_seed.values() if variant in summed]
        values = {"of_lora": [row["of_lora"] for row in rows if "of_lora" in row]}
        for way, part in product(WAYS, ("mean", "worst")):
            values[f"{way}_{part}"] = [row[way][part] for row in rows if way in row]
        found[variant] = {what: over_seeds(each) for what, each in values.items() if len(each) > 1}
    return {variant: of for variant, of in found.items() if of}


def more_than_rivals(by_seed: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """variant with a conditioned A -> how much more it keeps at weight 1 than the better of RIVALS at its searched
    weight, seed by seed."""
    found: dict[str, list[float]] = {}
    for summed, variant in product(by_seed.values(), VARIANTS):
        rivals = [summed.get(each, {}).get("searched") for each in RIVALS]
        own = summed.get(variant, {}).get("whole")
        if VARIANTS[variant].conditioned and own and all(rivals):
            found.setdefault(variant, []).append(own["mean"] - max(each["mean"] for each in rivals if each))
    return {variant: over_seeds(values) for variant, values in found.items()}


def masks_found(results: Mapping[str, Any]) -> dict[str, Any]:
    """task -> kind of mask -> over seeds: how much more loss LoRI-S ends with than under the mask of its dense run, the
    Jaccard of both, and both trainings' seconds as a share of that one's."""
    found: dict[str, Any] = {}
    for task, kind in product(MASK_TASKS, MASK_KINDS):
        rows = []
        for seed in SEEDS:
            own, row = results.get(f"single-lori_s-{seed}-{task}"), results.get(f"mask-{kind}-{seed}-{task}")
            if own and row:
                seconds = [results[f"single-lori_d-{seed}-{task}"]["training"]["seconds"], own["training"]["seconds"]]
                more = row["test"]["loss"]["value"] - own["test"]["loss"]["value"]
                rows.append((more, row["jaccard"], (row["mask_seconds"] + row["training"]["seconds"]) / sum(seconds)))
        if rows:
            means = (over_seeds(list(values)) for values in zip(*rows, strict=True))
            found.setdefault(task, {})[kind] = dict(zip(("more_loss", "jaccard", "cost"), means, strict=True))
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


def earlier(folder: Path, settings: Settings) -> dict[str, Any]:
    """The results of real.json in the folder; {} where there are none, or of other settings."""
    path = folder / "real.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"config": {}}
    same = all(kept["config"].get(key) == value for key, value in asdict(settings).items())
    return kept["results"] if same else {}


def all_intervals(here: Mapping[str, Any], units: Mapping[str, Any]) -> dict[str, Any]:
    """seed -> intervals(), of every seed whose units all have their single examples.

    Args:
        here: the units of the folder, with single examples. units: all that there are.
    """
    found: dict[str, Any] = {}
    for seed in SEEDS:
        names = [name for name in units if str(seed) in name.split("-")]
        if all(name in here for name in names) and any(name.startswith("merged-") for name in names):
            found[str(seed)] = intervals(here, seed)
    return found


def results(here: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What real.json holds: of the folder's units, and of others what it held before."""
    every = {**before.get("units", {}), **here}
    by_seed = {seed: found for seed in SEEDS if (found := summary(every, seed))}
    return {
        "by_seed": by_seed,
        "over_seeds": together(by_seed),
        "more_than_rivals": more_than_rivals(by_seed),
        "masks": masks_found(every),
        "intervals": {**before.get("intervals", {}), **all_intervals(here, every)},
        "units": without_examples(every),
    }


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
    content = results(results_in(given.out), earlier(given.results, bench.settings))
    print("written", record("real", asdict(bench.settings) | {"tasks": SPECS}, content, given.results))


if __name__ == "__main__":
    main()
