"""Folder layout of a run: what units of work, adapters, dense runs and reports are called, and where each lies.

    units/<unit>.json     the unit's result           seconds/<unit>       the wall time of the sitting that finished it
    adapters/<unit>       the adapter it left         checkpoints/<unit>/  of its training
    data.json             fingerprints of the examples that it began with, by task and split (same_data.py)
    footprints/<n>        of the run's tasks, in their order; given-<n>: copies of those that it was given
    report.html, report.ja.html
    units of a study      base-<task>, calibrate-<own|shared|conditioned>-<task>-<seed>, single-<variant>-<task>-<seed>,
                          merge-<merge method>-<variant>-<seed>, continual-<variant>-<seed>,
                          interference-<variant>-<measure>
    adapters of a job     dense, mask (the dense run pruned to its mask), trained, merged, after-0, after-1 ...

A task stands by its place in the study: names of users' tasks are no file names.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from lori_core.config import NEED_FOOTPRINTS, Method, StudyMethod
from lori_core.study.specs import StudyConfig

TRAINED, MERGED = "trained", "merged"  # adapters of a job
MASK_FILE = "mask.safetensors"  # in the folder of a job that calibrated
_INTERMEDIATE = ("calibrate-", "dense", "mask")  # adapters that are steps on the way to others


@dataclass(frozen=True)
class Variant:
    """How adapters came about: by which method, and by which A, a task's own random one or another.

    Attributes:
        shared: all tasks share one A (the control).
        conditioned: A reads what its task uses and the study's other tasks do not.
    """

    method: Method
    shared: bool = False
    conditioned: bool = False

    @property
    def projection(self) -> str:
        return "shared" if self.shared else "conditioned" if self.conditioned else "own"

    @property
    def study_method(self) -> str:
        """As results name it: the control is the same method under another A."""
        return f"{self.method}_conditioned" if self.conditioned else self.method

    @property
    def label(self) -> str:
        return f"{self.method}_shared" if self.shared else self.study_method


def variant_of(method: StudyMethod) -> Variant:
    if method == "lori_d_conditioned":
        return Variant("lori_d", conditioned=True)
    return Variant("lori_s", conditioned=True) if method == "lori_s_conditioned" else Variant(method)


def is_control(label: str) -> bool:
    """Whether a variant's label is of the control that shares one A."""
    return label.endswith("_shared")


@dataclass(frozen=True)
class DenseRun:
    """A calibration's places in a run: its report, names of its two adapters, the folder of its checkpoint."""

    report: Path
    dense: str
    mask: str
    checkpoints: Path


@dataclass(frozen=True)
class Layout:
    """The places in one run's folder."""

    folder: Path

    def unit(self, unit: str) -> Path:
        return self.folder / "units" / f"{unit}.json"

    def done(self) -> list[str]:
        """Names of the units that have a result."""
        return sorted(path.stem for path in (self.folder / "units").glob("*.json"))

    def seconds(self, unit: str) -> Path:
        return self.folder / "seconds" / unit

    def all_seconds(self) -> dict[str, float]:
        """unit -> its wall time. What a killed process left of one that it was writing has a hidden name."""
        paths = sorted((self.folder / "seconds").glob("[!.]*"))
        return {path.name: float(path.read_text(encoding="utf-8")) for path in paths}

    @property
    def data(self) -> Path:
        return self.folder / "data.json"

    def adapter(self, name: str) -> Path:
        return self.folder / "adapters" / name

    def footprint(self, name: str) -> Path:
        return self.folder / "footprints" / name

    def checkpoints(self, unit: str) -> Path:
        return self.folder / "checkpoints" / unit

    def report(self, language: str) -> Path:
        return self.folder / ("report.html" if language == "en" else f"report.{language}.html")

    def dense_run(self, unit: str) -> DenseRun:
        """Of a study's unit of calibration."""
        return DenseRun(self.unit(unit), f"{unit}-dense", f"{unit}-mask", self.checkpoints(unit))

    def job_dense_run(self) -> DenseRun:
        """Of a job that calibrates one task."""
        return DenseRun(self.folder / "calibration.json", "dense", "mask", self.folder / "checkpoints")


# --- units of a study


def base_unit(index: int) -> str:
    return f"base-{index}"


def calibration_unit(projection: str, index: int, seed: int) -> str:
    """projection: as Variant has it."""
    return f"calibrate-{projection}-{index}-{seed}"


def single_unit(label: str, index: int, seed: int) -> str:
    return f"single-{label}-{index}-{seed}"


def merge_unit(merge_method: str, label: str, seed: int) -> str:
    return f"merge-{merge_method}-{label}-{seed}"


def sequence_unit(label: str, seed: int) -> str:
    return f"continual-{label}-{seed}"


def interference_unit(label: str, measure: str) -> str:
    return f"interference-{label}-{measure}"


def after_task(number: int) -> str:
    """The adapter of a job's sequence after its task of that number."""
    return f"after-{number}"


def stage_of(unit: str) -> str:
    """ "single-lori_s-0-0" is of the stage "single"."""
    return unit.partition("-")[0]


