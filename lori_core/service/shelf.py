"""Shelf: all adapters of a workspace, in its store, in its runs, and those that ship. Plain values in and out.

An adapter is named by a reference: "store/NAME@3", "run/<run>/<adapter>", "ready/<task>/<variant>", or of a run that
ships "example/<run>/<adapter>". Only what is in the store can be tagged or deleted. worker.py answers with the
operations as a process.
"""

import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from lori_core.embedded.ready_made import READY_MADE, REAL_TASKS, ready_scores
from lori_core.errors import AdapterError, LoRIError, StorageError
from lori_core.files import folder_size
from lori_core.method.adapter import Adapter
from lori_core.storage.adapter_files import load_adapter
from lori_core.storage.diff import difference, entries
from lori_core.storage.header import HEADER, read_header
from lori_core.storage.model_card import model_card
from lori_core.storage.peft import export_peft
from lori_core.storage.store import AdapterStore, Version, checked_name
from lori_core.storage.summary import Summary, dictionaries, summary_of
from lori_core.storage.uploads import UploadFormat, exact_precision, read_adapters, unpack
from lori_core.study.examples import EXAMPLES, examples
from lori_core.study.layout import Layout, is_intermediate, is_sequence, score_file
from lori_core.study.reach import Reach
from lori_core.study.runs import Run, list_runs

OF_RUNS = ("run/", "example/")  # how references of adapters begin that lie in a run's folder
_IN_RUN = re.compile(r"[\w-]+/[\w+-]+")


@dataclass(frozen=True)
class Entry:
    """One adapter as a list shows it.

    Attributes:
        summary: its scores are those that its record knows, else those of its run; empty where `wrong` says why.
        wrong: (key, values) of the error where it cannot be read.
    """

    reference: str
    name: str
    tags: tuple[str, ...]
    bytes: int
    summary: Summary = field(default_factory=Summary)
    wrong: tuple[str, dict[str, Any]] | None = None

    def plain(self) -> dict[str, Any]:
        """In one piece: its own fields and the summary's."""
        return {key: value for key, value in vars(self).items() if key != "summary"} | vars(self.summary)


class Shelf:
    """The adapters of a store folder, a folder of runs, and the ready-made ones; archives are written to `exports`.

    bases: folders whose models may be bases; the record of an adapter from elsewhere may name no other.
    """

    def __init__(self, store: Path, runs: Path, exports: Path, *bases: Path) -> None:
        self.store, self.runs, self.exports = AdapterStore(store), runs, exports
        self.reach = Reach((store.resolve(), runs.resolve()), tuple(base.resolve() for base in bases))

    def contents(self) -> list[dict[str, Any]]:
        """Every Entry in one piece: the store's, newest first, those of runs, the ready-made ones, the examples'."""
        return [entry.plain() for entry in self._entries()]

    def folders(self, references: Sequence[str]) -> list[str]:
        """Where they lie."""
        return [str(self._folder(reference)) for reference in references]

    def show(self, reference: str) -> dict[str, Any]:
        """Model card, settings [(entry, text)], lineage [{name, reference or None, depth}], nearest first."""
        folder = self._folder(reference)
        header, identity = read_header(folder)
        adapter = self._with_scores(reference, load_adapter(folder))
        by_id = {entry.summary.id: entry for entry in self._entries() if entry.summary.id}
        settings = [(key, _text(value)) for key, value in entries(header)]
        lineage = list(_lineage(by_id, header.record.get("parents", ()), {identity}))
        return {"card": model_card(adapter, "peft"), "settings": settings, "lineage": lineage}

    def diff(self, left: str, right: str) -> dict[str, Any]:
        """changed: [(entry, left, right)]; projections: modules with another A; mask_jaccard, cosine or None."""
        found = difference(self._folder(left), self._folder(right))
        changed = [(key, _text(one), _text(other)) for key, (one, other) in found.changed.items()]
        return asdict(found) | {"changed": changed, "projections": len(found.projections)}

    def verify(self, reference: str) -> None:
        """Checks every checksum; raises AdapterError where anything is not as it was saved."""
        load_adapter(self._folder(reference))

    def tag(self, reference: str, tag: str) -> None:
        self.store.tag(self._stored(reference), tag)

    def delete(self, reference: str) -> None:
        """To the trash of the store, see AdapterStore.delete."""
        self.store.delete(self._stored(reference))

    def check_name(self, name: str) -> None:
        """Raises StorageError where the store cannot have it."""
        checked_name(name)

    def keep(self, reference: str, name: str) -> str:
        """An adapter of a run, or a ready-made one, as a new version in the store, with its scores; its reference."""
        adapter = self._with_scores(reference, load_adapter(self._folder(reference)))
        return f"store/{self.store.save(adapter, name, exact_precision(adapter))}"

    def take_in(self, files: Sequence[str], name: str, origin: UploadFormat | None = None) -> list[str]:
        """Uploaded files (uploads.py) as new versions of the store; all or none; their references.

        Args:
            name: in the store; empty: that of the first file.
        """
        name = checked_name(name or Path(files[0]).stem)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "adapter"
            unpack([Path(file) for file in files], folder)
            found = read_adapters(folder, name, origin)
            for suffix in found:
                checked_name(name + suffix)
            saved: list[str] = []
            try:
                for suffix, each in found.items():
                    saved.append(self.store.save(each, name + suffix, exact_precision(each)))
            except LoRIError:
                for reference in saved:
                    self.store.delete(reference)
                raise
        return [f"store/{each}" for each in saved]

    def export(self, reference: str, form: Literal["peft", "lori"]) -> str:
        """A zip archive in the exports folder: in PEFT's format, with a model card, or as the store has it."""
        folder = self._folder(reference)
        name = re.sub(r"[^\w.+-]+", "-", reference.partition("/")[2])
        target = self.exports / f"{name}-{form}.zip"
        with tempfile.TemporaryDirectory(dir=self.exports, prefix=".") as temporary:
            if form == "peft":
                adapter = self._with_scores(reference, load_adapter(folder))
                folder = Path(temporary) / "adapter"
                export_peft(adapter, folder)
            archive = Path(temporary) / target.name
            with zipfile.ZipFile(archive, "w") as written:
                for path in sorted(folder.iterdir()):
                    written.write(path, f"{name}/{path.name}")
            os.replace(archive, target)
        return str(target)

    def _folder(self, reference: str) -> Path:
        kind, _, rest = reference.partition("/")
        if kind == "store":
            return self.store.folder(rest)
        root = {"run": self.runs, "ready": READY_MADE, "example": EXAMPLES}.get(kind)
        if root is None or not _IN_RUN.fullmatch(rest):
            raise AdapterError("no_such_reference", reference=reference[:120])
        run, _, name = rest.partition("/")
        return root / run / name if kind == "ready" else Layout(root / run).adapter(name)

    def _stored(self, reference: str) -> str:
        if not reference.startswith("store/"):
            raise StorageError("not_in_store", reference=reference[:120])
        return reference.removeprefix("store/")

    def _entries(self) -> Iterator[Entry]:
        for version in reversed(self.store.versions()):
            yield _stored_entry(self.store, version)
        yield from _of_runs("run", list_runs(self.runs))
        for head in sorted(READY_MADE.glob("*/*/adapter.json"), key=lambda head: (head.parts[-3] in REAL_TASKS, head)):
            variant = head.parent
            yield _entry(f"ready/{variant.parent.name}/{variant.name}", variant.parent.name, variant)
        yield from _of_runs("example", examples())

    def _with_scores(self, reference: str, adapter: Adapter) -> Adapter:
        """With the scores of its run in its record, where the record has none."""
        scores = _run_scores(self._folder(reference))
        return replace(adapter, record={"scores": scores} | adapter.record) if scores else adapter


