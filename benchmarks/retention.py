"""Forecast of what a merge keeps: before the merge is scored, judged on tasks that the forecast never saw.

`python -m benchmarks.retention` merges adapters of the embedded base in many ways, scores each merge (kept in
build/retention as soon as it is there) and writes results/retention.json. Kept is the share of a task's gain over the
bare base. With x what the task feeds into a module, dW the update of its adapter and M that of the merge, and sums over
modules, factors and footprints alone say

    along   E⟨M x, dW x⟩ / E‖dW x‖²                        how much of the adapter's own change is still there
    beside  √( E‖M x - along · dW x‖² / E‖dW x‖² )         what the merge does there that the adapter did not
    pushed  √( Σ E‖M x - along · dW x‖² / E‖x‖² )          the same beside the input, module by module
    own     √( Σ E‖dW x‖² / E‖x‖² )                        how large the adapter's own change is beside it

and each adapter's own curve, scored once for all its merges at SCALES of its weight and alone, says

    alone   the share of its gain that it keeps at `along` of its scale

The forecast is alone · σ(of the logarithms of the other three): enough of its own, little of the others'. The weights
in it are fitted on all tasks but one and judged on that one, in turn. Beside it stand two others. "way": the mean of
the same method and weight on the other tasks, which knows nothing of the adapters. "same merge": the mean of what the
other tasks of the very merge keep, which has to be scored first.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.adapters import TASKS, base, spread
from benchmarks.footprint_sets import (
    AdapterSet,
    as_file_name,
    conflict,
    footprint_of,
    learned_set,
    level,
    scores,
    task_of,
)
from benchmarks.footprints import rank_correlation
from benchmarks.methods import SEEDS
from benchmarks.record import once, record
from lori_core.embedded.ready_made import VARIANTS, Variant, ready_made
from lori_core.evaluation.evaluate import evaluate
from lori_core.method.adapter import Adapter, Factors
from lori_core.method.footprint import Footprint, Moments
from lori_core.method.merge import merge

FOLDER = Path("build/retention")
TEST = 100
COVERED = 0.9  # of the interval
WEIGHTS = (0.3, 0.5, 0.8, 1.0)
SCALES = (0.15, 0.3, 0.5, 0.8)  # of each adapter alone
LEAST_SCALE = 0.01  # at which nothing is left of its gain
LEAST_GAIN = 0.2
PENALTY = 0.3  # on squared weights, against the log-likelihood summed over rows
LEAST = 1e-6  # likelihood of what a forecast rules out


class Way(NamedTuple):
    """How adapters are merged. places: which of the set's."""

    places: tuple[int, ...]
    method: str
    weight: float

    @property
    def label(self) -> str:
        return f"{self.method}-{self.weight:g}-{''.join(map(str, self.places))}"


@dataclass(frozen=True)
class Source:
    """A set of adapters that is there; loaded when it is asked for."""

    label: str
    tasks: tuple[str, ...]
    adapters: Callable[[], list[Adapter]]


ALL = (0, 1, 2, 3)
WAYS = (
    *(Way(ALL, "concat", weight) for weight in WEIGHTS),
    *(Way(ALL, method, 1.0) for method in ("ties", "removal", "tsv_m")),
    *(Way(places, "concat", weight) for places in ((0, 1), (2, 3), (0, 3)) for weight in (0.5, 1.0)),
    *(Way((0, 1, 2), "concat", weight) for weight in (0.5, 1.0)),
)


def _ready(variant: Variant) -> list[Adapter]:
    return [ready_made(name, variant) for name in TASKS]


def sources() -> list[Source]:
    sets = [
        *(AdapterSet(method, seed) for method in ("lori_d", "lori_s") for seed in SEEDS[:2]),
        *(AdapterSet(tasks=level(value), projection=p) for value in (2, 5) for p in ("conditioned", "kaiming_uniform")),
        AdapterSet("lori_s", tasks=level(5), projection="kaiming_uniform"),
        *(AdapterSet(tasks=conflict(kind), projection="kaiming_uniform") for kind in ("form", "answer")),
    ]
    ready = [Source(f"ready {v}", TASKS, lambda v=v: _ready(v)) for v in VARIANTS]
    return [*ready, *(Source(each.label, each.tasks, lambda each=each: learned_set(each)) for each in sets)]


Row = dict[str, Any]
FEATURES = ("beside", "pushed", "own")  # of the factor that says what others do to a task


def effects(merged: Adapter, adapter: Adapter, footprint: Footprint) -> dict[str, float]:
    """along and FEATURES of one task."""
    cells = list(_by_module(merged, adapter, footprint))
    own, both = sum(cell.own for cell in cells), sum(cell.both for cell in cells)
    return {
        "along": both / own,
        "beside": (max(0.0, sum(cell.whole for cell in cells) - both**2 / own) / own) ** 0.5,
        "pushed": sum(max(0.0, cell.whole - cell.both**2 / cell.own) / cell.inputs for cell in cells) ** 0.5,
        "own": sum(cell.own / cell.inputs for cell in cells) ** 0.5,
    }


