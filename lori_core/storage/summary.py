"""Summary of a saved adapter: what a list shows of it, from its header alone. Needs no torch."""

from dataclasses import dataclass
from typing import Any

from lori_core.storage.header import StoredAdapter

_BYTES = {"bf16": 2, "fp32": 4}


@dataclass(frozen=True)
class Summary:
    """One adapter.

    Attributes:
        saved: when, UTC; like everything that its record does not say it is empty then.
        fingerprint: of the base's weights.
        mask: its id; None: none, every entry of B was trained.
        method: lora | lori_d | lori_s, the latter two also with _shared or _conditioned, or the method of a merge.
        peft_bytes: what its tensors would take in PEFT's format at the same precision.
        scores: task, split, value, low, high, n ... of each that its record knows.
        parents: name, and version and id where known, of those that it was made from.
        order: of an adapter that learned one task after another, the tasks; empty for any other.
    """

    id: str = ""
    saved: str = ""
    base: str = ""
    revision: str = ""
    fingerprint: str = ""
    mask: str | None = None
    task: str = ""
    method: str = ""
    imported: bool = False
    rank: int = 0
    sparsity: float = 0.0
    peft_bytes: int = 0
    scores: tuple[dict[str, Any], ...] = ()
    parents: tuple[dict[str, Any], ...] = ()
    order: tuple[str, ...] = ()


def summary_of(header: StoredAdapter, identity: str) -> Summary:
    """identity: what read_header() gives beside the header."""
    record, modules = header.record, header.modules.values()
    rank = max((module.rank for module in modules), default=0)
    cells = sum(module.out_features * module.rank for module in modules)
    named = record.get("base")
    base = named if isinstance(named, dict) else {}
    return Summary(
        id=identity,
        saved=_text(record.get("saved")),
        base=_text(base.get("name")),
        revision=_text(base.get("revision")),
        fingerprint=_text(base.get("fingerprint")),
        mask=header.mask,
        task=_text(record.get("task")),
        method=method_of(header),
        imported="imported" in record,
        rank=rank,
        sparsity=1 - sum(module.kept for module in modules) / max(cells, 1),
        peft_bytes=_BYTES[header.dtype] * sum(rank * (each.in_features + each.out_features) for each in modules),
        scores=tuple(dictionaries(record.get("scores"))),
        parents=tuple(dictionaries(record.get("parents"))),
        order=_order(header),
    )


def dictionaries(rows: Any) -> list[dict[str, Any]]:
    """Records are free: what is no list of dictionaries counts as empty."""
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list | tuple) else []


def _text(value: Any) -> str:
    """Records are free: what is no text is shown as one."""
    return "" if value is None else str(value)


def method_of(header: StoredAdapter) -> str:
    """As Summary has it."""
    config, merge = header.config, header.record.get("merge")
    if isinstance(merge, dict):
        return str(merge.get("method", ""))
    if config.train_projection:
        return "lora"  # its A is trained, whatever it began with
    another = "_shared" if config.shared_projection else "_conditioned" if config.projection == "conditioned" else ""
    return f"{config.method}{another}"


def _order(header: StoredAdapter) -> tuple[str, ...]:
    """Tasks in the order in which one adapter learned them; a sequence calls what it leaves "safety+math"."""
    parents, task = dictionaries(header.record.get("parents")), str(header.record.get("task", ""))
    if "merge" in header.record or len(parents) != 1 or not header.name.endswith(f"+{task}"):
        return ()
    return (*header.name.removesuffix(f"+{task}").split("+"), task)
