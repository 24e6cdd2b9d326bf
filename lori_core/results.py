"""Results of scores, metrics and studies: frozen dataclasses of plain numbers. No torch, so that figures need none."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from pydantic import TypeAdapter

from lori_core.wilson import wilson

ResultType = TypeVar("ResultType")


@dataclass(frozen=True)
class Share:
    """A share, 0 to 1, with its 95 % interval over n examples."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Loss:
    """Held-out loss of the response, nats a token, the end token being one: what training lowers, on other examples.

    Attributes:
        value: all examples' nats / all their tokens. low, high: 95 % interval over the examples; None: there is one.
        n, tokens: examples and response tokens.
        nats, lengths: by example, for paired comparisons: the loss of its response, and its tokens.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    tokens: int
    nats: tuple[float, ...] = ()
    lengths: tuple[int, ...] = ()


@dataclass(frozen=True)
class Score:
    """How well a model does a task on a split. Fractions, 0 to 1; beside them the loss, which sees what they do not.

    Attributes:
        value: share of right answers; where examples have kinds (harmful, benign), the mean of the kinds' shares.
        low, high: 95 % interval of value over the examples.
        n: examples scored. seconds: wall time.
        parts: kind -> share; empty where there is one kind.
        outcomes: 1.0 right, 0.0 wrong, by example, for paired comparisons.
        prompts: version of the prompts, see tasks/prompts.py; empty: the task's own.
        shares: each kind's share where there are several, and "pass@k" where answers were drawn.
        isolation: what held the programs that a model wrote, see Isolation in sandbox/run.py; empty: none ran.
        chance, majority: what is reached without reading the question, see evaluation/floors.py; None: nothing is.
        confusion: class -> what was said of its examples ("" for what is no class) -> how often, where answers are
            classes.
        loss: None where no example has a response to be likely, and of results that are older than it.
    """

    task: str
    split: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    seconds: float
    parts: dict[str, float] = field(default_factory=dict)
    outcomes: tuple[float, ...] = ()
    prompts: str = ""
    shares: dict[str, Share] = field(default_factory=dict)
    isolation: str = ""
    loss: Loss | None = None
    chance: float | None = None
    majority: float | None = None
    confusion: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def floor(self) -> float | None:
        """The higher of chance and majority."""
        return max((each for each in (self.chance, self.majority) if each is not None), default=None)

    @property
    def recall(self) -> dict[str, Share]:
        """Class -> share of its examples that were recognised."""
        counts = {each: (said.get(each, 0), sum(said.values())) for each, said in self.confusion.items()}
        return {each: Share(right / n, *wilson(right, n), n) for each, (right, n) in counts.items()}


@dataclass(frozen=True)
class Output:
    """One example as it was scored, kept for reading."""

    prompt: str
    expected: str
    output: str
    correct: float
    kind: str = ""


@dataclass(frozen=True)
class Memory:
    """The most memory that a training needs at a time, bytes by what they are for.

    Attributes:
        base: weights and buffers. adapter: A, the trained values and where they stand in B.
        activations: what the forward pass keeps for the backward pass.
        working: what lives beside at the worst moment: logits, the loss, gradients of activations.
        parameters: of the base. trained: of the adapter.
    """

    base: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    working: int
    parameters: int
    trained: int

    @property
    def total(self) -> int:
        return self.base + self.adapter + self.gradients + self.optimizer + self.activations + self.working


@dataclass(frozen=True)
class Training:
    """One training stage. losses: one a step, nats a response token."""

    steps: int
    losses: tuple[float, ...]
    tokens: int
    seconds: float
    trained_parameters: int
    optimizer_bytes: int
    examples: int
    dropped: int  # examples longer than max_length


@dataclass(frozen=True)
class MaskSnapshot:
    """The mask that would result at one step of calibration. jaccard: with the look before; None for the first."""

    step: int
    jaccard: float | None
    kept: dict[str, float]  # module -> kept fraction


@dataclass(frozen=True)
class Calibration:
    """How the mask came about."""

    task: str
    sparsity: float
    looks: tuple[MaskSnapshot, ...]
    training: Training
    stopped_early: bool
    kept: dict[str, float]  # module -> kept fraction of the final mask


@dataclass(frozen=True)
class MaskLayout:
    """Where a mask keeps entries.

    Attributes:
        name: of the adapter. sparsity: fraction of all entries at zero.
        kept: module -> kept fraction. outputs: module -> rows of its B.
        calibrated: the dense run is there, so that the mask of any sparsity can be had.
    """

    name: str
    sparsity: float
    kept: dict[str, float]
    outputs: dict[str, int]
    calibrated: bool


@dataclass(frozen=True)
class MaskPair:
    """What two masks share. shared, left, right: module -> entries of both, of the one, of the other.

    entries: module -> entries of B.
    """

    names: tuple[str, str]
    shared: dict[str, int]
    left: dict[str, int]
    right: dict[str, int]
    entries: dict[str, int]


@dataclass(frozen=True)
class MaskGrid:
    """A stretch of one B, pooled: a cell is `step` neighbouring outputs of one column of B; with step 1, the bits.

    Attributes:
        first: output at which it begins. outputs: rows of the whole B.
        panels: "kept", or of two masks "shared", "left" (only in the first), "right" -> rank rows of kept fractions.
        by_output: panel -> kept fraction of each cell's outputs, over all ranks. by_rank: panel -> of each rank.
    """

    names: tuple[str, ...]
    module: str
    outputs: int
    first: int
    step: int
    panels: dict[str, tuple[tuple[float, ...], ...]]
    by_output: dict[str, tuple[float, ...]]
    by_rank: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Magnitudes:
    """How large the entries of a dense run's B are, and which of them a mask keeps.

    Attributes:
        name: of the adapter whose mask it is. sparsity: fraction of all entries at zero.
        edges: of the bins, log10 |B|, one more than there are bins. kept, held: entries in each bin.
        smaller: entries below the first edge, zeros too, all of them held. threshold: the smallest |B| that is kept.
        larger: entries held although they are as large as that: groups have thresholds of their own, and values near
            the threshold were rounded when the run was kept.
    """

    name: str
    sparsity: float
    edges: tuple[float, ...]
    kept: tuple[int, ...]
    held: tuple[int, ...]
    smaller: int
    threshold: float
    larger: int


@dataclass(frozen=True)
class PairMatrix:
    """Something measured for each pair of tasks, beside what chance would give.

    Attributes:
        names: row and column names, T of them.
        values: T x T; None where it is not defined.
        null_mean, null_sd: T x T, the value that independent adapters of the same width, rank and mask would show.
        z: T x T, (value - null_mean) / null_sd; None on the diagonal.
        even_mean: of masks, T x T: the value by counts alone, if no output were preferred; empty: not known.
        related_mean: of cosines, T x T: what tasks that are as related as these show under independent A; empty: not
            known, for want of adapters that share one A.
    """

    measure: str  # "cosine" | "jaccard" | "principal_angle" | "function" | "forecast"
    names: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    null_mean: tuple[tuple[float | None, ...], ...] = ()
    null_sd: tuple[tuple[float | None, ...], ...] = ()
    z: tuple[tuple[float | None, ...], ...] = ()
    by_module: dict[str, tuple[tuple[float | None, ...], ...]] = field(default_factory=dict)
    even_mean: tuple[tuple[float | None, ...], ...] = ()
    related_mean: tuple[tuple[float | None, ...], ...] = ()


@dataclass(frozen=True)
class Spectrum:
    """What a task and others feed into one module, and what an A reads of it.

    Directions of the module's input, by falling energy of the task, in groups; energies are shares of a task's whole.

    Attributes:
        rank: rows of A.
        directions: of each group the first and the last, counted from 1.
        own: the task's energy in each group. others: the mean over the other tasks.
        read: share of each group's directions that lie in what A reads.
        read_of_own, read_of_others: share of the energy that lies in what A reads.
    """

    module: str
    task: str
    rank: int
    directions: tuple[tuple[int, int], ...]
    own: tuple[float, ...]
    others: tuple[float, ...]
    read: tuple[float, ...]
    read_of_own: float
    read_of_others: float


@dataclass(frozen=True)
class Attribution:
    """One token of an answer: how far its logit is from the bare base's, and which adapter moved it by how much.

    Attributes:
        token: that all adapters together write. instead: what the bare base finds likeliest at that place.
        moved: logit of the token with all adapters, merged as they are used, less that of the bare base.
        parts: of each adapter.
    """

    token: str
    instead: str
    moved: float
    parts: tuple[float, ...]

    @property
    def residual(self) -> float:
        """What the parts do not account for."""
        return self.moved - sum(self.parts)

    @property
    def differs(self) -> bool:
        """Whether the bare base would write another token."""
        return self.token != self.instead


@dataclass(frozen=True)
class Lens:
    """What several adapters do to one prompt, see evaluation/lens.py.

    Attributes:
        names, weights: of the adapters, T of them.
        alone, merged: module -> root mean square over the prompt's tokens of ‖weight dW_t x‖ of each adapter t, while
            only t is in place, and while all are. base: module -> the same of ‖W x‖ on the bare base.
        answer: what all together write, as far as there is an attribution.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    alone: dict[str, tuple[float, ...]]
    merged: dict[str, tuple[float, ...]]
    base: dict[str, float]
    answer: str
    attributions: tuple[Attribution, ...]