class Cell(NamedTuple):
    """Of one module: E‖dW x‖², E⟨M x, dW x⟩, E‖M x‖², E‖x‖²."""

    own: float
    both: float
    whole: float
    inputs: float


def _by_module(merged: Adapter, adapter: Adapter, footprint: Footprint) -> Iterator[Cell]:
    for module, factors in adapter.factors.items():
        moments, other = footprint.of(module), merged.factors[module]
        if own := _inner(factors, factors, moments):
            both, whole = _inner(other, factors, moments), _inner(other, other, moments)
            yield Cell(own, both, whole, moments.energy)


def _inner(left: Factors, right: Factors, moments: Moments) -> float:
    """E⟨dW_left x, dW_right x⟩ = tr(B_leftᵀ B_right · A_right C A_leftᵀ), both scalings in it."""
    of_outputs = left.B.double().T @ right.B.double()
    of_inputs = left.A.double() @ moments.matrix @ right.A.double().T
    return left.scaling * right.scaling * (of_outputs * of_inputs).sum().item()


def measured_source(label: str) -> list[Row]:
    """All merges of one source: a row for each task in each."""
    source = next(each for each in sources() if each.label == label)
    return once(FOLDER / f"{as_file_name(label)}.json", lambda: _rows(source))


@cache
def bare(spec: str) -> float:
    return evaluate(base().model, base().tokenizer, task_of(spec), "test", TEST).score.value


def _rows(source: Source) -> list[Row]:
    adapters, rows = source.adapters(), []
    single = {spec: scores(a, [spec], limit=TEST)[spec] for spec, a in zip(source.tasks, adapters, strict=True)}
    for way in WAYS:
        parts, tasks = [adapters[i] for i in way.places], [source.tasks[i] for i in way.places]
        footprints = [footprint_of(spec) for spec in tasks]
        merged = merge(parts, way.method, [way.weight] * len(parts), "merged", footprints)
        reached = scores(merged, tasks, limit=TEST)
        for spec, part, footprint in zip(tasks, parts, footprints, strict=True):
            gain = single[spec] - bare(spec)
            row = {"source": source.label, "way": way.label, "task": spec} | effects(merged, part, footprint)
            row |= {"single": single[spec], "bare": bare(spec), "merged": reached[spec]}
            # where there was hardly a gain there is nothing to keep
            rows.append(row | {"kept": (reached[spec] - bare(spec)) / gain if gain > LEAST_GAIN else None})
    return rows


def scaled(label: str) -> dict[str, dict[str, float]]:
    """Of each task of a source: at each of SCALES the score of its adapter alone at that share of its weight."""
    source = next(each for each in sources() if each.label == label)

    def found() -> dict[str, dict[str, float]]:
        return {
            spec: {str(w): scores(merge([a], "concat", [w], "m"), [spec], limit=TEST)[spec] for w in SCALES}
            for spec, a in zip(source.tasks, source.adapters(), strict=True)
        }

    return once(FOLDER / "scaled" / f"{as_file_name(label)}.json", found)


def alone(row: Row, by_scale: dict[str, float]) -> float:
    """The share of its gain that the adapter keeps at `along` of its scale, read between those that were scored."""
    gain = row["single"] - row["bare"]
    shares = [(by_scale[str(scale)] - row["bare"]) / gain for scale in SCALES]
    at = np.log([LEAST_SCALE, *SCALES, 1.0])
    return float(np.interp(np.log(max(row["along"], LEAST_SCALE)), at, [0.0, *shares, 1.0]))


def family(spec: str) -> str:
    """Tasks that are left out together: all levels and forms of one."""
    return spec.partition("?")[0]


def judged(rows: Sequence[Row]) -> dict[str, Any]:
    """Each task's rows from a curve that was fitted without it."""
    forecast, low, high, by_way, by_merge = (np.zeros(len(rows)) for _ in range(5))
    kept = np.array([row["kept"] for row in rows])
    for left_out in dict.fromkeys(family(row["task"]) for row in rows):
        others = [row for row in rows if family(row["task"]) != left_out]
        curve = fitted(others)
        for place, row in enumerate(rows):
            if family(row["task"]) == left_out:
                forecast[place], low[place], high[place] = curve.kept(row)
                alike = [other for other in others if kind(other) == kind(row)]
                same = [other for other in alike if (other["source"], other["way"]) == (row["source"], row["way"])]
                by_way[place] = fmean(other["kept"] for other in alike)
                by_merge[place] = fmean(other["kept"] for other in same or alike)
    return {
        "merges": len({(row["source"], row["way"]) for row in rows}),
        "rows": len(rows),
        "forecast": agreement(forecast, kept),
        "way": agreement(by_way, kept),
        "same merge": agreement(by_merge, kept),
        "covered": float(((low <= kept) & (kept <= high)).mean()),
        "interval_width": float((high - low).mean()),
        "weights": chosen_weights(rows, forecast),
    }


