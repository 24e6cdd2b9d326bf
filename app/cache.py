"""TTL cache: an answer that many readers ask for again and again is found out by one of them, for all."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any


class TtlCache:
    """Answers as old as each question allows; older ones are forgotten when another is kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Hashable, tuple[float, Any]] = {}  # question -> until when, answer

    def of(self, question: Hashable, seconds: float, find_out: Callable[[], Any]) -> Any:
        """The answer, at most that old; who asks while it is found out waits for it."""
        with self._lock:
            now = time.monotonic()
            if question not in self._kept or self._kept[question][0] <= now:
                self._kept = {known: kept for known, kept in self._kept.items() if kept[0] > now}
                answer = find_out()
                self._kept[question] = time.monotonic() + seconds, answer
            return self._kept[question][1]
