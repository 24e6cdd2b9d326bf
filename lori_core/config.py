"""Settings that cross a file or the web: frozen pydantic models, a line a field with unit and range, checked here."""

from collections.abc import Iterable
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lori_core.errors import ConfigError

Projection = Literal["kaiming_uniform", "gaussian", "orthogonal", "sparse", "conditioned"]
Portable = Literal["kaiming_uniform", "sparse"]  # drawn with the same bits on every machine
Granularity = Literal["model", "kind", "projection", "layer", "matrix"]
AdapterMethod = Literal["lora", "lori_d", "lori_s"]
Method = Literal[AdapterMethod, "full"]  # full fine-tuning leaves no adapter
StudyMethod = Literal[Method, "lori_d_conditioned", "lori_s_conditioned"]  # with an A that reads its task alone
Schedule = Literal["constant", "linear", "cosine"]
LossPer = Literal["token", "example"]
ClipPer = Literal["model", "matrix"]
Precision = Literal["fp32", "bf16"]
Quantization = Literal["8bit", "4bit"]
Attention = Literal["eager", "sdpa", "flash_attention_2"]
Overlap = Literal["allow", "exclude"]
LaterMasks = Literal["continued", "own_run"]
MaskRun = Literal["dense", "early", "one_pass"]  # the run that a mask is found by (training/calibrate.py)
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
    calibration: MaskRun = "dense"  # how the mask is found; "dense" is the paper's way
    target_modules: tuple[str, ...] = ()  # ends of module names; empty: those of the architecture (bases/targets.py)
    projection: Projection = "kaiming_uniform"  # how A is drawn
    projection_seed: int = Field(default=0, ge=0)  # draws A, with the task's and the module's name
    shared_projection: bool = False  # one A for all tasks: the control that must interfere
    slot: int = Field(default=0, ge=0)  # orthogonal only: which row block is this task's ...
    slots: int = Field(default=1, ge=1)  # ... of how many
    redraw_projection: bool = False  # True: another A for training than for calibration, as the official code does
    train_projection: bool = False  # True: A is trained too (LoRA, the baseline)
    ridge: float = Field(default=0.01, gt=0)  # conditioned only: λ, the price of an A's size (method/conditioned.py)
    directions: int = Field(default=256, ge=1)  # conditioned only: m, of inputs too wide for exact moments

    @property
    def method(self) -> AdapterMethod:
        """What these settings make of an adapter."""
        if self.train_projection:
            return "lora"
        return "lori_s" if self.sparsity > 0 else "lori_d"

    @property
    def projection_name(self) -> str:
        return "shared " + self.projection if self.shared_projection else self.projection


class ProjectionSource(Config):
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
    # what the gradient is of: nats a response token, or an example (summed over its response); the mean over the batch
    loss_per: LossPer = "token"
    clip: float | None = Field(default=1.0, gt=0)  # largest gradient norm; None: no clipping
    clip_per: ClipPer = "model"  # the norm of all gradients together, or of each matrix by itself
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

    base: str = "embedded"  # "embedded", "smollm2", a local folder, a GGUF file, or a hub id
    revision: str | None = None  # of a hub id: branch, tag or commit; what is recorded is the commit
    device: str | None = None  # None: cuda, mps or cpu, whatever is there
    precision: Precision | None = None  # of the base; None: see bases/load.py, default_precision
    quantization: Quantization | None = None  # of the base's linear maps, by bitsandbytes; None: none
    attention: Attention | None = None  # how attention is computed; None: eager on cpu, else what transformers takes
    trust_remote_code: bool = False  # True: run the Python that comes with a checkpoint
    chat: bool = False  # True: prompts are wrapped by the tokenizer's chat template (instruct models)
    allow_code_execution: bool = False  # True: foreign benchmarks may run code that the model writes, in the sandbox


# One weight for all adapters of a merge: those that a search tries on validation.
MERGE_WEIGHTS = (0.3, 0.5, 0.8, 1.0)
# Merges that a search of each weight by itself scores beyond those.
MERGE_BUDGET = 24
MOST_IN_LENS = 4  # adapters: every set of them is run, and 16 sets are a batch


class MergeOptions(Config):
    """Settings of merge methods; METHOD_OPTIONS says which method reads which."""

    keep: float = Field(default=0.2, gt=0, le=1)  # fraction of an update's entries that trimming keeps, within a module
    drop: float = Field(default=0.9, ge=0, lt=1)  # dare: the probability at which an entry is dropped
    seed: int = Field(default=0, ge=0)  # dare: draws what is dropped, with the adapter's and the module's name
    # of the factors that a dense update is written as; None: as many as it needs
    rank: int | None = Field(default=None, ge=1)
    ridge: float = Field(default=0.01, gt=0)  # removal: λ, as a share of the mean energy of an input's features


# merge method -> the fields of MergeOptions that it reads
METHOD_OPTIONS: dict[str, tuple[str, ...]] = {
    "concat": (),
    "task_arithmetic": ("rank",),
    "magnitude": ("keep", "rank"),
    "ties": ("keep", "rank"),
    "mergekit_ties": ("keep", "rank"),
    "peft_ties_svd": ("keep", "rank"),
    "dare": ("drop", "seed", "rank"),
    "core_magnitude": ("keep", "rank"),
    "core_ties": ("keep", "rank"),
    "core_dare": ("drop", "seed", "rank"),
    "knots_ties": ("keep", "rank"),
    "tsv_m": ("rank",),
    "iso_c": ("rank",),
    "pico": ("rank",),
    "compress_then_merge": ("rank",),
    "wudi": ("rank",),
    "linear": (),
    "peft_magnitude_prune": ("keep",),
    "peft_ties": ("keep",),
    "peft_dare_linear": ("drop", "seed"),
    "removal": ("ridge",),
}
NEED_FOOTPRINTS = ("removal",)  # merge methods that need a footprint of each adapter's task
