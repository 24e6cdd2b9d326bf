"""Hooks of long work: where it reports events, how it is asked to stop, who looks on while a model trains."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from lori_core.errors import Stopped


class Watcher(Protocol):
    """Looks at the model while it trains; what it has seen is part of the checkpoint."""

    def before_step(self) -> None:
        """Parameters have the gradients of the whole batch, as they are before clipping."""
        ...

    def after_step(self, step: int) -> bool:
        """True: enough, the training may end here."""
        ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Hooks:
    """What a long piece of work reports to, and asks whether it should stop."""

    on_event: Callable[[dict[str, Any]], None] = lambda event: None
    should_stop: Callable[[], bool] = lambda: False

    def check_stop(self) -> None:
        """Raises Stopped where somebody asked for it."""
        if self.should_stop():
            raise Stopped("stopped")

    def named(self, **names: str) -> "Hooks":
        """The same, with names (task, method, stage) added to each event."""
        return Hooks(lambda event: self.on_event(names | event), self.should_stop)
