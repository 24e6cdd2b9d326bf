"""The interface for programs, called by gradio's own client as docs/programs.md has it."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from served import serving

from app.interface import ENDPOINTS
from app.passwords import add
from lori_core.study.runs import list_runs

TRAIN = {"learning_rate": 1e-3, "steps": 2, "batch_size": 2, "warmup_steps": 0}
SMALL = {
    "tasks": ["math"], "methods": ["lori_d"], "adapter": {"rank": 4}, "train": {"lori_d": TRAIN}, "device": "cpu",
    "merge_weights": [1.0], "continual": None, "test_examples": 2, "validation_examples": 2,
}  # fmt: skip
DOCS = Path(__file__).parents[2] / "docs" / "programs.md"


def client(address: str, **how: Any) -> Client:
    return Client(f"{address}/en/", verbose=False, analytics_enabled=False, download_files=False, **how)


def finished(lab: Client, name: str) -> dict[str, Any]:
    while (state := lab.predict(name, api_name="/state"))["state"] in ("queued", "starting", "created", "running"):
        time.sleep(0.2)
    return state


def named(lab: Client) -> set[str]:
    """The endpoints that a program is told of."""
    told: Any = lab.view_api(return_format="dict", print_info=False)
    return set(told["named_endpoints"])


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """(address, token, folder) of a lab that knows no names."""
    folder = tmp_path_factory.mktemp("programs") / "lab"
    with serving(folder, "--host", "127.0.0.1") as printed:
        address, _, token = printed.partition("/?token=")
        yield address, token, folder


def test_the_client_of_the_docs_starts_a_run_and_reads_its_result(lab, monkeypatch):
    address, token, folder = lab
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.setenv("LORI_LAB", address)
    monkeypatch.setenv("LORI_TOKEN", token)
    said: dict[str, Any] = {"settings": SMALL}
    exec(compile(example.replace('settings = {"tasks": ["math", "code"]}', ""), str(DOCS), "exec"), said)
    (run,) = list_runs(folder / "runs")
    assert run.path.name == said["run"] and run.state() == "finished"
    assert said["result"]["singles"][0]["task"] == "math"
    assert said["forecast"]["tasks"] == ["math", "code"] and said["forecast"]["blends"] == [0, 0.25, 0.5, 0.75, 1]
    random, designed = said["forecast"]["values"][0][0][1], said["forecast"]["values"][-1][0][1]
    assert designed < 0.5 * random


def test_a_run_says_how_far_it_is(lab):
    address, token, _ = lab
    reached = client(address, headers={"Authorization": f"Bearer {token}"})
    name = reached.predict("study", SMALL, api_name="/start")
    state = finished(reached, name)
    assert state["state"] == "finished" and state["done"] == state["planned"] > 0 and state["seconds_left"] is None


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("start", ("dance", {}), "no kind of run 'dance'"),
        ("start", (["study"], {}), "no kind of run"),
        ("start", ("study", ["tasks"]), "StudyConfig"),
        ("start", ("study", {"tasks": []}), "tasks"),
        ("start", ("study", {"task": ["math"]}), "task"),
        ("start", ("study", SMALL | {"base": "/etc"}), "base"),
        ("start", ("study", SMALL | {"trust_remote_code": True}), "trust_remote_code"),
        ("start", ("evaluate", {"tasks": ["math"], "allow_code_execution": True}), "allow_code_execution"),
        ("start", ("train", {"task": "mine=/etc/passwd?prompt=a&response=b"}), "passwd"),
        ("state", ("../../x",), "no run"),
        ("state", ({"run": 1},), "no run"),
        ("result", ("20260101-000000-study-abcdef",), "20260101-000000-study-abcdef"),
        ("forecast", (["math"],), "tasks"),
        ("forecast", (["math", "mine=/etc/passwd?prompt=a&response=b"],), "tasks"),
    ],
)
def test_what_cannot_be_is_refused_in_words_and_leaves_nothing(lab, name, given, words):
    address, token, folder = lab
    before = [run.path for run in list_runs(folder / "runs")]
    reached = client(address, headers={"Authorization": f"Bearer {token}"})
    with pytest.raises(AppError) as refused:
        reached.predict(*given, api_name=f"/{name}")
    assert words in str(refused.value) and "Traceback" not in str(refused.value)
    assert [run.path for run in list_runs(folder / "runs")] == before


def test_without_the_token_nobody_comes_in(lab):
    address, token, _ = lab
    for headers in ({}, {"Authorization": f"Bearer {token}x"}, {"Authorization": f"Basic {token}"}):
        with pytest.raises(Exception, match=r"403|Could not fetch"):
            client(address, headers=headers)


def test_a_user_s_program_sees_her_own_runs_only(tmp_path):
    passwords = tmp_path / "passwords"
    for name in ("aiko", "bo"):
        add(passwords, name, f"password of {name}")
    with serving(tmp_path / "lab", "--auth-file", str(passwords), idle=True) as address:
        aiko, bo = (client(address, httpx_kwargs={"auth": (n, f"password of {n}")}) for n in ("aiko", "bo"))
        name = aiko.predict("study", SMALL, api_name="/start")
        assert aiko.predict(name, api_name="/state")["state"] == "queued"
        with pytest.raises(AppError, match=name):
            bo.predict(name, api_name="/state")


def test_a_lab_that_anybody_on_the_network_reaches_offers_no_interface(tmp_path):
    with serving(tmp_path / "lab", "--host", "0.0.0.0", "--no-auth", idle=True) as printed:
        reached = client(printed.replace("0.0.0.0", "127.0.0.1"))
        assert not named(reached)


def test_the_endpoints_are_the_only_named_ones(lab):
    address, token, _ = lab
    reached = client(address, headers={"Authorization": f"Bearer {token}"})
    assert named(reached) == {f"/{name}" for name in ENDPOINTS}
