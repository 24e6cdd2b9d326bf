"""Settings that cross a file or the web: frozen pydantic models, a line a field with unit and range, checked here."""

from collections.abc import Iterable
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lori_core.errors import ConfigError

Projection = Literal["kaiming_uniform", "gaussian", "orthogonal", "sparse"]
Portable = Literal["kaiming_uniform", "sparse"]  # drawn with the same bits on every machine
Granularity = Literal["model", "kind", "projection", "layer", "matrix"]
Method = Literal["lora", "lori_d", "lori_s", "full"]
Schedule = Literal["constant", "linear", "cosine"]
Precision = Literal["fp32", "bf16"]
Quantization = Literal["8bit", "4bit"]
Attention = Literal["eager", "sdpa", "flash_attention_2"]
Overlap = Literal["allow", "exclude"]
Split = Literal["train", "validation", "test"]
ChoiceLength = Literal["none", "characters", "tokens"]

LARGEST_RANK = 4096  # comparing and merging take (rank, rank) matrices
LARGEST_SCALING = 2.0**20  # beyond it products of ordinary factors leave the numbers of bf16 and fp32 soon

ConfigType = TypeVar("ConfigType", bound="Config")


class Config(BaseModel):
    """A frozen pydantic model; bad values raise ConfigError, which names field, value and what was expected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, /, **values: Any) -> None:  # positional only: a file may name a field "self"
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise refusal(type(self).__name__, type(self).model_fields, error) from None

    def changed(self, **values: Any) -> Self:
        """A copy with some fields changed, checked like a new one."""
        return type(self)(**(self.model_dump() | values))


def refusal(what: str, known: Iterable[str], error: ValidationError) -> ConfigError:
    """The first of pydantic's complaints as ours. what: whose fields they are; known: their names."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or what
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return ConfigError("unknown_field", model=what, field=field, known=", ".join(known))
    return ConfigError("bad_field", model=what, field=field, got=repr(first["input"]), expected=first["msg"])


def parse(model: type[ConfigType], text: str) -> ConfigType:
    """A config from its JSON text; raises ConfigError."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise refusal(model.__name__, model.model_fields, error) from None


class AdapterConfig(Config):
    """One task's adapter: LoRI-S where sparsity > 0, LoRI-D where it is 0, LoRA where the projection is trained too."""

    rank: int = Field(default=32, ge=1, le=LARGEST_RANK)
    scaling: float = Field(default=2.0, gt=0, le=LARGEST_SCALING)  # alpha / rank; the paper has alpha = 2 rank
    sparsity: float = Field(default=0.9, ge=0, lt=1)  # fraction of B's entries that the mask holds at zero
    granularity: Granularity = "model"  # what competes for the kept entries
    target_modules: tuple[str, ...] = ()  # ends of module names; empty: those of the architecture (bases/targets.py)
    projection: Projection = "kaiming_uniform"  # how A is drawn
    projection_seed: int = Field(default=0, ge=0)  # draws A, with the task's and the module's name
    shared_projection: bool = False  # one A for all tasks: the control that must interfere
    slot: int = Field(default=0, ge=0)  # orthogonal only: which row block is this task's ...
    slots: int = Field(default=1, ge=1)  # ... of how many
    redraw_projection: bool = False  # True: another A for training than for calibration, as the official code does
    train_projection: bool = False  # True: A is trained too (LoRA, the baseline)

    @property
    def projection_name(self) -> str:
        return "shared " + self.projection if self.shared_projection else self.projection


class Drawing(Config):
    """What rows of A were drawn from, so that they can be drawn again wherever the adapter went since."""

    task: str  # whose A it is; in a sequence that of the first task
    rank: int = Field(ge=1)  # that many rows
    projection: Portable
    projection_seed: int = Field(ge=0)
    shared_projection: bool
    redraw_projection: bool


class TrainConfig(Config):
    """One training stage."""

    learning_rate: float = Field(gt=0)
    steps: int = Field(default=80, ge=1)  # optimizer steps
    batch_size: int = Field(default=32, ge=1)  # examples an optimizer step, over all devices
    micro_batch_size: int | None = Field(default=None, ge=1)  # examples a forward pass; None: the whole batch at once
    max_length: int = Field(default=512, ge=8)  # tokens of prompt and response; longer examples are dropped and counted
    examples: int | None = Field(default=None, ge=1)  # use only that many training examples; None: all
    schedule: Schedule = "linear"
    warmup_steps: int = Field(default=5, ge=0)
    clip: float | None = Field(default=1.0, gt=0)  # largest gradient norm; None: no clipping
    gradient_checkpointing: bool = False
    seed: int = Field(default=0, ge=0)  # order of the examples, dropout
    checkpoint_every: int = Field(default=20, ge=1)  # steps between checkpoints, where a checkpoint folder is given


