"""Weights of a merge: what a shelf's footprints forecast of all of them at once, without the base; and footprints."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from lori_core.errors import IncompatibleAdapters, LoRIError, RunError
from lori_core.method.adapter import Adapter, check_comparable
from lori_core.method.footprint import Footprint, check_footprints
from lori_core.method.triangle import weighted_merges
from lori_core.service.base_cache import BaseCache
from lori_core.service.origins import origin_of
from lori_core.service.shelf import OF_RUNS, Shelf
from lori_core.storage.adapter_files import load_adapter
from lori_core.storage.footprint_files import load_footprint
from lori_core.storage.footprint_store import FootprintStore
from lori_core.study.layout import Layout
from lori_core.study.runs import Run
from lori_core.tasks.chat import in_chat
from lori_core.tasks.registry import load_task, name_of
from lori_core.training.footprints import task_footprint

TwoOrThree = Annotated[list[str], Field(min_length=2, max_length=3)]


class Weighing:
    """Questions about weights."""

    def __init__(self, shelf: Shelf, bases: BaseCache) -> None:
        self.shelf, self.bases = shelf, bases

    def merge_triangle(self, references: TwoOrThree, names: TwoOrThree) -> dict[str, Any]:
        """{"found": WeightedMerges} or, where there are no footprints of some tasks, {"missing": their names}.

        Args:
            names: what the adapters are called in the answer.
        Raises:
            IncompatibleAdapters: as _known() has it; what can be measured is not refused.
        """
        known = self._known(references)
        if missing := [task for _, task, footprint in known if footprint is None]:
            return {"missing": missing}
        named = [replace(adapter, name=name) for (adapter, *_), name in zip(known, names, strict=True)]
        return {"found": asdict(weighted_merges(named, [each for *_, each in known if each is not None]))}

    def measure_footprints(self, references: TwoOrThree) -> Iterator[str]:
        """Measures into the store what each adapter's task feeds into its base, where that is not known; its names."""
        for reference, (adapter, task, footprint) in zip(references, self._known(references), strict=True):
            # looked for again: an adapter before it may be of the same task
            if footprint is None and self._footprint(reference, task, adapter) is None:
                origin = origin_of(self.shelf, reference)
                base, tasks = self.bases.base(origin.base), (load_task(origin.task, origin.base.allow_code_execution),)
                if origin.base.chat:
                    base, tasks = in_chat(base, tasks)
                modules, directions = tuple(adapter.factors), adapter.config.directions
                found = task_footprint(base, tasks[0], modules, directions=directions)
                yield FootprintStore(self.shelf.store.root).save(found)

    def _known(self, references: Sequence[str]) -> list[tuple[Adapter, str, Footprint | None]]:
        """Of each the adapter, the name of its task, and the footprint, where there is one.

        One whose record has no task (of a file from elsewhere) may be called as its footprint is; a merge has neither.

        Raises:
            IncompatibleAdapters: they cannot be merged, or one has no footprint and no task to measure one of.
        """
        adapters = [load_adapter(folder) for folder in self.shelf.folders(references)]
        check_comparable(adapters)
        found = []
        for reference, adapter in zip(references, adapters, strict=True):
            task = name_of(str(adapter.record.get("task") or ""))
            name = task or ("" if "merge" in adapter.record else adapter.name)
            footprint = self._footprint(reference, name, adapter) if name else None
            if footprint is None and not task:
                raise IncompatibleAdapters("no_one_task", reference=reference)
            found.append((adapter, name, footprint))
        return found

    def _footprint(self, reference: str, task: str, adapter: Adapter) -> Footprint | None:
        """Of the adapter's own run, else the newest version in the store, of those on its base and of its modules."""
        places: list[Path] = []
        if reference.startswith(OF_RUNS):
            (folder,) = map(Path, self.shelf.folders([reference]))
            with suppress(RunError):
                run = Run.open(folder.parent.parent)
                places.append(Layout(run.path).footprint(str(_place(run.config.get("tasks"), task))))
        with suppress(LoRIError):
            places += FootprintStore(self.shelf.store.root).folders(task)
        for footprint in (load_footprint(place) for place in places if place.is_dir()):
            with suppress(IncompatibleAdapters):
                check_footprints([footprint], [adapter])
                return footprint
        return None


def _place(specs: Any, task: str) -> int | None:
    """Of a task among those of a run, which may be damaged."""
    names = [name_of(str(spec)) for spec in specs] if isinstance(specs, Sequence) else []
    return names.index(task) if task in names else None