def _of_runs(kind: str, runs: Sequence[Run]) -> Iterator[Entry]:
    for run in runs:
        folders = (run.path / "adapters").glob("[!.]*")
        for folder in sorted(folders, key=lambda folder: (is_sequence(folder.name), folder.name)):
            if not is_intermediate(folder.name):
                yield _entry(f"{kind}/{run.path.name}/{folder.name}", folder.name, folder)


def _stored_entry(store: AdapterStore, version: Version) -> Entry:
    """Of the store, whose index knows what its folders say."""
    row, reference = version.row, f"store/{version.reference}"
    if row.summary is None:
        return _entry(reference, row.name, store.folder(version.reference), version.tags)
    return Entry(reference, row.name, version.tags, row.bytes, row.summary)


def _entry(reference: str, name: str, folder: Path, tags: tuple[str, ...] = ()) -> Entry:
    size = folder_size(folder)
    try:
        summary = _summary(folder, (folder / HEADER).stat().st_mtime_ns)
    except FileNotFoundError:
        return Entry(reference, name, tags, size, wrong=("no_adapter", {"path": folder.name}))
    except LoRIError as error:
        return Entry(reference, name, tags, size, wrong=(error.key, error.plain_values()))
    scores = summary.scores or tuple(_run_scores(folder))
    return Entry(reference, name, tags, size, replace(summary, scores=scores))


@lru_cache(maxsize=2**15)
def _summary(folder: Path, changed: int) -> Summary:
    """A list reads all of them; a saved adapter does not change as long as its time of writing (ns) does not."""
    return summary_of(*read_header(folder))


def _run_scores(folder: Path) -> list[dict[str, Any]]:
    """The test score that was written down beside the adapter, by a study, by a training, or before it shipped."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        if folder.is_relative_to(READY_MADE):
            return [ready_scores()[folder.relative_to(READY_MADE).as_posix()]]
        score = json.loads(score_file(folder).read_bytes())["score"]
        return [{key: score[key] for key in ("task", "split", "metric", "value", "low", "high", "n")}]
    return []


def _lineage(by_id: dict[str, Entry], parents: Any, seen: set[str], depth: int = 1) -> Iterator[dict[str, Any]]:
    """Parents, each followed by its own; one that was seen is not followed again."""
    for parent in dictionaries(parents):
        identity = str(parent.get("id", ""))
        known = by_id.get(identity)
        yield {
            "name": str(parent.get("version") or parent.get("name", "?")),
            "reference": known.reference if known else None,
            "depth": depth,
        }
        if known and identity not in seen:
            yield from _lineage(by_id, known.summary.parents, seen | {identity}, depth + 1)


def _text(value: Any) -> str:
    return "–" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
