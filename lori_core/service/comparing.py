"""Interference between adapters of a shelf, measure by measure, beside the same tasks' adapters with one shared A."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from lori_core.errors import IncompatibleAdapters
from lori_core.evaluation.probe import cross_talk
from lori_core.method import metrics
from lori_core.method.adapter import Adapter, check_base
from lori_core.method.overlap_null import same_projection
from lori_core.results import PairMatrix
from lori_core.service.base_cache import BaseCache
from lori_core.service.names import told_apart
from lori_core.service.origins import origin_of
from lori_core.service.shelf import Shelf
from lori_core.storage.adapter_files import load_adapter
from lori_core.study.layout import control_of
from lori_core.tasks.chat import in_chat
from lori_core.tasks.registry import load_task

Some = Annotated[list[str], Field(min_length=2, max_length=8)]


class Interference:
    """Questions about several adapters at once."""

    def __init__(self, shelf: Shelf, bases: BaseCache) -> None:
        self.shelf, self.bases = shelf, bases

    def in_weights(self, references: Some) -> Iterator[dict[str, Any]]:
        """{"own": PairMatrix, "control": PairMatrix or None} for each measure that says something here."""
        adapters, controls = self._adapters(references), self._controls(references)
        if any(map(metrics.keeps_less, adapters)):
            yield _answer(metrics.mask_overlap(adapters))
        yield _answer(metrics.cosine_matrix(adapters, controls), metrics.cosine_matrix(controls) if controls else None)
        yield _answer(metrics.principal_angles(adapters), metrics.principal_angles(controls) if controls else None)

    def in_function(self, references: Some) -> Iterator[dict[str, Any]]:
        """The same of cross_talk on the adapters' own tasks; loads their base."""
        origins = [origin_of(self.shelf, reference) for reference in references]
        for reference, origin in zip(references, origins, strict=True):
            if not origin.task:
                raise IncompatibleAdapters("no_one_task", reference=reference)
        adapters, controls = self._adapters(references), self._controls(references)
        base = self.bases.base(origins[0].base)
        for adapter in adapters:
            check_base(adapter, base.record)
        tasks = tuple(load_task(origin.task, origins[0].base.allow_code_execution) for origin in origins)
        if origins[0].base.chat:
            base, tasks = in_chat(base, tasks)

        def measured(some: Sequence[Adapter]) -> PairMatrix:
            return cross_talk(base.model, base.tokenizer, some, tasks)  # as a study asks, so that both say one number

        yield _answer(measured(adapters), measured(controls) if controls else None)

    def _adapters(self, references: Sequence[str]) -> list[Adapter]:
        """With names that tell them apart."""
        loaded = [load_adapter(folder) for folder in self.shelf.folders(references)]
        names = told_apart([adapter.name for adapter in loaded], references)
        return [replace(adapter, name=name) for adapter, name in zip(loaded, names, strict=True)]

    def _controls(self, references: Sequence[str]) -> list[Adapter] | None:
        """Adapters of the same tasks that share one A; None where one is missing, or they are of several seeds."""
        folders = [shared_beside(Path(folder)) for folder in self.shelf.folders(references)]
        found = [folder for folder in folders if folder is not None]
        if len(set(found)) < len(references):
            return None
        controls = [load_adapter(folder) for folder in found]
        return controls if all(_same_projections(controls[0], each) for each in controls[1:]) else None


def shared_beside(folder: Path) -> Path | None:
    """The control of an adapter: LoRI-D of the same run or ready-made task, but with the A that all tasks share."""
    found = control_of(folder)
    return found if found != folder and (found / "adapter.json").is_file() else None


def _same_projections(one: Adapter, other: Adapter) -> bool:
    """Whether every module has the same A in both: a study draws another shared A for each seed."""
    return one.factors.keys() == other.factors.keys() and all(
        same_projection(factors.A, other.factors[module].A) for module, factors in one.factors.items()
    )


def _answer(own: PairMatrix, control: PairMatrix | None = None) -> dict[str, Any]:
    return {"own": asdict(own), "control": None if control is None else asdict(control)}
