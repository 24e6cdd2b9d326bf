"""Units of benchmarks/real.py: one adapter, one merge, one sequence ..., each kept as a JSON of its own once done.

base-TASK                      the bare base
rate-METHOD-RATE-TASK          one rate tried on validation, at a seed that nothing else uses
single-VARIANT-SEED-TASK       one adapter, alone; LoRI-S under the mask of its LoRI-D
merged-VARIANT-SEED            all of them in one, at weight 1 and at the weight that was best on validation
removal-VARIANT-SEED           of those under a random A: merged at weight 1 by removal
cross_talk-VARIANT-SEED        how far each one changes the other tasks' inputs, and what the footprints forecast of it
calibration-EXAMPLES-TASK      LoRI-S under the mask of a dense run that saw so many examples
mask-KIND-SEED-TASK            LoRI-S under a mask that a short run found, or one that was drawn
sequence-VARIANT-SEED          the tasks one after another

A unit makes the units that it needs and that are not there yet, so any one alone can be asked for.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from lori_core.bases.attach import applied
from lori_core.bases.load import Base, target_modules
from lori_core.config import AdapterConfig, AdapterMethod, Method, Split, TrainConfig
from lori_core.evaluation.evaluate import evaluate
from lori_core.evaluation.intervals import Z95
from lori_core.evaluation.merge_trial import best_weight, less_loss, retention
from lori_core.evaluation.probe import cross_talk
from lori_core.files import write_atomic
from lori_core.method.adapter import Adapter, blank
from lori_core.method.conditioned import Conditions
from lori_core.method.footprint import Footprint
from lori_core.method.forecast import forecast, untrained
from lori_core.method.masks import Masks, jaccard, magnitude_masks, matched_masks, random_masks
from lori_core.method.merge import merge
from lori_core.results import Score, from_plain
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.storage.footprint_files import load_footprint, save_footprint
from lori_core.tasks.task import Task
from lori_core.training.beside import learn_beside
from lori_core.training.calibrate import calibrate
from lori_core.training.continual import learn_sequence
from lori_core.training.footprints import task_footprint
from lori_core.training.learn import Learned, config_of, learn

MaskKind = Literal["early", "one_pass", "density", "random"]  # as in benchmarks/masks.py

RATE_SEED = 100
RATE_TASKS = ("nlu",)  # whose rows are the shortest: a rate costs a minute, of math ten
RATES: dict[Method, tuple[float, ...]] = {  # as many for each
    "lora": (3e-4, 1e-3, 3e-3),
    "lori_d": (3e-4, 1e-3, 3e-3),
    "lori_s": (1e-3, 3e-3, 1e-2),
}
WEIGHTS = (0.3, 0.5, 0.7, 1.0)
CALIBRATION_EXAMPLES = (64, 256, 1024)
MASK_KINDS: tuple[MaskKind, ...] = ("early", "one_pass", "density", "random")
MASK_TASKS = ("nlu", "safety")
ORDER = ("safety", "math", "code", "nlu")
SCORED = 16  # sequences a forward pass


@dataclass(frozen=True)
class Settings:
    """What all units share; units of other settings are not mixed with them."""

    base: str
    precision: str
    rank: int
    sparsity: float
    steps: int
    batch_size: int
    max_length: int
    validation: int
    test: int


@dataclass(frozen=True)
class Variant:
    """How adapters of a variant come about. dense: the variant whose dense run gives LoRI-S its mask."""

    method: AdapterMethod
    dense: str = ""
    conditioned: bool = False


VARIANTS = {
    "lora": Variant("lora"),
    "lori_d": Variant("lori_d"),
    "lori_d_conditioned": Variant("lori_d", conditioned=True),
    "lori_s": Variant("lori_s", "lori_d"),
    "lori_s_conditioned": Variant("lori_s", "lori_d_conditioned", conditioned=True),
}


@dataclass(frozen=True, eq=False)
class Bench:
    settings: Settings
    base: Base
    tasks: Mapping[str, Task]
    folder: Path

    def unit(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The unit's result: from the folder if it was done before, else made, timed and kept."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            begun, of_cpu = time.perf_counter(), time.process_time()  # the second is the same beside busy neighbours
            result = make()
            taken = {"unit_seconds": time.perf_counter() - begun, "unit_cpu_seconds": time.process_time() - of_cpu}
            write_atomic(path, json.dumps(result | taken) + "\n")
            shutil.rmtree(self.checkpoints(name), ignore_errors=True)
            print(f"{name}: {taken['unit_seconds']:.0f} s, of processors {taken['unit_cpu_seconds']:.0f}", flush=True)
        return json.loads(path.read_text(encoding="utf-8"))

    def checkpoints(self, name: str) -> Path:
        return self.folder / "checkpoints" / name

    def score(self, task: str, split: Split = "test") -> Score:
        """Of the model as it is now, with whatever is attached to it."""
        limit = self.settings.test if split == "test" else self.settings.validation
        return evaluate(self.base.model, self.base.tokenizer, self.tasks[task], split, limit, SCORED).score

    def scores(self, split: Split = "test") -> dict[str, Score]:
        return {task: self.score(task, split) for task in self.tasks}


def start(bench: Bench, variant: str, seed: int, task: str) -> dict[str, Any]:
    """What an adapter begins with, as keywords of learn(): here alone is decided what its A is made of."""
    settings = bench.settings
    config = AdapterConfig(rank=settings.rank, sparsity=settings.sparsity, projection_seed=seed)
    if not VARIANTS[variant].conditioned:
        return {"config": config}
    config = config.changed(projection="conditioned")
    others = [footprint(bench, other, config.directions) for other in bench.tasks if other != task]
    return {"config": config, "conditions": Conditions(footprint(bench, task, config.directions), others)}


def footprint(bench: Bench, task: str, directions: int) -> Footprint:
    """From the folder if it was measured before."""
    folder = bench.folder / "footprints" / f"{task}-{directions}"
    if not folder.exists():
        longest = bench.settings.max_length
        found = task_footprint(bench.base, bench.tasks[task], directions=directions, max_length=longest)
        save_footprint(found, folder)
    return load_footprint(folder)


def whole_footprints(bench: Bench) -> list[Footprint]:
    """Those of all tasks with the exact moments of every input, which removal from a random A needs."""
    widest = max(width for _, width in target_modules(bench.base.model).values())
    return [footprint(bench, task, widest) for task in bench.tasks]


# --- one adapter


def training(bench: Bench, rate: float, seed: int, examples: int | None = None) -> TrainConfig:
    settings = bench.settings
    return TrainConfig(
        learning_rate=rate,
        steps=settings.steps,
        batch_size=settings.batch_size,
        micro_batch_size=settings.batch_size // 2,  # half as much memory for the logits of 49,152 tokens
        max_length=settings.max_length,
        warmup_steps=min(3, settings.steps - 1),
        examples=examples,
        seed=seed,
        checkpoint_every=5,
    )


def learned(
    bench: Bench, name: str, variant: str, seed: int, task: str, rate: float, masks: Masks | None, **changes: Any
) -> Learned:
    method = VARIANTS[variant].method
    given = start(bench, variant, seed, task) | {"masks": masks, "checkpoints": bench.checkpoints(name)}
    how: dict[Method, TrainConfig] = {method: training(bench, rate, seed, **changes)}
    return learn(bench.base, bench.tasks[task], method, training=how, **given)


def largest(bench: Bench, dense: Adapter) -> Masks:
    """LoRI-S's mask: where the dense run's B is largest."""
    return magnitude_masks({module: f.B for module, f in dense.factors.items()}, bench.settings.sparsity)


def mask_for(bench: Bench, variant: str, seed: int, task: str) -> Masks | None:
    dense = VARIANTS[variant].dense
    return largest(bench, adapter(bench, dense, seed, task)) if dense else None


def single(bench: Bench, variant: str, seed: int, task: str) -> dict[str, Any]:
    name = f"single-{variant}-{seed}-{task}"

    def make() -> dict[str, Any]:
        rate = best_rate(bench, VARIANTS[variant].method)
        made = learned(bench, name, variant, seed, task, rate, mask_for(bench, variant, seed, task))
        keep(bench, name, made.adapter)
        with applied(bench.base.model, made.adapter):
            ends = {split: asdict(bench.score(task, split)) for split in ("test", "validation")}
        report = {"rate": rate, "update_ratio": made.update_ratio, "trained": made.adapter.trained_parameters}
        return ends | report | {"training": asdict(made.training)}

    return bench.unit(name, make)


def keep(bench: Bench, name: str, made: Adapter) -> None:
    shutil.rmtree(bench.folder / "adapters" / name, ignore_errors=True)  # of a sitting that was killed
    save_adapter(made, bench.folder / "adapters" / name)


def adapter(bench: Bench, variant: str, seed: int, task: str) -> Adapter:
    single(bench, variant, seed, task)
    return load_adapter(bench.folder / "adapters" / f"single-{variant}-{seed}-{task}")


# --- learning rates


def rated(bench: Bench, method: AdapterMethod, rate: float, task: str) -> dict[str, Any]:
    name = f"rate-{method}-{rate:g}-{task}"

    def make() -> dict[str, Any]:
        masks = None
        if method == "lori_s":
            dense = f"rate-lori_d-{best_rate(bench, 'lori_d'):g}-{task}"
            masks = largest(bench, load_adapter(bench.folder / "adapters" / dense))
        made = learned(bench, name, method, RATE_SEED, task, rate, masks)
        keep(bench, name, made.adapter)
        with applied(bench.base.model, made.adapter):
            return {"validation": asdict(bench.score(task, "validation"))}

    return bench.unit(name, make)


def best_rate(bench: Bench, method: AdapterMethod) -> float:
    """The smallest rate whose mean loss on validation is within one standard error of the best: smaller updates merge
    better, and no method may have more tries than another."""
    found: dict[float, tuple[float, float]] = {}
    for rate in RATES[method]:
        losses = [rated(bench, method, rate, task)["validation"]["loss"] for task in RATE_TASKS]
        errors = [((loss["high"] or 0) - (loss["low"] or 0)) / (2 * Z95) for loss in losses]
        found[rate] = fmean(loss["value"] for loss in losses), sum(e**2 for e in errors) ** 0.5 / len(errors)
    best, error = min(found.values())
    return min(rate for rate, (mean, _) in found.items() if mean <= best + error)


# --- what is made of several adapters


def bare(bench: Bench, task: str) -> dict[str, Any]:
    splits: tuple[Split, ...] = ("test", "validation")
    return bench.unit(f"base-{task}", lambda: {split: asdict(bench.score(task, split)) for split in splits})


def merged(bench: Bench, variant: str, seed: int) -> dict[str, Any]:
    """What the merge keeps is said of the held-out loss and of right answers."""

    def make() -> dict[str, Any]:
        parts = [adapter(bench, variant, seed, task) for task in bench.tasks]

        def at(weight: float) -> Adapter:
            return merge(parts, "concat", [weight] * len(parts), "merged")

        def kept_at(weight: float) -> float:
            with applied(bench.base.model, at(weight)):
                scores = bench.scores("validation")
            kept = retention(*ends(bench, variant, seed, "validation"), scores, less_loss)
            return fmean(kept.values()) if kept else 0.0

        best, means = best_weight(WEIGHTS, kept_at)
        whole = {"weight": 1.0} | kept_of(bench, variant, seed, at(1.0))
        searched = whole if best == 1.0 else {"weight": best} | kept_of(bench, variant, seed, at(best))
        return {"whole": whole, "searched": searched, "validation": list(means.items())}

    return bench.unit(f"merged-{variant}-{seed}", make)


def removed(bench: Bench, variant: str, seed: int) -> dict[str, Any]:
    def make() -> dict[str, Any]:
        parts = [adapter(bench, variant, seed, task) for task in bench.tasks]
        made = merge(parts, "removal", [1.0] * len(parts), "merged", whole_footprints(bench))
        return {"whole": {"weight": 1.0} | kept_of(bench, variant, seed, made)}

    return bench.unit(f"removal-{variant}-{seed}", make)


def kept_of(bench: Bench, variant: str, seed: int, made: Adapter) -> dict[str, Any]:
    """Test scores of a merge, and which share of the single adapters' gain it keeps."""
    base, alone = ends(bench, variant, seed, "test")
    with applied(bench.base.model, made):
        scores = bench.scores("test")
    return {
        "scores": {task: asdict(score) for task, score in scores.items()},
        "loss_retention": retention(base, alone, scores, less_loss),
        "retention": retention(base, alone, scores),
    }