@dataclass(frozen=True)
class SingleResult:
    """One task learned by one method with one seed."""

    task: str
    method: str
    seed: int
    score: Score
    validation: Score
    trained_parameters: int
    file_bytes: int | None  # None: nothing is stored (full fine-tuning)
    seconds: float
    update_ratio: float | None  # ||dW|| / ||W|| over the adapted modules
    training: Training
    calibration: Calibration | None = None  # the dense run that gave LoRI-S its mask
    shared_projection: bool = False  # the control: one A for all tasks
    samples: tuple[Output, ...] = ()


@dataclass(frozen=True)
class MergedResult:
    """The adapters of all tasks merged into one, by one merge method, at the weight that was best on validation."""

    tasks: tuple[str, ...]
    method: str  # of the adapters: lora | lori_d | lori_s | lori_d_conditioned | lori_s_conditioned
    merge: str  # concat | linear | ...
    shared_projection: bool
    seed: int
    weight: float
    validation: dict[str, float]  # weight (as text) -> mean validation score
    scores: dict[str, Score]  # task -> test score
    retention: dict[str, float]  # task -> (merged - base) / (single - base)
    # the same with every adapter at weight 1, which is searched nowhere; empty: of a result that did not measure it
    scores_at_one: dict[str, Score] = field(default_factory=dict)
    retention_at_one: dict[str, float] = field(default_factory=dict)
    loss_retention: dict[str, float] = field(default_factory=dict)  # the same of the fall of the held-out loss


