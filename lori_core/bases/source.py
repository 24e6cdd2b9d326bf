"""Source of a base: where a name leads, and whether a model is there. Needs no torch."""

import re
from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

from lori_core.assets import ASSETS
from lori_core.errors import ModelError

CONFIG = "config.json"
PATIENCE = 10.0  # seconds for the hub's answer


def source_of(name: str) -> str | Path:
    """What to load from: a folder that holds a config.json, or a hub id; raises ModelError for any other folder."""
    if name == "embedded":
        path = ASSETS / "base"
    elif (path := Path(name).expanduser()).is_dir() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        pass
    else:
        return name
    if not (path / CONFIG).is_file():
        raise ModelError("no_model_folder", path=path)
    return path


def check_base(name: str, revision: str | None = None) -> str | Path:
    """source_of() of a base that is there. Of a hub id the cache is asked, then once the hub.

    The hub's own client asks an address that does not answer twice six times over, most of a minute.

    Raises:
        ModelError: neither has it, or the hub does not answer.
    """
    source = source_of(name)
    if isinstance(source, Path) or isinstance(try_to_load_from_cache(source, CONFIG, revision=revision), str):
        return source
    try:
        get_hf_file_metadata(hf_hub_url(source, CONFIG, revision=revision), timeout=PATIENCE)
    except Exception as error:  # of whatever library the client asks with
        raise ModelError("hub_not_loadable", name=name, reason=str(error).strip()) from error
    return source
