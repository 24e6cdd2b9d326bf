"""Prompt lens: what the adapters of a shelf do to one prompt, and beside them those of the same tasks with another A.

The adapters that were looked at last are kept, so that another prompt or weight takes one look alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from lori_core.config import MOST_IN_LENS
from lori_core.errors import ConfigError
from lori_core.evaluation.lens import lens
from lori_core.method.adapter import Adapter, check_base
from lori_core.service.base_cache import BaseCache
from lori_core.service.names import told_apart
from lori_core.service.origins import origin_of
from lori_core.service.shelf import Shelf
from lori_core.service.trying import Number, Prompt, Weight, as_asked, example_of
from lori_core.storage.adapter_files import load_adapter
from lori_core.storage.header import read_header
from lori_core.storage.summary import method_of
from lori_core.study.layout import other_projection_of

References = Annotated[list[str], Field(min_length=2, max_length=MOST_IN_LENS)]


class PromptLens:
    """Looks at one prompt under several adapters at once."""

    def __init__(self, shelf: Shelf, bases: BaseCache) -> None:
        self.shelf, self.bases = shelf, bases
        self._loaded: dict[Path, tuple[str, Adapter]] = {}  # folder -> the id it had, the adapter

    def prompt_lens(
        self, references: References, prompt: Prompt, task_of: str, number: Number = 0, weight: Weight = 1.0
    ) -> Iterator[dict[str, Any]]:
        """{"lens": Lens, "own": place of task_of, "method": of all these adapters, or ""}; two where others lie beside.

        Args:
            task_of: the adapter, one of the references, whose task the prompt is of, or is held to be.
            number: of that task's example which the prompt may be.
        """
        if task_of not in references:
            raise ConfigError("not_among", got=task_of[:120], known=", ".join(references))
        folders = [Path(folder) for folder in self.shelf.folders(references)]
        beside = _other_projections(folders)
        origin = origin_of(self.shelf, references[0])
        base = self.bases.base(origin.base)
        task, example = example_of(self.shelf, task_of, number)
        base, asked = as_asked(base, task, example.prompt if example.prompt == prompt else prompt, origin.base.chat)
        (wrapped,) = asked.load("test")
        sides = [folders, beside] if beside else [folders]
        self._loaded = {folder: self._load(folder) for side in sides for folder in side}
        for side in sides:
            adapters = [self._loaded[folder][1] for folder in side]
            for adapter in adapters:
                check_base(adapter, base.record)
            names = told_apart([adapter.name for adapter in adapters], references)
            adapters = [replace(adapter, name=name) for adapter, name in zip(adapters, names, strict=True)]
            found = lens(base.model, base.tokenizer, adapters, [weight] * len(adapters), wrapped.prompt)
            methods = {method_of(read_header(folder)[0]) for folder in side}
            method = methods.pop() if len(methods) == 1 else ""
            yield {"lens": asdict(found), "own": references.index(task_of), "method": method}

    def _load(self, folder: Path) -> tuple[str, Adapter]:
        identity = read_header(folder)[1]
        known = self._loaded.get(folder)
        return known if known and known[0] == identity else (identity, load_adapter(folder))


def _other_projections(folders: Sequence[Path]) -> list[Path]:
    """Of each the adapter that has another A, see layout.py; empty where one of them has none."""
    found = [other for folder in folders if (other := other_projection_of(folder)) is not None]
    return found if len(found) == len(folders) and all((each / "adapter.json").is_file() for each in found) else []
