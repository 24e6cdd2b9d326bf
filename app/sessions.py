"""Sessions: what the server keeps of each open page, how much of it, and for how long.

gradio keeps the settings of every component of every page in each session, half a megabyte and 50 ms, for deep links;
doors.py has those closed, so a session here has none. gradio forgets a session when ten thousand others came after it;
here there are fewer, and one goes a while after its page was closed, and what its page never fetched goes with it.
"""

import time
from copy import copy

from fastapi import FastAPI
from gradio import Blocks
from gradio.routes import App
from gradio.state_holder import SessionState, StateHolder
from starlette.routing import Mount

MOST = 1000  # of a language; the one that was not used for longest goes first
CLOSED = 300.0  # seconds that one stays whose page was closed: a browser may only have lost its network


class Session(SessionState):
    """Values of gr.State and components that were changed, without the settings of all."""

    def fresh(self) -> "Session":
        """One of the same pages in which nothing has happened."""
        new = copy(self)
        new.blocks_config = copy(self.blocks_config)
        new.config_values, new.state_data, new._state_ttl = {}, {}, {}
        return new

    def __setitem__(self, key: int, value: object) -> None:
        super().__setitem__(key, value)
        self.config_values.clear()

    def _update_config(self, key: int) -> None:
        """No settings."""

    def _update_value_in_config(self, key: int, value: object) -> None:
        """No settings."""


class Sessions(StateHolder):
    """The sessions of one language, in place of gradio's."""

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        self.set_blocks(blocks)
        self._untouched = Session(blocks)
        self._used: dict[str, float] = {}  # as session_data

    def __getitem__(self, session_id: str) -> SessionState:
        with self.lock:
            session = self.session_data.setdefault(session_id, self._untouched.fresh())
            self.session_data.move_to_end(session_id)
            self._used[session_id] = time.monotonic()
            if len(self.session_data) > MOST:
                self._forget(next(iter(self.session_data)))
            return session

    def delete_all_expired_state(self) -> None:
        """Forgets what is old; gradio calls it every second."""
        old = time.monotonic() - CLOSED
        with self.lock:
            closed = [session_id for session_id, session in self.session_data.items() if session.is_closed]
            for session_id in closed:
                if self._used[session_id] < old:
                    self._forget(session_id)

    def _forget(self, session_id: str) -> None:
        self.delete_state(session_id)
        del self.session_data[session_id], self._used[session_id]
        queue = self.blocks._queue
        events = queue.pending_event_ids_session.get(session_id, set())
        if events.isdisjoint(queue.event_ids_to_events):  # nothing is being worked at: its answers wait for nobody
            queue.pending_event_ids_session.pop(session_id, None)
            queue.pending_messages_per_session.pop(session_id, None)


def bound_sessions(web: FastAPI) -> list[Sessions]:
    """Puts Sessions in place of those of each gradio app that is mounted in `web`."""
    kept = []
    for route in web.routes:
        if isinstance(route, Mount) and isinstance(route.app, App):
            route.app.state_holder = sessions = Sessions(route.app.get_blocks())
            kept.append(sessions)
    return kept