def ends(bench: Bench, variant: str, seed: int, split: Split) -> tuple[dict[str, Score], dict[str, Score]]:
    """What merging is measured between: scores of the bare base, and of each task's own adapter."""
    base = {task: from_plain(Score, bare(bench, task)[split]) for task in bench.tasks}
    alone = {task: from_plain(Score, single(bench, variant, seed, task)[split]) for task in bench.tasks}
    return base, alone


def talked(bench: Bench, variant: str, seed: int) -> dict[str, Any]:
    def make() -> dict[str, Any]:
        parts = [adapter(bench, variant, seed, task) for task in bench.tasks]
        tasks, longest = list(bench.tasks.values()), bench.settings.max_length
        found = asdict(cross_talk(bench.base.model, bench.base.tokenizer, parts, tasks, 32, max_length=longest))
        known = whole_footprints(bench)
        return {key: value for key, value in found.items() if key != "by_module"} | {
            "forecast_before": forecast([untrained(part) for part in parts], known).values,
            "forecast_after": forecast(parts, known).values,
        }

    return bench.unit(f"cross_talk-{variant}-{seed}", make)


def calibrated(bench: Bench, examples: int, task: str) -> dict[str, Any]:
    """Masks compared with that of the whole run, and what LoRI-S learns under it."""
    name = f"calibration-{examples}-{task}"

    def make() -> dict[str, Any]:
        rates = {method: best_rate(bench, method) for method in ("lori_d", "lori_s")}
        dense = learned(bench, f"{name}-dense", "lori_d", 0, task, rates["lori_d"], None, examples=examples)
        masks, whole = largest(bench, dense.adapter), largest(bench, adapter(bench, "lori_d", 0, task))
        both = sum(int((masks[module] & whole[module]).sum()) for module in masks)
        either = sum(int((masks[module] | whole[module]).sum()) for module in masks)
        made = learned(bench, name, "lori_s", 0, task, rates["lori_s"], masks)
        with applied(bench.base.model, made.adapter):
            return {"jaccard": both / either, "test": asdict(bench.score(task))}

    return bench.unit(name, make)


