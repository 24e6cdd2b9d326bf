"""Attempts: how often something may be tried in a while, counted by who tries; what is over is refused without work."""

import time
from collections import deque
from collections.abc import Callable, Hashable

MOST_KEYS = 10_000  # that are remembered: whoever forges addresses must not fill the memory


class Attempts:
    """At most `most` attempts of each key in `seconds`; a success is taken back."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self.seconds, self._clock = most, seconds, clock
        self._times: dict[Hashable, deque[float]] = {}  # in the order of their newest attempt

    def take(self, key: Hashable) -> bool:
        """Counts an attempt; False, and nothing is counted, where there were too many."""
        now, times = self._clock(), self._times.pop(key, deque())
        while times and times[0] <= now - self.seconds:
            times.popleft()
        self._times[key] = times
        if len(times) >= self.most:
            return False
        times.append(now)
        if len(self._times) > MOST_KEYS:
            del self._times[next(iter(self._times))]
        return True

    def take_back(self, key: Hashable) -> None:
        """Uncounts the newest attempt."""
        if times := self._times.get(key):
            times.pop()
