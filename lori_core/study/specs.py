"""Specs of runs: the settings of a study and of each kind of job, as spec.json holds them."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat

from lori_core.config import (
    MERGE_BUDGET,
    MERGE_WEIGHTS,
    AdapterConfig,
    AdapterMethod,
    BaseConfig,
    ChoiceLength,
    Config,
    Granularity,
    LaterMasks,
    Method,
    Overlap,
    Precision,
    Sampling,
    Split,
    StudyMethod,
    TrainConfig,
)
from lori_core.errors import ConfigError


def _whole_if_null(value: Any) -> Any:
    """Older specs say null where none was asked for."""
    return 1.0 if value is None else value


# In a sequence, the share of its own learning rate at which every method learns the tasks after the first.
LaterRate = Annotated[float, BeforeValidator(_whole_if_null), Field(gt=0, le=1)]


def _each_once(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """One that stands twice would count what it gave twice, and intervals would come out too narrow."""
    if len(set(seeds)) < len(seeds):
        raise ConfigError("same_seed_twice", seeds=", ".join(map(str, seeds)))
    return seeds


def _once(names: tuple[Any, ...]) -> tuple[Any, ...]:
    """In their order; a method that is asked for twice is carried out once."""
    return tuple(dict.fromkeys(names))


Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), AfterValidator(_each_once)]
Scales = Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]  # weights of merges, of which the best one is taken


class StudyConfig(BaseConfig):
    """A proof of concept: tasks x methods x seeds, merges, one continual sequence."""

    # mini tasks, or name=path?column=...
    tasks: tuple[str, ...] = Field(default=("nlu", "math", "code", "safety"), min_length=1)
    methods: Annotated[tuple[StudyMethod, ...], AfterValidator(_once), Field(min_length=1)] = (
        "lora",
        "lori_d",
        "lori_s",
    )
    adapter: AdapterConfig = AdapterConfig()  # rank, sparsity, granularity, projection ...
    train: dict[Method, TrainConfig] = {}  # by method; missing ones as in training/recipes.py
    seeds: Seeds = (0,)
    merge_methods: Annotated[tuple[str, ...], AfterValidator(_once)] = ("concat",)
    merge_weights: Scales = MERGE_WEIGHTS  # the best one on the validation split is reported
    shared_control: bool = True  # also merge adapters that share one A
    # folders of footprints that a conditioned A shall not read, in place of those of the study's other tasks
    footprints: tuple[str, ...] = ()
    continual: tuple[str, ...] | None = ()  # order of tasks; empty: safety first, then the others; None: no sequence
    overlap: Overlap = "allow"
    later_rate: LaterRate = 1.0
    later_masks: LaterMasks = "continued"  # how LoRI-S finds those of the sequence's tasks after the first
    validation_examples: int = Field(default=100, ge=1)
    test_examples: int = Field(default=200, ge=1)


class CalibrateJob(BaseConfig):
    """One dense run of a task, and the mask that it gives."""

    task: str  # as in a study
    adapter: AdapterConfig = AdapterConfig()
    train: dict[Method, TrainConfig] = {}  # as in a study
    seed: int = Field(default=0, ge=0)  # is added to the seeds of adapter and train, as in a study


class TrainJob(CalibrateJob):
    """One adapter of one task; LoRI-S calibrates its mask first, or takes one that was made earlier."""

    method: AdapterMethod = "lori_s"
    mask: str | None = None  # LoRI-S only: a mask file, or the folder of an adapter whose mask is taken
    # what a conditioned A shall not read, at least one of both: other tasks, which are measured ...
    against: tuple[str, ...] = ()
    footprints: tuple[str, ...] = ()  # ... and folders of footprints that were measured earlier
    store: str | None = None  # folder of a store that keeps the adapter, with its scores, as a new version too
    validation_examples: int = Field(default=100, ge=1)
    test_examples: int = Field(default=200, ge=1)


class MergeJob(Config):
    """Many adapters, one adapter; no base is needed."""

    adapters: tuple[str, ...]  # their folders
    method: str = "concat"  # a key of merge_methods.MERGE_METHODS
    weights: tuple[float, ...]  # one for each adapter
    options: dict[str, int | float] = {}  # of the method: fields of config.MergeOptions
    # folders, one for each adapter, for methods that need them; a trial that has none measures its tasks
    footprints: tuple[str, ...] = ()
    name: str = "merged"
    store: str | None = None  # as in TrainJob


class MergeTrialJob(BaseConfig):
    """A merge, scored on each adapter's task: the base, the adapter alone, and all in one."""

    merge: MergeJob
    tasks: tuple[str, ...] = Field(min_length=1)  # as in a study, one for each adapter
    scales: Scales = (1.0,)  # of all weights; the best one on the validation split is taken
    groups: Granularity | None = None  # then each adapter's scale by itself, in each such group of modules
    budget: int = Field(default=MERGE_BUDGET, ge=1)  # merges scored for that
    validation_examples: int = Field(default=100, ge=1)
    test_examples: int = Field(default=200, ge=1)


class ExportJob(BaseConfig):
    """The base with an adapter in its weights, as a folder of its own."""

    adapter: str  # its folder
    precision: Precision | None = "bf16"  # of the files


class ContinualJob(BaseConfig):
    """Tasks learned one after another, in this order."""

    tasks: tuple[str, ...] = Field(min_length=2)
    method: AdapterMethod = "lori_s"
    adapter: AdapterConfig = AdapterConfig()
    train: dict[Method, TrainConfig] = {}
    seed: int = Field(default=0, ge=0)
    overlap: Overlap = "allow"
    later_rate: LaterRate = 1.0
    later_masks: LaterMasks = "continued"  # as in a study
    test_examples: int = Field(default=200, ge=1)
    store: str | None = None  # as in TrainJob; a version after each task, each the parent of the next


class EvaluateJob(BaseConfig):
    """Scores of the base, or of the base with an adapter."""

    tasks: tuple[str, ...] = Field(min_length=1)
    adapter: str | None = None  # its folder
    split: Split = "test"
    limit: int | None = Field(default=200, ge=1)  # examples of each task; None: all
    sampling: Sampling | None = None  # None: the greedy answer
    choice_length: ChoiceLength = "none"  # what the log-likelihood of a choice is divided by
    harness: bool = False  # score with lm-evaluation-harness too, the extra "eval"


# kind of a run -> what its settings are
JOBS: dict[str, type[Config]] = {
    "study": StudyConfig,
    "calibrate": CalibrateJob,
    "train": TrainJob,
    "merge": MergeJob,
    "merge_trial": MergeTrialJob,
    "export": ExportJob,
    "continual": ContinualJob,
    "evaluate": EvaluateJob,
}
