"""What others do with the same second moments, beside ours: OSRM before training, RegMean++ after it.

OSRM (arXiv 2505.22934), our emulation: LoRA whose A starts as the `rank` directions in which the other tasks' inputs
have least energy, scaled to the size of LoRA's usual start; A and B are trained. RegMean++ (arXiv 2508.03121), on
updates and factors as our removal is: the moments of a layer are taken with the merged layers before it in place.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from benchmarks.adapters import TASKS, adapter_config, base, spread
from benchmarks.footprint_sets import (
    FOLDER,
    ROWS,
    at_best_weight,
    concat,
    footprint_of,
    kept,
    learned_once,
    scores,
    scores_alone,
    task_of,
)
from benchmarks.methods import SEEDS, TEST
from benchmarks.record import once
from lori_core.bases.attach import update_ratio
from lori_core.bases.load import target_modules
from lori_core.config import AdapterConfig
from lori_core.embedded.ready_made import Variant, ready_made
from lori_core.method.adapter import Adapter, blank
from lori_core.method.footprint import Footprint
from lori_core.method.merge import merge
from lori_core.method.projection import draw
from lori_core.training.fit import fit
from lori_core.training.footprints import task_footprint
from lori_core.training.learn import Learned, config_of
from lori_core.training.recipes import seeded, training_for


def least_read(index: int, config: AdapterConfig) -> dict[str, Tensor]:
    """module -> A (rank, in_features): OSRM's start for one of TASKS."""
    found = {}
    for module, (_, width) in target_modules(base().model).items():
        others = [footprint_of(spec).of(module).matrix for spec in TASKS if spec != TASKS[index]]
        _, vectors = torch.linalg.eigh(torch.stack(others).mean(dim=0))
        usual = draw(config, TASKS[index], module, width).norm()
        found[module] = (vectors[:, : config.rank].T * usual / config.rank**0.5).float()
    return found


def under_osrm(index: int, seed: int) -> Learned:
    config = config_of("lora", adapter_config(seed))
    start = blank(TASKS[index], target_modules(base().model), config, projections=least_read(index, config))
    adapter, training = fit(base(), task_of(TASKS[index]), start, seeded(training_for("embedded"), seed)["lora"])
    return Learned(adapter, training, None, update_ratio(base().model, adapter))


def one_osrm(seed: int) -> dict[str, Any]:
    return once(ROWS / f"osrm-{seed}.json", partial(_osrm, seed))


def _osrm(seed: int) -> dict[str, Any]:
    learning = [partial(under_osrm, index, seed) for index in range(len(TASKS))]
    adapters = [learned_once(FOLDER / f"osrm-{seed}" / n, make) for n, make in zip(TASKS, learning, strict=True)]
    single = scores_alone(adapters, TASKS, TEST)
    merged = scores(concat(adapters, 1.0), TASKS, limit=TEST)
    return {
        "single": single,
        "single_mean": fmean(single.values()),
        "merged": merged,
        "kept": kept(merged, single),
        "best": at_best_weight(adapters, TASKS, single, merged, TEST),
    }


def osrm(processes: int) -> dict[str, Any]:
    return dict(zip(map(str, SEEDS), spread(one_osrm, SEEDS, processes), strict=True))


def layer_of(module: str) -> int:
    return next(int(part) for part in module.split(".") if part.isdigit())


def up_to(adapter: Adapter, modules: Mapping[str, Any]) -> Adapter:
    """The adapter with an update in these modules only."""
    factors = {
        m: f if m in modules else replace(f, values=torch.zeros_like(f.values)) for m, f in adapter.factors.items()
    }
    return replace(adapter, factors=factors)


def with_moments_of(footprint: Footprint, newer: Footprint, modules: Mapping[str, Any]) -> Footprint:
    """The newer moments in these modules."""
    inputs = {m: newer.inputs[m] if m in modules else source for m, source in footprint.inputs.items()}
    moments = {m: newer.moments[m] if m in modules else each for m, each in footprint.moments.items()}
    return replace(footprint, inputs=inputs, moments=moments)


def merged_layer_by_layer(adapters: list[Adapter]) -> Adapter:
    """Removal, the footprints of each layer taken with the merged layers before it in place."""
    footprints = [footprint_of(name) for name in TASKS]
    merged = merge(adapters, "removal", [1.0] * len(adapters), "merged", footprints)
    for layer in sorted({layer_of(module) for module in merged.factors})[1:]:
        before = {module: None for module in merged.factors if layer_of(module) < layer}
        here = {module: None for module in merged.factors if layer_of(module) == layer}
        newer = [task_footprint(base(), task_of(name), adapter=up_to(merged, before)) for name in TASKS]
        footprints = [with_moments_of(*pair, here) for pair in zip(footprints, newer, strict=True)]
        merged = merge(adapters, "removal", [1.0] * len(adapters), "merged", footprints)
    return merged


def one_layered(variant: Variant) -> dict[str, Any]:
    adapters = [ready_made(name, variant) for name in TASKS]
    single = scores_alone(adapters, TASKS, TEST)
    merged = scores(merged_layer_by_layer(adapters), TASKS, limit=TEST)
    return {"single": single, "merged": merged, "kept": kept(merged, single)}


def regmean_pp(processes: int) -> dict[str, Any]:
    """Of the ready-made adapters; what removal keeps of them stands beside in the part "removal"."""
    variants: tuple[Variant, ...] = ("lora", "lori_d", "lori_s")
    return dict(zip(variants, spread(one_layered, variants, processes), strict=True))