def kind(row: Row) -> str:
    """Method and weight."""
    return row["way"].rpartition("-")[0]


def agreement(forecast: np.ndarray, kept: np.ndarray) -> dict[str, float]:
    return {"spearman": correlation(forecast, kept), "mean_absolute_error": float(np.abs(forecast - kept).mean())}


def correlation(left: np.ndarray, right: np.ndarray) -> float:
    return rank_correlation(torch.from_numpy(left), torch.from_numpy(right))


@dataclass(frozen=True)
class Curve:
    """alone · a logistic curve of the features' logarithms.

    Attributes:
        weights: of 1 and of each feature once it has mean 0 and deviation 1.
        spread: |kept - forecast| / scale() of which the share COVERED of the fitted rows is below.
    """

    weights: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    spread: float

    def forecast(self, rows: Sequence[Row]) -> np.ndarray:
        z = (logarithms(rows) - self.means) / self.deviations
        return left_alone(rows) / (1 + np.exp(-(self.weights[0] + z @ self.weights[1:])))

    def kept(self, row: Row) -> tuple[float, float, float]:
        """The forecast and its interval."""
        value = float(self.forecast([row])[0])
        half = self.spread * float(scale(np.array(value)))
        return value, value - half, value + half


def fitted(rows: Sequence[Row]) -> Curve:
    """The most likely one; what was kept counts as a share of successes, from 0 to 1."""
    x, kept = logarithms(rows), np.array([row["kept"] for row in rows])
    curve = Curve(np.zeros(1 + x.shape[1]), x.mean(axis=0), x.std(axis=0) + 1e-9, 0.0)
    design = torch.from_numpy(np.column_stack([np.ones(len(x)), (x - curve.means) / curve.deviations]))
    alone, share = torch.from_numpy(left_alone(rows)), torch.from_numpy(kept.clip(0, 1))
    weights = torch.zeros(design.shape[1], dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def unlikely() -> torch.Tensor:
        search.zero_grad()
        forecast = (alone * torch.sigmoid(design @ weights)).clamp(LEAST, 1 - LEAST)
        loss = torch.nn.functional.binary_cross_entropy(forecast, share, reduction="sum")
        loss = loss + PENALTY / 2 * weights[1:].square().sum()
        loss.backward()
        return loss

    search.step(unlikely)  # pyright: ignore[reportArgumentType]
    curve = replace(curve, weights=weights.detach().numpy())
    apart = np.abs(kept - curve.forecast(rows)) / scale(curve.forecast(rows))
    return replace(curve, spread=float(np.quantile(apart, COVERED)))


def left_alone(rows: Sequence[Row]) -> np.ndarray:
    return np.array([row["alone"] for row in rows]).clip(0, 1)


def logarithms(rows: Sequence[Row]) -> np.ndarray:
    """(rows, features)"""
    return np.log(np.maximum([[row[each] for each in FEATURES] for row in rows], 1e-3))


def scale(forecast: np.ndarray) -> np.ndarray:
    """How far scores scatter about the curve: most where it is steep."""
    return 0.05 + np.sqrt(forecast * (1 - forecast))


def chosen_weights(rows: Sequence[Row], forecast: np.ndarray) -> dict[str, Any]:
    """Of the concats of four: what the weight that the forecast prefers costs beside the best, in mean kept."""
    found = {}
    for source in dict.fromkeys(row["source"] for row in rows):
        means = {}
        for weight in WEIGHTS:
            at = [
                i for i, r in enumerate(rows) if (r["source"], r["way"]) == (source, Way(ALL, "concat", weight).label)
            ]
            if at:
                means[weight] = float(forecast[at].mean()), fmean(rows[i]["kept"] for i in at)
        chosen = max(means, key=lambda weight: means[weight][0])
        best = max(kept for _, kept in means.values())
        found[source] = {"chosen": chosen, "lost": best - means[chosen][1]}
    return {"sets": found, "within_2_points": fmean(each["lost"] <= 0.02 for each in found.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2, help="of one thread each")
    given = parser.parse_args()
    labels = [source.label for source in sources()]
    curves = dict(zip(labels, spread(scaled, labels, given.processes), strict=True))
    every = chain.from_iterable(spread(measured_source, labels, given.processes))
    rows = [row | {"alone": alone(row, curves[row["source"]][row["task"]])} for row in every if row["kept"] is not None]
    curve = fitted(rows)
    whole = {"weights": dict(zip(("constant", *FEATURES), curve.weights.tolist(), strict=True)), "spread": curve.spread}
    results = {"curve": whole, "judged": judged(rows), "rows": rows}
    print(
        "written",
        record("retention", {"test": TEST, "covered": COVERED, "weights": WEIGHTS, "scales": SCALES}, results),
    )


if __name__ == "__main__":
    main()
