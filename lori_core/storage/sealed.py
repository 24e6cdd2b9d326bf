"""Sealed folders: a JSON header with the checksum of a tensors' file and its own, refused where a byte is changed.

The header is exactly what text_of() gives of its content, so that no bit of the file can change unnoticed.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lori_core.files import write_atomic


def write_sealed(header: Path, content: Mapping[str, Any], tensors: Path, data: bytes) -> None:
    """Both files. content: the header without its own checksum; it holds that of data, the tensors' file."""
    write_atomic(tensors, data)
    write_atomic(header, text_of({**content, "checksum": checksum_of(content)}))


def text_of(content: Mapping[str, Any]) -> str:
    """The header's file, to the byte."""
    return json.dumps(content, ensure_ascii=False, indent=1)


def checksum_of(content: Mapping[str, Any]) -> str:
    """sha256 of the content."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