@dataclass(frozen=True)
class MergeTrial:
    """Adapters merged into one, scored on each one's task.

    Attributes:
        weights: of the adapters, those that were taken.
        validation: scale of the weights (as text) -> mean validation score; empty where there was one scale only.
        base, before, after: test scores by task of the bare base, of the task's own adapter, of the merged one.
        groups: group of modules -> scale of each adapter's weight, where these were searched one by one.
        climbed: the mean validation score that they reach; tried: merges scored for it, beside those of validation.
    """

    tasks: tuple[str, ...]
    adapters: tuple[str, ...]
    merge: str
    weights: tuple[float, ...]
    validation: dict[str, float]
    base: dict[str, Score]
    before: dict[str, Score]
    after: dict[str, Score]
    groups: dict[str, tuple[float, ...]] = field(default_factory=dict)
    climbed: float | None = None
    tried: int = 0


@dataclass(frozen=True)
class WeightedMerges:
    """Merges of two or three adapters at many weights, forecast from footprints (method/triangle.py).

    weights: of each merge one an adapter, which sum to 1. ratios: of each merge, by task, the amplitude of what the
    other adapters do to the task's inputs over that of its own; None where its own has no weight.
    """

    names: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    ratios: tuple[tuple[float | None, ...], ...]

    @property
    def worst(self) -> tuple[float | None, ...]:
        """Of each merge the ratio of the task that is disturbed most; None where one has no adapter of its own."""
        return tuple(None if None in row else max(each for each in row if each is not None) for row in self.ratios)

    @property
    def least(self) -> int:
        """Place of the merge whose worst ratio is the smallest."""
        return min(range(len(self.weights)), key=lambda place: (self.worst[place] is None, self.worst[place] or 0))


