"""Client of service/worker.py, whose process starts with the first question and again after a crash or a rest."""

import json
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lori_core
from lori_core.errors import LoRIError, StorageError

REST = 600.0  # seconds without a question after which the process ends and gives its memory back
MORE, ENOUGH = "more", "enough"


class Worker:
    """One process for a store, its runs, its exports and folders of bases; questions wait for one another."""

    def __init__(self, store: Path, runs: Path, exports: Path, *bases: Path, rest: float = REST) -> None:
        self._command = [sys.executable, "-m", "lori_core.service.worker", *map(str, (store, runs, exports, *bases))]
        self._process: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()
        self._rest, self._alarm = rest, threading.Timer(0, self.close)

    def ask(self, operation: str, **arguments: Any) -> Any:
        """What the operation returns; raises the LoRIError that it raised, StorageError where the process crashed."""
        with self._asking():
            return self._answer(operation, arguments)["result"]

    def stream(self, operation: str, **arguments: Any) -> Generator[Any, None, None]:
        """What the operation yields, each as soon as it is there; a stream that is closed ends the operation too."""
        with self._asking():
            answer = self._answer(operation, arguments)
            try:
                while "part" in answer:
                    yield answer["part"]
                    answer = self._exchange(operation, MORE)
            except GeneratorExit:
                self._exchange(operation, ENOUGH)
                raise

    def close(self) -> None:
        """End the process; the next question starts another."""
        with self._turn:
            self._alarm.cancel()
            if self._process is not None:
                self._process.communicate()  # closes its input, at which it ends
                self._process = None

    @contextmanager
    def _asking(self) -> Iterator[None]:
        with self._turn:
            self._alarm.cancel()
            try:
                yield
            finally:
                self._alarm = threading.Timer(self._rest, self.close)
                self._alarm.daemon = True
                self._alarm.start()

    def _answer(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return self._exchange(operation, json.dumps({"operation": operation, "arguments": arguments}))

    def _exchange(self, operation: str, line: str) -> dict[str, Any]:
        """A line to a line."""
        process = self._running()
        assert process.stdin and process.stdout
        try:
            print(line, file=process.stdin, flush=True)
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            process.communicate()  # closes its pipes
            self._process = None
            raise StorageError("worker_crashed", operation=operation, code=process.returncode)
        found = json.loads(answer)
        if "error" in found:
            key, values = found["error"]
            raise LoRIError(key, **values)
        return found

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
