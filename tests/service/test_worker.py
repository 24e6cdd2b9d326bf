"""The process that answers the app: it answers, refuses, ends when told, and comes back after a crash."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from app.worker import MORE, Worker
from lori_core.errors import LoRIError, StorageError
from lori_core.service import worker
from lori_core.service.shelf import Shelf


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("lab")
    for name in ("store", "runs", "exports"):
        (root / name).mkdir()
    return [root / name for name in ("store", "runs", "exports")]


@pytest.fixture(scope="module")
def client(folders):
    asked = Worker(*folders)
    yield asked
    asked.close()


def key_of(answers) -> str:
    (answer,) = answers
    return answer["error"][0]


def test_it_answers_as_the_shelf_does_and_refuses_with_its_key_and_values(client, folders):
    assert client.ask("contents") == json.loads(json.dumps(Shelf(*folders).contents()))
    with pytest.raises(LoRIError) as caught:
        client.ask("show", reference="store/none")
    assert caught.value.key == "no_version" and "none" in caught.value.in_language("ja")


@pytest.mark.parametrize(
    ("operation", "arguments", "key"),
    [
        ("_folder", {"reference": "ready/math/lori_s"}, "unknown_operation"),
        ("__init__", {}, "unknown_operation"),
        ("mask_layout", {"reference": "ready/math/lori_s", "extra": 1}, "unknown_field"),
        ("mask_layout", {}, "bad_field"),
        ("mask_layout", {"reference": {"a": 1}}, "bad_field"),
        ("mask_layout", {"reference": "ready/math/lori_s", "sparsity": 1.5}, "bad_field"),
        ("mask_grid", {"references": ["ready/math/lori_s"], "module": "m", "first": -1}, "bad_field"),
        ("mask_grid", {"references": ["ready/math/lori_s"], "module": "<script>"}, "no_module_here"),
        ("mask_pair", {"references": ["x"] * 3}, "bad_field"),
        ("mask_layout", {"reference": "run/../../etc"}, "no_such_reference"),
    ],
)
def test_what_is_not_asked_for_as_it_should_be_is_refused(client, operation, arguments, key):
    with pytest.raises(LoRIError) as caught:
        client.ask(operation, **arguments)
    assert caught.value.key == key
    assert caught.value.in_language("ja") != caught.value.in_language("en")


@pytest.mark.parametrize("line", ["", "{", "[]", '"x"', "null", '{"operation": 1, "arguments": {}}', '{"do": "show"}'])
def test_a_line_that_is_no_question_is_refused(folders, line):
    known = worker.operations(Shelf(*folders))
    assert key_of(worker.answers(known, line)) in ("bad_field", "unknown_field")


def test_a_process_that_is_killed_in_the_middle_is_told_and_the_next_question_starts_another(client):
    client.ask("check_name", name="x")
    process = client._process
    os.kill(process.pid, signal.SIGSTOP)  # so that the question is in its hands when it dies
    threading.Timer(0.3, process.kill).start()
    with pytest.raises(StorageError) as caught:
        client.ask("contents")
    assert caught.value.key == "worker_crashed" and caught.value.values["code"] == -signal.SIGKILL
    assert client.ask("contents")


def test_a_process_nobody_asks_gives_its_memory_back(folders):
    client = Worker(*folders, rest=0.2)
    client.ask("check_name", name="x")
    process = client._process
    assert process is not None
    process.wait(timeout=20)
    assert client.ask("check_name", name="x") is None
    client.close()


def test_the_process_ends_with_whoever_started_it(folders):
    command = [sys.executable, "-m", "lori_core.service.worker", *map(str, folders)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        question = json.dumps({"operation": "check_name", "arguments": {"name": "x"}})
        assert process.stdin and process.stdout
        print(question, file=process.stdin, flush=True)
        assert json.loads(process.stdout.readline()) == {"result": None}
        process.stdin.close()
        assert process.wait(timeout=20) == 0


COUNTING = """
import sys
from lori_core.service import worker

def count(to: int):
    for number in range(to):
        print("working on", number, file=sys.stderr)
        yield number

worker.operations = lambda shelf: {"count": count, "ask": lambda: "answer"}
worker.main()
"""


class Counting(Worker):
    """A worker whose one stream counts."""

    def __init__(self, folders) -> None:
        super().__init__(*folders)
        self._command = [sys.executable, "-c", COUNTING, *map(str, folders)]


def test_a_stream_comes_part_by_part_and_the_next_question_waits_for_its_end(folders):
    client = Counting(folders)
    try:
        assert list(client.stream("count", to=5)) == list(range(5))
        answered, parts = [], client.stream("count", to=3)
        next(parts)
        asking = threading.Thread(target=lambda: answered.append(client.ask("ask")))
        asking.start()
        time.sleep(0.1)
        assert not answered and list(parts) == [1, 2]
        asking.join()
        assert answered == ["answer"]
    finally:
        client.close()


def test_a_stream_that_is_closed_ends_the_work_and_mixes_no_answers(folders, capfd):
    client = Counting(folders)
    try:
        parts = client.stream("count", to=10**9)
        assert [next(parts), next(parts)] == [0, 1]
        parts.close()
        assert client.ask("ask") == "answer"
        assert "working on 3" not in capfd.readouterr().err
    finally:
        client.close()


def test_both_sides_say_more_by_the_same_word():
    assert worker.MORE == MORE
