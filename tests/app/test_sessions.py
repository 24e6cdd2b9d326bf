"""Sessions: values of a page stay, settings of components are not copied, and what is closed or old goes."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app import sessions
from app.jobs import Jobs
from app.lab import Lab
from app.main import application
from app.sessions import Sessions, bound_sessions
from lori_core.translate import LANGUAGES


def within_a_loop(build: Callable[[], Any]) -> Any:
    """What is built; where no event loop runs, gradio makes some and closes none."""

    async def building() -> Any:
        return build()

    return asyncio.run(building())


@pytest.fixture
def page():
    """(client, sessions) of a page that counts, in a gr.State, and offers a choice more each time."""
    web = within_a_loop(counting)
    (kept,) = bound_sessions(web)
    with TestClient(web) as client:
        yield client, kept


def counting() -> FastAPI:
    with gr.Blocks(analytics_enabled=False) as blocks:
        count, pick, text = gr.State(0), gr.Dropdown(["0"]), gr.Textbox()

        def more(count: int) -> Any:
            return count + 1, gr.update(choices=[str(number) for number in range(count + 2)]), f"{count}"

        gr.Button().click(more, count, [count, pick, text], queue=False)
        gr.Button().click(lambda pick: pick, pick, text, queue=False)
        gr.Button().click(more, count, [count, pick, text])
    return gr.mount_gradio_app(FastAPI(), blocks, "/page", ssr_mode=False)


def ask(client: TestClient, session: str, handler: int = 0, data: object = None, place: str = "run/predict") -> list:
    call = {"fn_index": handler, "data": [data], "session_hash": session}
    return client.post(f"/page/gradio_api/{place}", json=call).json().get("data", [])


def test_a_session_keeps_its_values_and_changed_components_and_no_settings(page):
    client, kept = page
    assert [ask(client, session)[2] for session in ("a", "a", "b", "a")] == ["0", "1", "0", "2"]
    assert ask(client, "a", 1, "3") == ["3"]  # a choice that this session alone was offered
    assert ask(client, "b", 1, "3") == []
    for session in kept.session_data.values():
        assert session.config_values == {}


def test_the_session_that_was_not_used_for_longest_goes_where_there_are_too_many(page, monkeypatch):
    monkeypatch.setattr(sessions, "MOST", 3)
    client, kept = page
    for session in "abcad":
        ask(client, session)
    assert [*kept.session_data] == ["c", "a", "d"] and kept._used.keys() == kept.session_data.keys()
    assert ask(client, "a")[2] == "2" and ask(client, "b")[2] == "0"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pandas, where gradio counts events
def test_a_session_whose_page_was_closed_goes_with_its_answers_that_nobody_fetched(page, monkeypatch):
    client, kept = page
    queue = kept.blocks._queue
    for session in "ab":
        ask(client, session, 2, place="queue/join")
    for _ in range(600):
        if not queue.event_ids_to_events:
            break  # both are done
        time.sleep(0.1)
    kept.session_data["a"].is_closed = True
    kept.delete_all_expired_state()
    assert [*kept.session_data] == ["a", "b"]  # its browser may come back
    monkeypatch.setattr(sessions, "CLOSED", -1.0)
    kept.delete_all_expired_state()
    assert [*kept.session_data] == ["b"]
    assert "a" not in queue.pending_messages_per_session and "a" not in queue.pending_event_ids_session
    assert "b" in queue.pending_messages_per_session


def test_the_lab_bounds_its_sessions(tmp_path):
    jobs = Jobs()
    try:
        web = within_a_loop(lambda: application(Lab(tmp_path, jobs)))
    finally:
        jobs.close()
    mounted = [route.app for route in web.routes if hasattr(getattr(route, "app", None), "state_holder")]
    assert len(mounted) == len(LANGUAGES)
    for each in mounted:
        assert isinstance(each.state_holder, Sessions) and each.get_blocks().state_holder is each.state_holder