def mask_of(bench: Bench, kind: MaskKind, seed: int, task: str, own: Masks) -> tuple[Masks, float]:
    """And the seconds that it took to find. own: that of the whole dense run."""
    if kind == "density":
        return matched_masks(own, seed), 0.0
    if kind == "random":
        shapes = {module: (mask.shape[0], mask.shape[1]) for module, mask in own.items()}
        return random_masks(shapes, bench.settings.sparsity, seed), 0.0
    config = start(bench, "lori_s", seed, task)["config"].changed(calibration=kind)
    blank_one = blank(task, target_modules(bench.base.model), config_of("lori_d", config))
    dense = training(bench, best_rate(bench, "lori_d"), seed)
    found = calibrate(bench.base, bench.tasks[task], blank_one, config, dense)
    return found.masks, found.report.training.seconds


def under_mask(bench: Bench, kind: MaskKind, seed: int, task: str) -> dict[str, Any]:
    """What LoRI-S learns under a mask that cost less than a whole dense run."""
    name = f"mask-{kind}-{seed}-{task}"

    def make() -> dict[str, Any]:
        own = largest(bench, adapter(bench, "lori_d", seed, task))
        masks, seconds = mask_of(bench, kind, seed, task, own)
        made = learned(bench, name, "lori_s", seed, task, best_rate(bench, "lori_s"), masks)
        with applied(bench.base.model, made.adapter):
            found = {"jaccard": jaccard(masks, own), "mask_seconds": seconds, "test": asdict(bench.score(task))}
        return found | {"training": asdict(made.training)}

    return bench.unit(name, make)


