"""Safetensors files whose bytes come from anybody: the tensors, and the texts beside them.

What a header claims is held against the bytes that are there before anything is allocated.
"""

from safetensors.torch import load
from torch import Tensor

from lori_core.files import LARGEST_JSON, parse_json


def read_tensors(data: bytes) -> dict[str, Tensor]:
    """name -> tensor.

    Raises:
        ValueError: they are damaged, or of a dtype that torch does not have (packed 4 bits and the like).
    """
    try:
        return load(data)
    except Exception as error:  # the reader checks with errors of its own, torch's and Python's, and with assert
        raise ValueError(f"{type(error).__name__}: {error}") from None


def read_metadata(data: bytes) -> dict[str, str]:
    """key -> text, of a file that read_tensors has read; raises ValueError where it has none or too much."""
    size = int.from_bytes(data[:8], "little")
    if size > LARGEST_JSON:
        raise ValueError(f"its header has {size:,} bytes, and at most {LARGEST_JSON:,} are read")
    return parse_json(data[8 : 8 + size]).get("__metadata__", {})
