"""Uploads: what browsers sent and what gradio copied for them goes away by itself; what is kept lies elsewhere."""

import threading
import time
from contextlib import suppress
from pathlib import Path

DAY = 24 * 3600.0  # seconds that a file stays which a page may still show
HOUR = 3600.0  # seconds between two looks


def clean(folder: Path, age: float = DAY) -> None:
    """Removes the files that were written longer ago than `age` seconds, and the folders that it leaves empty."""
    old = time.time() - age
    for path in sorted(folder.rglob("*"), reverse=True):  # what lies in a folder before the folder
        with suppress(OSError):  # it is gone already, or the folder is not empty
            if path.is_dir() and not path.is_symlink():
                if path.stat().st_mtime < old:
                    path.rmdir()
            elif path.lstat().st_mtime < old:
                path.unlink()


def keep_clean(folder: Path) -> None:
    """Cleans it now and every hour, as long as the process lives."""

    def work() -> None:
        while True:
            with suppress(OSError):
                clean(folder)
            time.sleep(HOUR)

    threading.Thread(target=work, name="uploads", daemon=True).start()
