"""A made-up StudyResult with the real structure, drawn by a seeded generator: for the tests of figures and report."""

import random
from dataclasses import replace

from lori_core.results import (
    Calibration,
    ContinualResult,
    MaskSnapshot,
    MergedResult,
    Output,
    PairMatrix,
    Score,
    SingleResult,
    StudyResult,
    Training,
)

TASKS = ("nlu", "math", "code", "safety")
METHODS = ("lora", "lori_d", "lori_s", "lori_d_conditioned", "lori_s_conditioned")
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LEVEL = {"nlu": 0.9, "math": 0.55, "code": 0.6, "safety": 0.93}
PARAMETERS = {"lora": 1_048_576, "lori_d": 524_288, "lori_s": 52_429}
PARAMETERS |= {f"{method}_conditioned": PARAMETERS[method] for method in ("lori_d", "lori_s")}
PRICE = {"lora": 0.0, "lori_d": 0.01, "lori_s": 0.03, "lori_d_conditioned": 0.02, "lori_s_conditioned": 0.04}
LOST = {"lora": 0.2, "lori_d": 0.08, "lori_s": 0.1, "lori_d_conditioned": 0.01, "lori_s_conditioned": 0.02}


def modules(layers: int = 4) -> list[str]:
    return [
        f"model.layers.{layer}.{'self_attn' if name[0] in 'qkvo' else 'mlp'}.{name}"
        for layer in range(layers)
        for name in PROJECTIONS
    ]


def score(random_: random.Random, task: str, level: float, split: str = "test", n: int = 200) -> Score:
    value = min(max(level + random_.gauss(0, 0.02), 0.0), 1.0)
    half = 1.96 * (value * (1 - value) / n) ** 0.5 + 0.005
    return Score(task, split, "accuracy", value, max(value - half, 0.0), min(value + half, 1.0), n, 3.0)


def training(random_: random.Random, method: str, steps: int = 80) -> Training:
    losses = tuple(0.3 + 2.5 * 0.95**step + abs(random_.gauss(0, 0.05)) for step in range(steps))
    return Training(steps, losses, 90_000, 41.0, PARAMETERS[method], 8 * PARAMETERS[method], 1000, 3)


def calibration(random_: random.Random, task: str) -> Calibration:
    kept = {module: random_.betavariate(1.5, 13.5) for module in modules()}
    looks = tuple(
        MaskSnapshot(step, None if step == 20 else 1 - 8 / step + random_.uniform(-0.02, 0.02), kept)
        for step in range(20, 100, 20)
    )
    return Calibration(task, 0.9, looks, training(random_, "lori_d"), False, kept)


def single(random_: random.Random, task: str, method: str, seed: int) -> SingleResult:
    level = LEVEL.get(task, 0.7) - PRICE[method]
    return SingleResult(
        task,
        method,
        seed,
        score(random_, task, level),
        score(random_, task, level, "validation", 100),
        PARAMETERS[method],
        2 * PARAMETERS[method],
        52.0,
        0.04,
        training(random_, method),
        calibration(random_, task) if method.startswith("lori_s") else None,
    )


def merge(random_: random.Random, tasks: tuple[str, ...], method: str, seed: int, shared: bool) -> MergedResult:
    lost = LOST[method] + 0.15 * shared
    at_one = min(1.0, lost if method.endswith("conditioned") else 4 * lost)
    scores = {task: score(random_, task, LEVEL.get(task, 0.7) - lost) for task in tasks}
    validation = {f"{w}": 0.7 - lost - (w - 0.5) ** 2 for w in (0.3, 0.5, 0.8, 1.0)}
    return MergedResult(
        tasks,
        method,
        "concat",
        shared,
        seed,
        0.5,
        validation,
        scores,
        {task: 1 - lost for task in tasks},
        {task: score(random_, task, LEVEL.get(task, 0.7) - at_one) for task in tasks},
        {task: 1 - at_one for task in tasks},
    )