@dataclass(frozen=True)
class ContinualResult:
    """Tasks learned one after another. matrix[i][j]: score on task j after learning task i (row 0: the first task).

    forgetting: task -> best earlier score minus the final one; learned: task -> score right after it was learned.
    """

    order: tuple[str, ...]
    method: str
    overlap: str
    seed: int
    matrix: tuple[tuple[float, ...], ...]
    scores: tuple[tuple[Score, ...], ...]
    forgetting: dict[str, float]
    mask_overlap: tuple[float, ...]  # share of each mask's entries that earlier masks hold too
    later_rate: float = 1.0  # share of its learning rate at which each task after the first was learned
    later_masks: str = "continued"  # how LoRI-S found the masks of those tasks: config.LaterMasks
    learning_rate: float | None = None  # of those tasks; None: of a result that does not say
    beside: bool = False  # each task has factors of its own, the earlier ones frozen beside it (training/beside.py)
    # task -> final loss minus the best earlier one, nats
    loss_forgetting: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyResult:
    """All that `lori study` measured; figures/ and report/ draw it."""

    base: str
    tasks: tuple[str, ...]
    config: dict[str, Any]  # the StudyConfig as JSON
    base_scores: dict[str, Score]
    singles: tuple[SingleResult, ...]  # each task had an A of its own
    merges: tuple[MergedResult, ...]
    continual: tuple[ContinualResult, ...]
    interference: tuple[tuple[str, PairMatrix], ...]  # (method, matrix), first seed
    mask_shapes: dict[str, tuple[int, int]]  # module -> (out_features, rank)
    seconds: dict[str, float]  # stage -> wall time
    samples: dict[str, tuple[Output, ...]]  # task -> a few outputs of its adapter
    versions: dict[str, str]
    notes: tuple[str, ...] = ()  # translation keys of what a reader has to know
    controls: tuple[SingleResult, ...] = ()  # LoRI-D adapters that share one A
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)  # task -> reason -> rows, see Task.dropped
    # device, precision, processor, cores, system: where it was measured; empty, as `finished`, in older results
    machine: dict[str, str] = field(default_factory=dict)
    finished: str = ""  # when, ISO 8601, UTC


@dataclass(frozen=True)
class SweepCell:
    """One method at one point of a sweep's grid: means over tasks and seeds of score and 95 % interval.

    Attributes:
        point: the values of the axes' fields, in their order, as they were typed.
    """

    point: tuple[str, ...]
    method: str
    value: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class SweepResult:
    """A study over a grid.

    Attributes:
        axes: field -> its values.
        units: how many there are, of which `finished` are in the cells.
    """

    axes: dict[str, tuple[str, ...]]
    cells: tuple[SweepCell, ...]
    units: int
    finished: int


def to_json(result: Any) -> str:
    """A result dataclass as JSON text; NaN stays NaN (a diverged run must show)."""
    return json.dumps(asdict(result), ensure_ascii=False, indent=1)


def from_json(kind: type[ResultType], text: str) -> ResultType:
    """The dataclass back from to_json's text."""
    return from_plain(kind, json.loads(text))


def from_plain(kind: type[ResultType], values: Any) -> ResultType:
    """The dataclass back from its asdict()."""
    return TypeAdapter(kind).validate_python(values)
