"""Client of the shelf (lori_core/shelf.py), whose process is started by the first question and again after a crash."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import lori_core
from lori_core.errors import LoRIError, StorageError


class ShelfClient:
    """One process for a store, its runs and its exports; questions wait for one another."""

    def __init__(self, store: Path, runs: Path, exports: Path) -> None:
        self._command = [sys.executable, "-m", "lori_core.shelf_process", str(store), str(runs), str(exports)]
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()

    def ask(self, operation: str, **arguments: Any) -> Any:
        """What the operation of Shelf returns; raises the LoRIError that it raised, StorageError where it crashed."""
        with self._turn:
            process = self._running()
            assert process.stdin and process.stdout
            try:
                print(json.dumps({"do": operation, "with": arguments}), file=process.stdin, flush=True)
                line = process.stdout.readline()
            except BrokenPipeError:
                line = ""
            if not line:
                process.communicate()  # closes its pipes
                raise StorageError("shelf_crashed", operation=operation, code=process.returncode)
        answer = json.loads(line)
        if "error" in answer:
            key, values = answer["error"]
            raise LoRIError(key, **values)
        return answer["result"]

    def close(self) -> None:
        """End the process; the next question starts another."""
        with self._turn:
            if self._process is not None:
                self._process.communicate()  # closes its input, at which it ends

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                cwd=Path(lori_core.__file__).parent.parent,
            )
        return self._process
