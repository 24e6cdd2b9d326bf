"""GGUF files as bases: llama.cpp's format, weights in blocks of few bits with tokenizer and chat template in one file.

Weights are unpacked once, while loading; what computes from then on is a plain model in bf16 or fp32. How the file
stores them is recorded, since a rounded copy of a checkpoint is not that checkpoint: see fingerprint.py.
"""

from importlib.util import find_spec
from pathlib import Path

from transformers.integrations.gguf.reader import read_gguf_metadata

from lori_core.errors import ModelError

_WHOLE = ("ALL_F32", "F16", "BF16")  # file types whose weights are as they were


def stored_as(file: Path) -> str | None:
    """How most of the file's weights are stored, by llama.cpp's name: "Q4_1", "Q4_K_M"; None: whole.

    The whole header is read, so that a count that leads beyond the file's end is refused here: the reader that
    transformers has for most architectures would count on.

    Raises:
        ModelError: the package gguf is not installed, or the model lies in several files.
        Exception: whatever a damaged header makes of the reader.
    """
    if find_spec("gguf") is None:
        raise ModelError("gguf_missing", name=file)
    from gguf import LlamaFileType

    metadata, _ = read_gguf_metadata(str(file))
    if (parts := metadata.get("split.count", 1)) > 1:
        raise ModelError("gguf_in_parts", name=file, parts=parts)
    names = {each.value: each.name.removeprefix("MOSTLY_") for each in LlamaFileType}
    name = names.get(metadata.get("general.file_type", LlamaFileType.GUESSED), LlamaFileType.GUESSED.name)
    return None if name in _WHOLE else name
