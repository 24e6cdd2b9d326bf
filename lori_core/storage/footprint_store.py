"""Footprints of a store: versions that are whole or absent and never change, beside those of adapters.

    <root>/.footprints/<name>/<number>/      a footprint's folder (footprint_files.py); numbers count from 1

A reference is "name" (the newest) or "name@3". The store's lock and its folder of what is being written serve here too;
nothing of the store empties this folder.
"""

import time
from dataclasses import replace
from pathlib import Path

from lori_core.errors import AdapterError, LoRIError
from lori_core.files import locked, move_folder
from lori_core.method.footprint import Footprint
from lori_core.storage.diff import FootprintDifference, footprint_difference
from lori_core.storage.footprint_files import load_footprint, save_footprint
from lori_core.storage.store import PATIENCE, being_written, checked_name, next_number, numbers_in


class FootprintStore:
    """The footprints in a store's folder, which is made by the first save."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.place = self.root / ".footprints"

    def save(self, footprint: Footprint) -> str:
        """Keeps the footprint as the newest version of its name; returns its reference.

        Raises:
            StorageError: the name cannot be a folder's, or the disk refused.
        """
        name = checked_name(footprint.name)
        saved = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with being_written(self.root) as place:
            save_footprint(replace(footprint, record=footprint.record | {"saved": saved}), place / "version")
            with locked(self.root / ".lock", PATIENCE):
                number = next_number(self.place / name)
                move_folder(place / "version", self.place / name / str(number))
        return f"{name}@{number}"

    def load(self, reference: str) -> Footprint:
        """The footprint, every checksum checked; its record's "version" and "id" say which it is.

        Raises:
            AdapterError: there is no such version, or anything in it is not as it was saved.
        """
        folder = self.folder(reference)
        footprint = load_footprint(folder)
        return replace(footprint, record=footprint.record | {"version": f"{folder.parent.name}@{folder.name}"})

    def folder(self, reference: str) -> Path:
        """The folder of a version; raises AdapterError where there is none."""
        name, _, wanted = reference.partition("@")
        numbers = numbers_in(self.place / checked_name(name))
        number = wanted or str(max(numbers, default=""))
        if number not in map(str, numbers):
            known = " ".join(f"@{each}" for each in sorted(numbers)) or "-"
            raise AdapterError("no_footprint_version", reference=reference, path=self.root, known=known)
        return self.place / name / number

    def folders(self, name: str) -> list[Path]:
        """Of all versions of that name, the newest first."""
        place = self.place / checked_name(name)
        return [place / str(number) for number in sorted(numbers_in(place), reverse=True)]

    def references(self) -> list[str]:
        """Of all versions, by name and number."""
        names = sorted(path.name for path in self.place.glob("*"))
        return [f"{name}@{number}" for name in names for number in sorted(numbers_in(self.place / name))]

    def verify(self) -> dict[str, LoRIError]:
        """reference -> what is wrong with it, for every version that does not load."""
        wrong: dict[str, LoRIError] = {}
        for each in self.references():
            try:
                self.load(each)
            except LoRIError as error:
                wrong[each] = error
        return wrong

    def diff(self, left: str, right: str) -> FootprintDifference:
        """What differs between two versions, and how far their moments are apart."""
        return footprint_difference(self.folder(left), self.folder(right))
