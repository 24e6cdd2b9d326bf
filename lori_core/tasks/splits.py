"""Splits: which rows are learned from, and which are held back to choose and to test with.

A row's share is read from a hash of the row, not of its prompt, so that another template moves none. Rows whose prompts
differ only in how they are written (NFD, full width, white space, line ends) go together. Where files bring their own
splits, a prompt that stands in two of them leaves the one that comes earlier.
"""

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lori_core.tasks.task import SPLITS, Example

Dropped = dict[str, dict[str, int]]  # split -> reason -> rows that were left out


@dataclass(frozen=True)
class Drawn:
    """An example and its row, as near() has it."""

    example: Example
    row: str

    @property
    def prompt(self) -> str:
        return near(self.example.prompt)


def near(text: str) -> str:
    """The same for texts that differ only in composition, width and white space."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def row_text(values: Mapping[str, Any]) -> str:
    """A row in one text, whatever the order of its columns and the type of its numbers; empty cells say nothing."""
    texts = {column: near(_text(value)) for column, value in values.items()}
    return json.dumps({column: text for column, text in texts.items() if text}, sort_keys=True, ensure_ascii=False)


def _text(value: Any) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return "" if value is None else str(value)


def share(text: str) -> str:
    """The split that a text falls into: 80 % train, 10 % validation, 10 % test, the same on every machine."""
    number = int.from_bytes(hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:8], "big") % 10
    return {0: "validation", 1: "test"}.get(number, "train")


def filled(given: Mapping[str, list[Drawn]], test_only: bool) -> dict[str, list[Drawn]]:
    """All three splits. Missing ones take their share of the train split (or the next best).

    A test split is never cut, and what is there to test with is test split, whatever its files are called. Where only
    train and validation are there, validation becomes the test split: the public sets that hide their test answers
    (BoolQ, PIQA, SocialIQA, HellaSwag, WinoGrande) are compared on it.
    """
    given = dict(given)
    if "test" not in given and "validation" in given and (test_only or "train" in given):
        given["test"] = given.pop("validation")
    source = next((split for split in ("train", "all", "validation") if split in given), None)
    if test_only or source is None:
        return {"test": given.get("test") or [drawn for those in given.values() for drawn in those]}
    splits: dict[str, list[Drawn]] = {split: [] for split in SPLITS} | given | {source: []}
    shares = _shares(given[source])
    for drawn in given[source]:
        wanted = shares[drawn.prompt]
        splits[wanted if wanted == source or wanted not in given else source].append(drawn)
    return splits


def _shares(those: Iterable[Drawn]) -> dict[str, str]:
    """Prompt -> the share of its rows: that of the first one in the order of the alphabet."""
    rows: dict[str, str] = {}
    for drawn in those:
        prompt = drawn.prompt
        rows[prompt] = min(rows.get(prompt, drawn.row), drawn.row)
    return {prompt: share(row) for prompt, row in rows.items()}


def without_repeats(splits: Mapping[str, list[Drawn]], dropped: Dropped) -> dict[str, tuple[Example, ...]]:
    """Prompts of the test split leave validation and train, those of validation leave train; they are counted."""
    exact: set[str] = set()
    held: set[str] = set()
    kept: dict[str, tuple[Example, ...]] = {}
    for split in (each for each in ("test", "validation", "train") if each in splits):
        stay = []
        for drawn in splits[split]:
            if drawn.prompt in held:
                count(dropped, split, "duplicate" if drawn.example.prompt in exact else "near_duplicate")
            else:
                stay.append(drawn)
        held |= {drawn.prompt for drawn in stay}
        exact |= {drawn.example.prompt for drawn in stay}
        kept[split] = tuple(drawn.example for drawn in stay)
    return kept


def count(dropped: Dropped, split: str, reason: str) -> None:
    reasons = dropped.setdefault(split, {})
    reasons[reason] = reasons.get(reason, 0) + 1
