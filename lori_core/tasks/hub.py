"""Hub data sets: read_hub("openai/gsm8k@main"), or a folder that `datasets` can load.

`datasets` runs no data set's script (as of 4.0), so a set that is a script needs a twin in Parquet; catalog.py has ids
that are. The environment variable HF_HUB_OFFLINE=1 keeps to the cache, HF_TOKEN opens gated sets.
"""

from pathlib import Path

from lori_core.errors import DataError
from lori_core.tasks.files import SPLIT_NAMES, Row

PREFIX = "hf:"


def id_of(source: str) -> str:
    """The id alone: "openai/gsm8k" of "openai/gsm8k@main#refs/convert/parquet"."""
    return source.partition("#")[0].partition("@")[0]


def is_reader(source: str) -> bool:
    """Whether `datasets` would take the id for one of its own readers, "csv" or "text".

    Such a reader asks no hub: it takes all files of its kind in and below the folder that the process works in.
    """
    if "/" in (name := id_of(source)):
        return False
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES  # takes seconds to import

    return name in _PACKAGED_DATASETS_MODULES


def read_hub(source: str) -> dict[str, list[Row]]:
    """Split -> its rows, or {"all": rows} where no split's name says what it is; else splits of other names are left.

    Args:
        source: "id", "id@config" or "id@config#revision", the revision a branch, tag or commit.
    Raises:
        DataError: there is no such set, it cannot be reached or is gated, it is a script, or a reader of files.
    """
    if is_reader(source):
        raise DataError("hub_reader", source=source)
    from datasets import load_dataset  # takes a second to import

    name, _, revision = source.partition("#")
    name, _, config = name.partition("@")
    try:
        found = load_dataset(name, config or None, revision=revision or None)
        tables = {str(split): found[split].to_list() for split in found}
    except Exception as error:  # datasets, huggingface_hub and the network raise dozens of kinds
        raise DataError("hub_data", source=source, reason=str(error).strip().split("\n")[0]) from error
    splits: dict[str, list[Row]] = {}
    for name, values in tables.items():
        split = next((known for start, known in SPLIT_NAMES.items() if name.startswith(start)), "all")
        numbered = [Row(Path(source), number, dict(value)) for number, value in enumerate(values, 1)]
        splits.setdefault(split, []).extend(numbered)
    return splits if splits.keys() == {"all"} else {split: rows for split, rows in splits.items() if split != "all"}
