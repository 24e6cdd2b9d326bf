"""GGUF files as bases: llama.cpp's format, weights in blocks of few bits with tokenizer and chat template in one file.

Weights are unpacked once, while loading; what computes from then on is a plain model in bf16 or fp32. How the file
stores them is recorded, since a rounded copy of a checkpoint is not that checkpoint: see fingerprint.py.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

from transformers import modeling_gguf_pytorch_utils
from transformers.integrations.gguf.reader import read_gguf_metadata
from transformers.utils.logging import is_progress_bar_enabled

from lori_core.errors import ModelError

_WHOLE = ("ALL_F32", "F16", "BF16")  # file types whose weights are as they were
_ONE_AT_A_TIME = Lock()


def stored_as(file: Path) -> str | None:
    """How most of the file's weights are stored, by llama.cpp's name: "Q4_1", "Q4_K_M"; None: whole.

    The whole header is read, so that a count that leads beyond the file's end is refused here: the reader that
    transformers has for most architectures would count on.

    Raises:
        ModelError: the model lies in several files.
        Exception: whatever a damaged header makes of the reader.
    """
    from gguf import LlamaFileType

    metadata, _ = read_gguf_metadata(str(file))
    if (parts := metadata.get("split.count", 1)) > 1:
        raise ModelError("gguf_in_parts", name=file, parts=parts)
    names = {each.value: each.name.removeprefix("MOSTLY_") for each in LlamaFileType}
    name = names.get(metadata.get("general.file_type", LlamaFileType.GUESSED), LlamaFileType.GUESSED.name)
    return None if name in _WHOLE else name


@contextmanager
def read_once(file: Path) -> Iterator[None]:
    """Within it the file is parsed once and the names of its tensors are mapped once, whoever asks for them.

    transformers parses it for the config, for the tokenizer and for the weights, and maps the names for each module
    apart: of the 16 s that SmolLM2 took to load, 10. Both are taken from the package gguf by name, at each call. Its
    progress bar, which does not ask whether such bars are wanted, is drawn where they are.
    """
    import gguf

    instead: list[tuple[ModuleType, str, Any]] = []
    if not is_progress_bar_enabled():
        instead.append((modeling_gguf_pytorch_utils, "tqdm", lambda tensors, **_: tensors))
    with _ONE_AT_A_TIME, ExitStack() as stack:  # else one load could take another's cache for the package's own
        instead += [(gguf, name, cache(getattr(gguf, name))) for name in ("GGUFReader", "get_tensor_name_map")]
        for module, name, function in instead:
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, function)
        yield