class Sampling(Config):
    """How answers are drawn for pass@k; the defaults are the paper's for HumanEval."""

    n: int = Field(default=20, ge=1)  # answers an example
    temperature: float = Field(default=0.2, gt=0)
    top_p: float = Field(default=0.95, gt=0, le=1)  # drawn from the likeliest tokens of this share
    seed: int = Field(default=0, ge=0)


class BaseConfig(Config):
    """The base, as every job that needs one names it."""

    base: str = "embedded"  # "embedded", a local folder, or a hub id
    revision: str | None = None  # of a hub id: branch, tag or commit; what is recorded is the commit
    device: str | None = None  # None: cuda, mps or cpu, whatever is there
    precision: Precision | None = None  # of the base; None: see models.default_precision
    quantization: Quantization | None = None  # of the base's linear maps, by bitsandbytes; None: none
    attention: Attention | None = None  # how attention is computed; None: eager on cpu, else what transformers takes
    trust_remote_code: bool = False  # True: run the Python that comes with a checkpoint
    chat: bool = False  # True: prompts are wrapped by the tokenizer's chat template (instruct models)
    allow_code_execution: bool = False  # True: foreign benchmarks may run code that the model writes, in the sandbox


class StudyConfig(BaseConfig):
    """A proof of concept: tasks x methods x seeds, merges, one continual sequence."""

    # mini tasks, or name=path?column=...
    tasks: tuple[str, ...] = Field(default=("nlu", "math", "code", "safety"), min_length=1)
    methods: tuple[Method, ...] = Field(default=("lora", "lori_d", "lori_s"), min_length=1)
    adapter: AdapterConfig = AdapterConfig()  # rank, sparsity, granularity, projection ...
    train: dict[Method, TrainConfig] = {}  # by method; missing ones are taken from the training/recipes.py
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    merge_methods: tuple[str, ...] = ("concat",)
    merge_weights: tuple[float, ...] = (0.3, 0.5, 0.8, 1.0)  # the best one on the validation split is reported
    shared_control: bool = True  # also merge adapters that share one A
    continual: tuple[str, ...] | None = ()  # order of tasks; empty: safety first, then the others; None: no sequence
    overlap: Overlap = "allow"
    # share of the learning rate for the sequence's tasks after the first; None: what recipes.py knows to forget little
    later_rate: float | None = Field(default=None, gt=0, le=1)
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

    method: Literal["lora", "lori_d", "lori_s"] = "lori_s"
    mask: str | None = None  # LoRI-S only: a mask file, or the folder of an adapter whose mask is taken
    store: str | None = None  # folder of a store that keeps the adapter, with its scores, as a new version too
    validation_examples: int = Field(default=100, ge=1)
    test_examples: int = Field(default=200, ge=1)


# merge method -> the fields of merge_methods.MergeOptions that it reads
METHOD_OPTIONS: dict[str, tuple[str, ...]] = {
    "concat": (),
    "task_arithmetic": ("rank",),
    "magnitude": ("keep", "rank"),
    "ties": ("keep", "rank"),
    "dare": ("drop", "seed", "rank"),
    "linear": (),
    "peft_magnitude_prune": ("keep",),
    "peft_ties": ("keep",),
    "peft_dare_linear": ("drop", "seed"),
}


class MergeJob(Config):
    """Many adapters, one adapter; no base is needed."""

    adapters: tuple[str, ...]  # their folders
    method: str = "concat"  # a key of merge.MERGE_METHODS
    weights: tuple[float, ...]  # one for each adapter
    options: dict[str, int | float] = {}  # of the method: fields of merge_methods.MergeOptions
    name: str = "merged"
    store: str | None = None  # as in TrainJob


class MergeTrialJob(BaseConfig):
    """A merge, scored on each adapter's task: the base, the adapter alone, and all in one."""

    merge: MergeJob
    tasks: tuple[str, ...] = Field(min_length=1)  # as in a study, one for each adapter
    scales: tuple[float, ...] = (1.0,)  # of all weights; the best one on the validation split is taken
    validation_examples: int = Field(default=100, ge=1)
    test_examples: int = Field(default=200, ge=1)


class ExportJob(BaseConfig):
    """The base with an adapter in its weights, as a folder of its own."""

    adapter: str  # its folder
    precision: Precision | None = "bf16"  # of the files


class ContinualJob(BaseConfig):
    """Tasks learned one after another, in this order."""

    tasks: tuple[str, ...] = Field(min_length=2)
    method: Literal["lora", "lori_d", "lori_s"] = "lori_s"
    adapter: AdapterConfig = AdapterConfig()
    train: dict[Method, TrainConfig] = {}
    seed: int = Field(default=0, ge=0)
    overlap: Overlap = "allow"
    later_rate: float | None = Field(default=None, gt=0, le=1)  # as in a study
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
