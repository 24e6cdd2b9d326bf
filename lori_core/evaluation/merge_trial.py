"""merge_trial(): does a merge pay? Each task scored by the bare base, its own adapter, and all adapters in one."""

from collections.abc import Callable, Sequence
from statistics import fmean

from torch import nn

from lori_core.bases.attach import applied
from lori_core.config import Split
from lori_core.errors import IncompatibleAdapters
from lori_core.method.adapter import Adapter
from lori_core.method.merge import merge
from lori_core.results import MergeTrial, Score
from lori_core.study.specs import MergeJob
from lori_core.tasks.task import Task

Scorer = Callable[[Task, Split], Score]  # of the model as it is at that moment


def merge_trial(
    model: nn.Module,
    tasks: Sequence[Task],
    adapters: Sequence[Adapter],
    job: MergeJob,
    scales: Sequence[float],
    score: Scorer,
) -> tuple[Adapter, MergeTrial]:
    """The merged adapter, and what it was measured by.

    Args:
        tasks: one for each adapter, all different.
        scales: of all weights of the job; where there are several, the best mean score on validation decides.
    Raises:
        IncompatibleAdapters: tasks and adapters do not pair up, or as merge() has it.
    """
    if len(tasks) != len(adapters):
        raise IncompatibleAdapters("tasks_count", tasks=len(tasks), adapters=len(adapters))

    def merged(scale: float) -> Adapter:
        weights = [scale * weight for weight in job.weights]
        return merge(adapters, job.method, weights, job.name, **job.options)

    def scores(adapter: Adapter, split: Split) -> dict[str, Score]:
        with applied(model, adapter):
            return {task.name: score(task, split) for task in tasks}

    first = merged(scales[0])  # what does not fit is refused before anything is scored
    base = {task.name: score(task, "test") for task in tasks}
    before = {}
    for task, adapter in zip(tasks, adapters, strict=True):
        with applied(model, adapter):
            before[task.name] = score(task, "test")
    means: dict[float, float] = {}
    if len(scales) > 1:
        means = {s: fmean(each.value for each in scores(merged(s), "validation").values()) for s in scales}
    best = max(means, key=means.__getitem__) if means else scales[0]
    adapter = merged(best) if means else first
    result = MergeTrial(
        tasks=tuple(task.name for task in tasks),
        adapters=tuple(adapter.name for adapter in adapters),
        merge=job.method,
        weights=tuple(best * weight for weight in job.weights),
        validation={f"{scale:g}": mean for scale, mean in means.items()},
        base=base,
        before=before,
        after=scores(adapter, "test"),
    )
    return adapter, result
