"""Reach: what settings from outside may name: files in some folders, bases, devices.

A run's settings are wishes: adapters, a mask, a store, files of tasks, a base. Whoever may not read any file of the
machine must not read or write it by a run either, be its settings typed into a page, imported as a file, or the record
of an adapter that was handed in.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lori_core.assets import ASSETS
from lori_core.bases.download import DOWNLOADS
from lori_core.config import Config
from lori_core.errors import ConfigError
from lori_core.tasks.hub import PREFIX, id_of, is_reader
from lori_core.tasks.registry import places

DEVICE = re.compile(r"(cpu|mps|cuda)(:\d{1,2})?")
HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
HUB_DATA = re.compile(rf"{HUB_ID.pattern}(@[\w.-]+)?(#[\w-][\w./-]*)?")
SHOWN = 200  # letters of a value that a message quotes


@dataclass(frozen=True)
class Reach:
    """folders: where settings may read and write, resolved; bases: where they may find a base besides."""

    folders: tuple[Path, ...]
    bases: tuple[Path, ...] = ()

    def check(self, config: Config) -> None:
        """Raises ConfigError for the first setting that names what is out of reach; TaskError for a spec of no task."""
        for field, value in texts(config):
            if (allowed := CHECKS.get(field)) is not None and not allowed(self, value):
                key = {"base": "base_out_of_reach", "device": "device_out_of_reach"}.get(field, "path_out_of_reach")
                raise ConfigError(key, field=field, got=value[:SHOWN])

    def has_base(self, name: str) -> bool:
        """The embedded one, one to download, a hub id, or a folder or file that may be read."""
        if name == "embedded" or name in DOWNLOADS or (_is_hub_id(HUB_ID, name) and not _is_here(name)):
            return True
        return _lies_in(name, (*self.folders, *self.bases))

    def has_task(self, spec: str) -> bool:
        """Mini tasks, sets of the hub, files that may be read; raises TaskError for what is no spec of a task."""
        return all(
            _is_hub_data(name) if (name := place.removeprefix(PREFIX)) != place else self.may_read(place)
            for place in places(spec)
        )

    def may_read(self, path: str) -> bool:
        """Also what ships with the lab; a folder with links that lead out is none of ours."""
        roots = (*self.folders, ASSETS.resolve())
        return _lies_in(path, roots) and all(_lies_in(link, roots) for link in _links(path))

    def may_write(self, path: str) -> bool:
        return _lies_in(path, self.folders)


# field of a job -> whether a value of it is in reach; fields of other names hold no paths (a test walks all of them)
CHECKS: dict[str, Callable[[Reach, str], bool]] = {
    "base": Reach.has_base,
    "revision": lambda reach, revision: _is_hub_id(re.compile(r"[\w-][\w./-]*"), revision),
    "task": Reach.has_task,
    "tasks": Reach.has_task,
    "against": Reach.has_task,
    "footprints": Reach.may_read,
    "mask": Reach.may_read,
    "adapter": Reach.may_read,
    "adapters": Reach.may_read,
    "store": Reach.may_write,
    "device": lambda reach, device: DEVICE.fullmatch(device) is not None,
}


def texts(config: Config) -> Iterator[tuple[str, str]]:
    """(field, value) of every text in the settings, those of settings in settings too."""
    for field in type(config).model_fields:
        value = getattr(config, field)
        values = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
        for each in values:
            if isinstance(each, Config):
                yield from texts(each)
            elif isinstance(each, str):
                yield field, each


def _is_hub_id(pattern: re.Pattern[str], name: str) -> bool:
    return ".." not in name and pattern.fullmatch(name) is not None


def _is_hub_data(source: str) -> bool:
    """A set of the hub, and nothing that `datasets` would rather read from the folder that it works in."""
    return _is_hub_id(HUB_DATA, source) and not is_reader(source) and not _is_here(id_of(source))


def _is_here(name: str) -> bool:
    """Whether something lies at that name in the folder that this process works in."""
    try:
        return Path(name).exists()
    except OSError:  # longer than a name on a disk may be
        return False


def _lies_in(path: str, roots: tuple[Path, ...]) -> bool:
    """Whether the path, its links resolved, is in one of the folders; a relative one depends on who asks, so never."""
    try:
        place = Path(path).expanduser()
        return place.is_absolute() and any(place.resolve().is_relative_to(root) for root in roots)
    except (OSError, ValueError, RuntimeError):  # no such user, a loop of links, a name that no disk has
        return False


def _links(folder: str) -> list[str]:
    try:
        return [str(path) for path in Path(folder).expanduser().rglob("*") if path.is_symlink()]
    except (OSError, ValueError, RuntimeError):
        return []
