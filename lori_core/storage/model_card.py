"""Model card: the README.md of an exported folder, in English: what it is, what was measured, what it is not.

Its head is the YAML that model hubs read: https://huggingface.co/docs/hub/model-cards
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import TypeAdapter, ValidationError

from lori_core.assets import ASSETS
from lori_core.files import write_atomic
from lori_core.method.adapter import Adapter
from lori_core.results import Score

_SCORE = TypeAdapter(Score)

# What opens the folder -> the format that an adapter is in; None: a base with the adapter in its weights.
Library = Literal["peft", "llama.cpp", "mlx", "transformers", "gguf"]
_FORMATS: dict[Library, str | None] = {
    "peft": "PEFT's format",
    "llama.cpp": "llama.cpp's format (GGUF)",
    "mlx": "MLX's format",
    "transformers": None,
    "gguf": None,
}

MAX_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM takes for --max-lora-rank


@dataclass(frozen=True)
class Drift:
    """What rounding a merged base's weights did to its logits, against the base with the adapter beside it.

    Attributes:
        max_abs, mean_abs: of the differences, over all positions and the whole vocabulary.
        kl: KL(adapter beside the base ‖ merged), nats, mean over positions.
        positions: tokens of all prompts.
    """

    max_abs: float
    mean_abs: float
    kl: float
    prompts: int
    positions: int


def write_beside(folder: Path, card: str, files: Mapping[str, str] | None) -> None:
    """What every export has beside its weights: the card as README.md, and more files by their names."""
    for name, text in {"README.md": card, **(files or {})}.items():
        write_atomic(folder / name, text)


def model_card(
    adapter: Adapter,
    library: Library,
    scores: Sequence[Score] = (),
    drift: Drift | None = None,
    dtype: str = "",
) -> str:
    """Markdown with a YAML head.

    Args:
        library: what opens the folder.
        scores: none: those of the record, as versions of a store have them.
        drift, dtype: of such a base.
    """
    pages = Environment(
        loader=FileSystemLoader(ASSETS), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    pages.filters["cell"] = _cell
    base = _base(adapter)
    return pages.get_template("model_card.md").render(
        adapter=adapter,
        library=library,
        format=_FORMATS[library],
        base=base,
        hub_base=base["name"] if _is_hub_id(base["name"]) else None,
        rank=_rank(adapter),
        facts=_facts(adapter, base),
        scores=scores or _recorded(adapter.record),
        drift=drift,
        dtype=dtype,
        lori=not adapter.config.train_projection,
        sparse=adapter.config.sparsity > 0,
        merged="merge" in adapter.record,
    )


def _facts(adapter: Adapter, base: dict[str, Any]) -> list[tuple[str, str]]:
    """The rows of the table; what the record does not say is left out."""
    record = adapter.record
    kept = sum(factors.values.numel() for factors in adapter.factors.values())
    entries = sum(factors.mask.numel() for factors in adapter.factors.values())
    rows: list[tuple[str, str | None]] = [
        ("base", base["name"]),
        ("revision", base.get("revision")),
        ("fingerprint of the base's weights", base.get("fingerprint")),
        ("base while training", base.get("quantization") and f"quantised, {base['quantization']}"),
        ("method", _method(adapter)),
        ("approximated", _reduced_row(record)),
        ("tasks", ", ".join(_tasks(record)) or None),
        ("rank", _rank_row(_rank(adapter))),
        ("sparsity", f"{1 - kept / entries:.3f}: {kept:,} of B's {entries:,} entries are kept"),
        ("A", _projection_row(adapter)),
        ("training", _training_row(record)),
        *_wording_rows(record),
    ]
    return [(what, value) for what, value in rows if value]


def _recorded(record: dict[str, Any]) -> list[Score]:
    """The scores in a record, whose rows are free: what is no score is left out. A rank reduced since has none."""
    if "reduced" in record or not isinstance(rows := record.get("scores"), list):
        return []
    found = []
    for row in rows:
        with suppress(ValidationError, TypeError):
            found.append(_SCORE.validate_python({"seconds": math.nan, **row}))
    return found


def _base(adapter: Adapter) -> dict[str, Any]:
    """The record's; of a local folder the last name only, since a card is handed out."""
    base = dict(adapter.record.get("base", {}))
    name = str(base.get("name") or "an unnamed base")
    return base | {"name": name if _is_hub_id(name) else re.split(r"[/\\]", name.rstrip("/\\"))[-1]}


def _is_hub_id(name: str) -> bool:
    """As load_base takes it: a folder of that name goes first."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) is not None and not Path(name).is_dir()


def _method(adapter: Adapter) -> str:
    record, config = adapter.record, adapter.config
    if "merge" in record:
        weights = [f"{weight:g}" for weight in record["merge"]["weights"]]
        which = "mean weights" if "weights_by_module" in record["merge"] else "weights"
        return f"merge of {len(weights)} adapters: {record['merge']['method']}, {which} {', '.join(weights)}"
    learned = "LoRA" if config.train_projection else "LoRI-S" if config.sparsity > 0 else "LoRI-D"
    return f"{learned}, imported" if "imported" in record else learned


def _tasks(record: dict[str, Any]) -> list[str]:
    parents = [str(parent["name"]) for parent in record.get("parents", [])]
    return [*parents, *([str(record["task"])] if "task" in record else [])]


def _rank(adapter: Adapter) -> int:
    return max(factors.rank for factors in adapter.factors.values())


def max_lora_rank(rank: int) -> int | None:
    """The least that vLLM takes for --max-lora-rank and that holds the rank; None: none does."""
    return next((limit for limit in MAX_LORA_RANKS if limit >= rank), None)


def _rank_row(rank: int) -> str:
    needed = max_lora_rank(rank)
    serving = f"--max-lora-rank {needed}" if needed else f"too large, {MAX_LORA_RANKS[-1]} at most"
    return f"{rank} (vLLM: {serving})"


def _projection_row(adapter: Adapter) -> str | None:
    config = adapter.config
    if config.train_projection:
        return "trained"
    if "merge" in adapter.record or "imported" in adapter.record:
        return None
    return f"frozen, {config.projection_name}, seed {config.projection_seed}"


def _reduced_row(record: dict[str, Any]) -> str | None:
    if (reduced := record.get("reduced")) is None:
        return None
    return f"by rank {reduced['rank']}, relative Frobenius error {reduced['error']:.3g}"


def _training_row(record: dict[str, Any]) -> str | None:
    if (train := record.get("train")) is None:
        return None
    size = f"{train['steps']} steps of {train['batch_size']} examples"
    return f"{size}, learning rate {train['learning_rate']:g}, seed {train['seed']}"


def _wording_rows(record: dict[str, Any]) -> list[tuple[str, str | None]]:
    """What has to stand around a question, and ends an answer, as it was learned."""
    wording = record.get("wording") or {}
    chat = f"the base's own (sha256 {wording.get('chat_template')}...)" if wording.get("chat") else "none: plain text"
    return [
        ("prompts", wording.get("prompts")),
        ("prompt template", wording.get("template") and json.dumps(wording["template"], ensure_ascii=False)),
        ("system text", wording.get("system") and json.dumps(wording["system"], ensure_ascii=False)),
        ("chat template", chat if wording else None),
        ("end of an answer", wording.get("end")),
    ]


def _cell(value: object) -> str:
    """Names come from users and files: one line, and no markup or column of their own."""
    return re.sub(r"([|`<>\[\]*\\])", r"\\\1", " ".join(str(value).split()))