def kind_of(unit: str) -> str:
    """ "single-lori_s-0-0" is of the kind "single-lori_s"."""
    return re.sub(r"(-\d+)+$", "", unit)


def variants(config: StudyConfig) -> list[Variant]:
    """Those that leave adapters; the control, LoRI-D with one A for all tasks, only beside LoRI-D itself."""
    own = [variant_of(method) for method in config.methods if method != "full"]
    compared = len(config.tasks) > 1 and config.shared_control and "lori_d" in config.methods
    return [*own, Variant("lori_d", shared=True)] if compared else own


def calibrates(config: StudyConfig, variant: Variant) -> bool:
    """Whether it takes something of a calibration: LoRI-S its mask, LoRI-D all of a whole dense run."""
    return variant.method == "lori_s" or (variant.method == "lori_d" and config.adapter.calibration == "dense")


def measures(config: StudyConfig, variant: Variant) -> list[str]:
    """Of interference; a mask that keeps everything overlaps wholly and says nothing."""
    masks = ["masks"] if variant.method == "lori_s" else []
    frozen_alone = variant.method != "lora" and not variant.shared
    return ["cosine", *masks, "function", *(["forecast"] if frozen_alone and knows_footprints(config) else [])]


def knows_footprints(config: StudyConfig) -> bool:
    """Whether the study measures footprints: only where something is made of them."""
    conditioned = any(variant.conditioned for variant in variants(config))
    return conditioned or any(method in NEED_FOOTPRINTS for method in config.merge_methods)


def planned(config: StudyConfig) -> list[str]:
    """The names of all units of a study."""
    adapted, tasks, seeds = variants(config), range(len(config.tasks)), config.seeds
    dense = dict.fromkeys(variant.projection for variant in adapted if calibrates(config, variant))
    learned = [*adapted, *([Variant("full")] if "full" in config.methods else [])]
    places = [(task, seed) for seed in seeds for task in tasks]
    units = [base_unit(task) for task in tasks]
    units += [calibration_unit(projection, *place) for projection in dense for place in places]
    units += [single_unit(variant.label, *place) for variant in learned for place in places]
    if len(tasks) > 1:
        units += [merge_unit(how, v.label, seed) for how in config.merge_methods for v in adapted for seed in seeds]
        if config.continual is not None:
            units += [sequence_unit(v.label, seed) for v in adapted if not v.shared for seed in seeds]
        units += [interference_unit(v.label, measure) for v in adapted for measure in measures(config, v)]
    return units


# --- from an adapter's folder to what belongs to it


def is_intermediate(adapter: str) -> bool:
    """Whether an adapter of that name in a run is a step on the way to another."""
    return adapter.startswith(_INTERMEDIATE)


def is_sequence(adapter: str) -> bool:
    """Whether an adapter of that name in a study learned its tasks one after another."""
    return adapter.startswith("continual-")


def score_file(adapter: Path) -> Path:
    """Where the result that scores an adapter of a run lies, if it was scored."""
    run = adapter.parent.parent
    return run / "result.json" if adapter.name == TRAINED else Layout(run).unit(adapter.name)


def dense_run_of(adapter: Path) -> Path | None:
    """Where the dense run lies that gave a LoRI-S adapter its mask, in a run or among the ready-made ones."""
    study = re.fullmatch(r"single-lori_s(?:_(shared|conditioned))?-(\d+)-(\d+)", adapter.name)
    if study:
        calibration = calibration_unit(study[1] or "own", int(study[2]), int(study[3]))
        return adapter.parent / Layout(adapter.parent.parent).dense_run(calibration).dense
    beside = {TRAINED: "dense", "mask": "dense", "lori_s": "lori_d"}.get(adapter.name)
    return adapter.parent / beside if beside else None


def calibration_of(adapter: Path) -> Path | None:
    """Where the report lies of the calibration that gave a LoRI-S adapter of a run its mask."""
    layout, dense = Layout(adapter.parent.parent), dense_run_of(adapter)
    if dense is None:
        return None
    unit = dense.name.removesuffix("-dense")
    return layout.job_dense_run().report if dense.name == "dense" else layout.dense_run(unit).report


def control_of(adapter: Path) -> Path:
    """Where the adapter of the same task lies whose A all tasks share, in a study or among the ready-made ones."""
    control = Variant("lori_d", shared=True).label
    study = re.fullmatch(r"single-lori_[ds]-(\d+)-(\d+)", adapter.name)
    return adapter.parent / (single_unit(control, int(study[1]), int(study[2])) if study else control)


def other_projection_of(adapter: Path) -> Path | None:
    """Where the LoRI adapter of the same task, method and seed lies whose A is conditioned, or of one that is, random.

    In a study or among the ready-made ones; None where the adapter is no such one.
    """
    found = re.fullmatch(r"((?:single-)?lori_[ds])(_conditioned)?((?:-\d+-\d+)?)", adapter.name)
    return found and adapter.parent / f"{found[1]}{'' if found[2] else '_conditioned'}{found[3]}"