def sequence(random_: random.Random, order: tuple[str, ...], method: str, seed: int) -> ContinualResult:
    drop = 0.15 if method == "lora" else 0.05

    def cell(i: int, j: int) -> Score:
        return score(random_, order[j], LEVEL.get(order[j], 0.7) - drop * (i - j) if i >= j else 0.2)

    scores = tuple(tuple(cell(i, j) for j in range(len(order))) for i in range(len(order)))
    matrix = tuple(tuple(cell.value for cell in row) for row in scores)
    forgetting = {task: max(row[j] for row in matrix[j:]) - matrix[-1][j] for j, task in enumerate(order[:-1])}
    beside = method.endswith("conditioned")
    overlap, shared = ("exclude", ()) if beside else ("allow", (0.0,) + (0.1,) * (len(order) - 1))
    return ContinualResult(order, method, overlap, seed, matrix, scores, forgetting, shared, beside=beside)


def pair_matrix(random_: random.Random, tasks: tuple[str, ...], measure: str, null: float, spread: float) -> PairMatrix:
    size = range(len(tasks))
    values = [[1.0 if i == j else 0.0 for j in size] for i in size]
    for i in size:
        for j in range(i):
            values[i][j] = values[j][i] = random_.gauss(null + spread, 2 * spread)
    z = tuple(tuple(None if i == j else (values[i][j] - null) / spread for j in size) for i in size)
    constant = [
        tuple(tuple(None if i == j else part for j in size) for i in size) for part in (null, spread, 0.9 * null)
    ]
    even = constant[2] if measure == "jaccard" else ()
    return PairMatrix(measure, tasks, tuple(map(tuple, values)), constant[0], constant[1], z, even_mean=even)


def forecast(random_: random.Random, tasks: tuple[str, ...], level: float) -> PairMatrix:
    """Both ways differ; chance has a mean and no spread."""
    size = range(len(tasks))
    values = tuple(tuple(1.0 if i == j else level * random_.uniform(0.5, 1.5) for j in size) for i in size)
    null, none = (tuple(tuple(None if i == j else part for j in size) for i in size) for part in (0.95, None))
    return PairMatrix("forecast", tasks, values, null, none, none)


def example(tasks: tuple[str, ...] = TASKS, seeds: tuple[int, ...] = (0, 1), merges: bool = True) -> StudyResult:
    """Four tasks, five methods, two seeds, four layers of seven projections, unless told otherwise."""
    random_ = random.Random(0)
    order = tuple(sorted(tasks, key=lambda task: task != "safety"))
    null = {"cosine": (0.0, 0.009), "jaccard": (0.0526, 0.004), "function": (0.9, 0.05)}
    shared = (False, True) if merges else ()
    return StudyResult(
        base="embedded",
        tasks=tasks,
        config={"base": "embedded", "tasks": list(tasks), "adapter": {"rank": 8, "sparsity": 0.9}},
        base_scores={task: score(random_, task, 0.22) for task in tasks},
        singles=tuple(single(random_, task, m, seed) for task in tasks for m in METHODS for seed in seeds),
        merges=tuple(merge(random_, tasks, m, seed, s) for m in METHODS for seed in seeds for s in shared),
        continual=tuple(sequence(random_, order, m, seed) for m in METHODS for seed in seeds) if len(tasks) > 1 else (),
        interference=tuple(
            (method, pair_matrix(random_, tasks, measure, *null[measure]))
            for measure in null
            for method in METHODS
            if measure != "jaccard" or method.startswith("lori_s")
        )
        + tuple(
            (method, forecast(random_, tasks, 0.15 if method.endswith("conditioned") else 1.0))
            for method in METHODS[1:]
        ),
        mask_shapes={module: (64, 8) for module in modules()},
        seconds={"singles": 1250.0, "merges": 90.5, "continual": 300.0},
        samples={task: (Output(f"question : {task} ?\nreply :", " (b) owl", " (b) owl", 1.0),) for task in tasks},
        versions={"lori_core": "0.1.0", "torch": "2.13.0"},
    )


