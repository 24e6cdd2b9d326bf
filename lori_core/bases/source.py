"""Source of a base: where a name leads, and whether a model is there. Needs no torch."""

import re
from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

from lori_core.assets import ASSETS
from lori_core.bases.download import DOWNLOADS, downloaded
from lori_core.errors import ModelError

CONFIG = "config.json"
GGUF = ".gguf"
PATIENCE = 10.0  # seconds for the hub's answer
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")

Source = tuple[str | Path, dict[str, str]]  # a folder or a hub id, and options of the loader: "gguf_file"


def source_of(name: str) -> Source:
    """What to load from: a folder that holds a config.json, a folder with a GGUF file, or a hub id.

    Raises:
        ModelError: any other folder, or one with several GGUF files.
    """
    try:
        return _found(name)
    except (OSError, RuntimeError):  # longer than a name on a disk may be, not to be read, or of nobody's ~name
        raise ModelError("no_model_folder", path=name) from None


def _found(name: str) -> Source:
    if name == "embedded":
        path = ASSETS / "base"
    elif name in DOWNLOADS:
        path = downloaded(name)
    elif (path := Path(name).expanduser()).is_dir() or path.suffix == GGUF or not _HUB_ID.fullmatch(name):
        pass
    else:
        return name, {}
    if (path / CONFIG).is_file():
        return path, {}
    if (file := gguf_in(path)) is None:
        raise ModelError("no_model_folder", path=path)
    return file.parent, {"gguf_file": file.name}


def gguf_in(path: Path) -> Path | None:
    """The path itself where it is a GGUF file, the one that a folder holds, or None.

    Raises:
        ModelError: the folder holds several, and no name says which is meant.
    """
    if path.is_file() and path.suffix == GGUF:
        return path
    files = sorted(path.glob(f"*{GGUF}"))
    if len(files) > 1:
        raise ModelError("gguf_several", path=path, known=", ".join(file.name for file in files))
    return files[0] if files else None


def checked_source(name: str, revision: str | None = None) -> Source:
    """source_of() of a base that is there. Of a hub id the cache is asked, then once the hub.

    The hub's own client asks an address that does not answer twice six times over, most of a minute.

    Raises:
        ModelError: neither has it, or the hub does not answer.
    """
    source, options = source_of(name)
    if isinstance(source, Path):
        return source, options
    try:  # the cache too refuses what can be no id
        if not isinstance(try_to_load_from_cache(source, CONFIG, revision=revision), str):
            get_hf_file_metadata(hf_hub_url(source, CONFIG, revision=revision), timeout=PATIENCE)
    except Exception as error:  # of whatever library the client asks with
        raise ModelError("hub_not_loadable", name=name, reason=str(error).strip()) from error
    return source, options