def in_sequence(bench: Bench, variant: str, seed: int) -> dict[str, Any]:
    """Under a conditioned A the earlier adapters stay beside; its first task has a random A."""
    name, method = f"sequence-{variant}-{seed}", VARIANTS[variant].method
    learning, first = (learn_beside, method) if VARIANTS[variant].conditioned else (learn_sequence, variant)

    def make() -> dict[str, Any]:
        methods: tuple[AdapterMethod, ...] = ("lora", "lori_d", "lori_s")
        how: dict[Method, TrainConfig] = {each: training(bench, best_rate(bench, each), seed) for each in methods}
        learned_all = learning(
            bench.base,
            [bench.tasks[task] for task in ORDER],
            method,
            start(bench, variant, seed, ORDER[0])["config"],
            how,
            lambda task: bench.score(task.name),
            first=adapter(bench, first, seed, ORDER[0]),
            checkpoints=bench.checkpoints(name),
        )
        return asdict(learned_all.result)

    return bench.unit(name, make)


def units(bench: Bench, seeds: tuple[int, ...]) -> dict[str, Callable[[], dict[str, Any]]]:
    """Name -> unit, in the order in which it makes sense to have them: what matters most comes first."""
    found: dict[str, Callable[[], dict[str, Any]]] = {f"base-{t}": partial(bare, bench, t) for t in bench.tasks}
    for method in ("lora", "lori_d", "lori_s"):
        for rate in RATES[method]:
            for task in RATE_TASKS:
                found[f"rate-{method}-{rate:g}-{task}"] = partial(rated, bench, method, rate, task)
    for seed in seeds:
        for variant in VARIANTS:
            for task in bench.tasks:
                found[f"single-{variant}-{seed}-{task}"] = partial(single, bench, variant, seed, task)
            found[f"merged-{variant}-{seed}"] = partial(merged, bench, variant, seed)
            if not VARIANTS[variant].conditioned:
                found[f"removal-{variant}-{seed}"] = partial(removed, bench, variant, seed)
            found[f"cross_talk-{variant}-{seed}"] = partial(talked, bench, variant, seed)
        for kind, task in product(MASK_KINDS, MASK_TASKS):
            found[f"mask-{kind}-{seed}-{task}"] = partial(under_mask, bench, kind, seed, task)
    if 0 in seeds:
        for variant in VARIANTS:
            found[f"sequence-{variant}-0"] = partial(in_sequence, bench, variant, 0)
        for examples in CALIBRATION_EXAMPLES:
            for task in RATE_TASKS:
                found[f"calibration-{examples}-{task}"] = partial(calibrated, bench, examples, task)
    return found