def classified() -> StudyResult:
    """Three methods of it, the task nlu in two classes; LoRI-D is best on validation."""
    singles = []
    for each in example().singles:
        if each.method in (methods := ("lora", "lori_d", "lori_s")):
            at = methods.index(each.method)
            confusion = {"no": {"no": 20, "yes": at}, "yes": {"yes": 10 + each.seed, "": 10 - each.seed}}
            score = replace(each.score, confusion=confusion if each.task == "nlu" else {})
            singles.append(replace(each, score=score, validation=replace(score, value=(0.5, 0.9, 0.7)[at])))
    return replace(example(), singles=tuple(singles))


def in_part(
    tasks: tuple[str, ...], seeds: tuple[int, ...], methods: tuple[str, ...], parts: frozenset[str]
) -> StudyResult:
    """A study of these methods that holds, of what a study can leave out, these parts alone."""
    whole = example(tasks, seeds, merges=len(tasks) > 1)
    own = [method for method in methods if method != "full"]
    control = "controls" in parts and len(tasks) > 1 and bool(own)

    def kept(method: str, shared: bool = False) -> bool:
        return control and method == "lori_d" if shared else method in own

    singles = [each for each in whole.singles if each.method in own]
    if "full" in methods:
        singles += [replace(each, method="full", file_bytes=None, calibration=None)
                    for each in whole.singles if each.method == "lora"]  # fmt: skip
    if "masks" not in parts:
        singles = [replace(each, calibration=None) for each in singles]
    shared = [replace(each, shared_projection=True) for each in whole.singles if each.method == "lori_d"]
    interference = [(method, matrix) for method, matrix in whole.interference if method in own]
    if "forecast" not in parts:
        interference = [(method, matrix) for method, matrix in interference if matrix.measure != "forecast"]
    merges = [m for m in whole.merges if "merges" in parts and kept(m.method, m.shared_projection)]
    if "weight 1" not in parts:
        merges = [replace(each, scores_at_one={}, retention_at_one={}) for each in merges]
    if control:
        interference = [
            (method, replace(each, related_mean=each.null_mean))
            if (method, each.measure) == ("lori_d", "cosine")
            else (method, each)
            for method, each in interference
        ]
        interference += [
            ("lori_d_shared", matrix)
            for method, matrix in whole.interference
            if method == "lori_d" and matrix.measure != "forecast"
        ]
    found = replace(
        whole,
        singles=tuple(singles),
        controls=tuple(shared) if control else (),
        merges=tuple(merges),
        continual=tuple(each for each in whole.continual if "sequences" in parts and each.method in own),
        interference=tuple(interference) if "interference" in parts and len(tasks) > 1 else (),
        samples=whole.samples if "samples" in parts else {task: () for task in tasks},
    )
    return replace(found, seconds={stage: time for stage, time in whole.seconds.items() if getattr(found, stage)})


def diverged(result: StudyResult, at: float = 0.5) -> StudyResult:
    """The same study, its first training diverged half way, or at another share of its steps."""
    first = result.singles[0]
    half = round(at * first.training.steps)
    losses = first.training.losses[:half] + (float("nan"),) * (first.training.steps - half)
    broken = replace(first, training=replace(first.training, losses=losses))
    return replace(result, singles=(broken, *result.singles[1:]))


def unsettled(result: StudyResult) -> StudyResult:
    """The same study, each mask looked at once."""
    once = [s.calibration and replace(s.calibration, looks=s.calibration.looks[:1]) for s in result.singles]
    singles = tuple(replace(each, calibration=seen) for each, seen in zip(result.singles, once, strict=True))
    return replace(result, singles=singles)


def without_room(result: StudyResult) -> StudyResult:
    """The same study, chance gave the measured value without any spread."""
    fixed = [
        (m, replace(p, null_mean=p.values, null_sd=tuple(tuple(0.0 for _ in row) for row in p.values),
                    z=tuple(tuple(None for _ in row) for row in p.values)))
        for m, p in result.interference
    ]  # fmt: skip
    return replace(result, interference=tuple(fixed))


def without_nulls(result: StudyResult) -> StudyResult:
    """The same study, what chance would give could not be determined."""
    bare = tuple((m, replace(p, null_mean=(), null_sd=(), z=())) for m, p in result.interference)
    return replace(result, interference=bare)
