import json
import os
import re
import shutil
from pathlib import Path

import pytest

from lori_core.errors import RunError, Stopped, StorageError, TaskError
from lori_core.results import StudyResult
from lori_core.study.runs import LARGEST_SPEC, Run, list_runs


def states(run: Run) -> list[str]:
    return [event["state"] for event in run.events() if event["kind"] == "state"]


def test_a_new_run_opens_as_it_was_created(tmp_path):
    run = Run.create(tmp_path, "study", {"base": "../../名前", "seeds": [0, 1]})
    assert Run.open(run.path) == run
    assert json.loads((run.path / "spec.json").read_text(encoding="utf-8"))["version"] == 1
    assert run.checkpoints.is_dir()
    assert run.state() == "created"
    assert run.events() == []


def test_a_run_that_is_opened_from_inside_its_folder_has_its_name(tmp_path, monkeypatch):
    run = Run.create(tmp_path, "train", {})
    monkeypatch.chdir(run.path)
    assert Run.open(".").path == Run.open("checkpoints/..").path == run.path
    monkeypatch.chdir(tmp_path)
    assert Run.open(run.path.name).path == Path(run.path.name)  # as it was typed, which is easier to read


def test_a_run_s_folder_name_holds_nothing_that_a_user_wrote(tmp_path):
    first, second = (Run.create(tmp_path, "train", {"name": "../evil"}) for _ in range(2))
    assert first.path != second.path
    assert re.fullmatch(r"\d{8}-\d{6}-train-[0-9a-f]{6}", first.path.name)
    with pytest.raises(RunError) as caught:
        Run.create(tmp_path, "../evil", {})
    assert caught.value.key == "bad_run_kind"
    assert {path.parent for path in tmp_path.iterdir()} == {tmp_path}


def test_a_run_that_ends_is_finished_and_keeps_its_result(tmp_path):
    run = Run.create(tmp_path, "study", {})
    with pytest.raises(RunError, match="created"):
        run.result()
    with run.start() as started:
        assert started == run
        assert run.state() == "running"
        run.emit({"kind": "step", "loss": 1.5, "task": "計算"})
        run.save_result('{"score": 1}')
    assert run.state() == "finished"
    assert states(run) == ["running", "finished"]
    assert run.result() == '{"score": 1}'
    (step,) = (event for event in run.events() if event["kind"] == "step")
    assert (step["loss"], step["task"]) == (1.5, "計算")
    times = [event["time"] for event in run.events()]
    assert times == sorted(times)


def test_a_failed_run_keeps_the_message_in_a_form_that_can_be_translated(tmp_path):
    run = Run.create(tmp_path, "study", {})
    error = StorageError("disk_full", path=tmp_path)
    with pytest.raises(StorageError), run.start():
        raise error
    assert run.state() == "failed"
    failed = run.events()[-1]
    assert failed["error"] == str(error)
    again = StorageError(failed["key"], **failed["values"])
    assert again.in_language("ja") == error.in_language("ja")


def test_a_run_that_fails_by_a_mistake_of_ours_keeps_the_traceback(tmp_path):
    run = Run.create(tmp_path, "study", {})
    with pytest.raises(ZeroDivisionError), run.start():
        raise ZeroDivisionError("division by zero")
    assert run.state() == "failed"
    assert run.events()[-1]["error"] == "ZeroDivisionError: division by zero"
    assert "test_runs.py" in run.events()[-1]["traceback"]


@pytest.mark.parametrize("interruption", [Stopped("disk_full", path=""), KeyboardInterrupt()])
def test_a_run_that_was_interrupted_is_stopped_and_can_go_on(tmp_path, interruption):
    run = Run.create(tmp_path, "study", {})
    with pytest.raises(type(interruption)), run.start():
        raise interruption
    assert run.state() == "stopped"
    with run.start():
        pass
    assert states(run) == ["running", "stopped", "running", "finished"]


@pytest.mark.parametrize("steps", [0, 3, 1000])
def test_the_last_state_is_found_however_many_steps_came_after_it(tmp_path, steps):
    run = Run.create(tmp_path, "study", {})
    with pytest.raises(Stopped), run.start():
        raise Stopped("disk_full", path="")
    for step in range(steps):
        run.emit({"kind": "step", "step": step})
    assert run.state() == "stopped"


def test_a_request_to_stop_is_seen_by_whoever_runs_it_and_ends_with_the_next_start(tmp_path):
    run = Run.create(tmp_path, "study", {})
    run.request_stop()  # before its turn came
    with pytest.raises(Stopped), run.start():
        assert Run.open(run.path).stop_requested()
        raise Stopped("disk_full", path="")
    with run.start():
        assert not run.stop_requested()
        Run.open(run.path).request_stop()
        assert run.stop_requested()


def test_a_run_runs_once_at_a_time(tmp_path):
    run = Run.create(tmp_path, "study", {})
    with run.start():
        with pytest.raises(RunError) as caught, Run.open(run.path).start():
            pytest.fail("a second start must not get in")
        assert caught.value.key == "run_in_use"
        assert run.state() == "running"
    assert states(run) == ["running", "finished"]


def test_an_error_about_another_lock_inside_a_run_is_not_taken_for_the_run_s_own(tmp_path):
    run = Run.create(tmp_path, "study", {})
    with pytest.raises(StorageError), run.start():
        raise StorageError("in_use", path="device.lock", pid=1)


def test_a_lock_that_cannot_be_made_is_the_disk_s_error(tmp_path):
    run = Run.create(tmp_path, "study", {})
    (run.path / "run.lock").mkdir()
    with pytest.raises(StorageError, match=r"run\.lock"), run.start():
        pytest.fail("there is no lock")


def test_damaged_events_are_left_out_and_the_others_stay(tmp_path):
    run = Run.create(tmp_path, "study", {})
    with run.start():
        run.emit({"kind": "step", "step": 1})
    with open(run.path / "events.jsonl", "ab") as file:
        file.write(b"\0\0\0\n[1]\n" + b'{"kind": "state", "state": "fai')
    assert states(run) == ["running", "finished"]
    assert run.state() == "finished"
    run.emit({"kind": "step", "step": 2})
    assert [event["step"] for event in run.events() if event["kind"] == "step"] == [1, 2]


def test_an_event_without_a_kind_is_refused_at_once(tmp_path):
    run = Run.create(tmp_path, "study", {})
    with pytest.raises(KeyError):
        run.emit({"loss": 1.0})
    assert run.events() == []


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (None, "no_run"),
        ("{", "damaged_spec"),
        ("[]", "damaged_spec"),
        ('{"kind": "study", "config": {}}', "damaged_spec"),
        ('{"kind": "study", "version": 1, "config": []}', "damaged_spec"),
        ('{"kind": "study", "version": 2, "config": {}}', "unknown_spec_version"),
    ],
)
def test_a_folder_that_is_no_usable_run_is_refused(tmp_path, spec, key):
    if spec is not None:
        (tmp_path / "spec.json").write_text(spec)
    with pytest.raises(RunError, match=re.escape(str(tmp_path))) as caught:
        Run.open(tmp_path)
    assert caught.value.key == key


def test_runs_are_listed_newest_first_and_other_folders_are_left_out(tmp_path):
    names = ["20260102-000000-study-aaaaaa", "20260101-000000-train-ffffff"]
    for name in names:
        Run.create(tmp_path, "study", {}).path.rename(tmp_path / name)
    (tmp_path / "other").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "spec.json").write_text("{")
    assert [run.path.name for run in list_runs(tmp_path)] == names
    assert list_runs(tmp_path / "nowhere") == []


def test_values_of_an_error_that_json_cannot_hold_become_text(tmp_path):
    run = Run.create(tmp_path, "study", {})
    with pytest.raises(TaskError), run.start():
        raise TaskError("disk_full", path=tmp_path)
    assert run.events()[-1]["values"] == {"path": str(tmp_path)}


UNREADABLE = {
    "no UTF-8": b'{"kind": "study", "version": 1, "config": {"tasks": ["\xff"]}}',
    "half a surrogate pair": b'{"kind": "study", "version": 1, "config": {"tasks": ["\\uD800"]}}',
    "nested": b'{"a":' * 100_000,
    "a long number": b'{"version": ' + b"9" * 5000 + b"}",
    "too large": b'{"kind": "study", "version": 1, "config": {}}' + b" " * LARGEST_SPEC,
    "a folder": None,
}


def put(path: Path, content: bytes | None) -> None:
    """None: a folder stands where the file belongs."""
    path.mkdir() if content is None else path.write_bytes(content)


@pytest.mark.parametrize("damage", UNREADABLE)
def test_a_spec_that_cannot_be_read_is_refused_and_hides_no_other_run(tmp_path, damage):
    run = Run.create(tmp_path, "study", {})
    (tmp_path / "other").mkdir()
    put(tmp_path / "other" / "spec.json", UNREADABLE[damage])
    with pytest.raises(RunError) as caught:
        Run.open(tmp_path / "other")
    assert caught.value.key == "damaged_spec"
    assert list_runs(tmp_path) == [run]


def test_what_is_no_plain_file_is_not_opened(tmp_path):
    run = Run.create(tmp_path, "study", {})
    for name in ("events.jsonl", "result.json", "run.lock"):
        os.mkfifo(run.path / name)  # whoever opens one waits for a writer
    assert (run.state(), run.events()) == ("created", [])
    with pytest.raises(RunError) as caught:
        run.result()
    assert caught.value.key == "damaged_result"
    (run.path / "spec.json").unlink()
    os.symlink("/dev/zero", run.path / "spec.json")
    assert list_runs(tmp_path) == []


def test_a_folder_whose_name_is_no_text_is_left_out(tmp_path):
    run = Run.create(tmp_path, "study", {})
    shutil.copytree(run.path, tmp_path / os.fsdecode(b"\xff"))
    assert list_runs(tmp_path) == [run]


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind": "state", "state": "\xff"}',
        b'{"kind": "step", "time": 1, "task": "\xff\xfe"}',
        b"[" * 100_000,
        b'{"kind": "state", "time": 1}',
        b'{"kind": "state", "time": 1, "state": ["finished"]}',
        b'{"kind": "state", "time": 1e300, "state": "failed"}',
        b'{"kind": ["state"], "time": 1}',
        b'{"kind": "step", "time": NaN}',
        b"9" * 5000,
    ],
    ids=lambda line: line[:24].decode(errors="replace"),
)
def test_one_damaged_line_of_events_ends_no_reader(tmp_path, line):
    run = Run.create(tmp_path, "study", {})
    with run.start():
        pass
    with open(run.path / "events.jsonl", "ab") as file:
        file.write(line + b"\n")
    assert run.state() == "finished" and states(run) == ["running", "finished"]
    run.emit({"kind": "step", "step": 2})
    assert run.events()[-1]["step"] == 2


@pytest.mark.parametrize("content", [b"\xff", b"[", b"[]", b"[" * 100_000, b"{}", b'{"tasks": 3}'])
def test_a_result_that_is_none_is_refused_by_name(tmp_path, content):
    run = Run.create(tmp_path, "study", {})
    with run.start():
        (run.path / "result.json").write_bytes(content)
    with pytest.raises(RunError) as caught:
        run.result_as(StudyResult)
    assert caught.value.key == "damaged_result"


@pytest.mark.parametrize("error", [TaskError("bad_task_spec", spec="x" * 10**6), ValueError("x" * 10**6)])
def test_what_an_event_keeps_of_an_error_is_bounded(tmp_path, error):
    run = Run.create(tmp_path, "study", {})
    with pytest.raises(type(error)), run.start():
        raise error
    assert (run.path / "events.jsonl").stat().st_size < 50_000 and run.state() == "failed"


def test_an_event_with_a_byte_that_is_no_text_spoils_no_list(tmp_path):
    run = Run.create(tmp_path, "study", {})
    with run.start():
        run.emit({"kind": "step", "step": 1})
    with open(run.path / "events.jsonl", "ab") as file:
        file.write(b'{"kind": "step", "time": 1, "name": "caf\xe9"}\n' + b"[" * 100_000 + b"\n")
    assert [event["kind"] for event in run.events()] == ["state", "step", "state", "step"]
    assert run.state() == "finished" and [each.path for each in list_runs(tmp_path)] == [run.path]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("name", ["spec.json", "events.jsonl", "run.lock", "result.json"])
def test_what_is_no_plain_file_in_a_run_is_not_opened(tmp_path, name, make):
    run = Run.create(tmp_path, "study", {})
    with run.start():
        pass
    run.save_result("{}")
    (run.path / name).unlink()
    make(run.path / name)
    assert len(list_runs(tmp_path)) == (name != "spec.json")
    assert run.state() == ("created" if name == "events.jsonl" else "finished")
    if name == "result.json":
        with pytest.raises(RunError) as caught:
            run.result()
        assert caught.value.key == "damaged_result"


def test_a_setting_that_is_no_text_is_refused_and_no_folder_is_made(tmp_path):
    with pytest.raises(StorageError) as caught:
        Run.create(tmp_path, "study", {"base": "folder \udcff"})  # as Python reads the byte ff of a command line
    assert caught.value.key == "half_character" and "folder" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_run_whose_folder_is_removed_says_so_and_does_not_make_it_again(tmp_path):
    run = Run.create(tmp_path, "study", {})
    with pytest.raises(StorageError) as caught, run.start():
        shutil.rmtree(run.path)
        run.emit({"kind": "step", "step": 1})
    assert caught.value.key == "run_removed"
    assert not run.path.exists()


def test_a_run_keeps_the_name_and_the_note_that_its_owner_gives_and_cuts_what_is_too_long(tmp_path: Path):
    run = Run.create(tmp_path, "study", {})
    assert run.label == ("", "")
    run.set_label(" first try ", "表 " * 10_000)
    name, note = Run.open(run.path).label
    assert name == "first try" and note == ("表 " * 10_000)[: len(note)] and 0 < len(note) < 1000


@pytest.mark.parametrize("text", ["[]", '{"name": 1, "note": ""}', '{"name": "a"}', "\x00", "{"])
def test_a_label_that_is_none_is_no_label(tmp_path: Path, text: str):
    run = Run.create(tmp_path, "study", {})
    (run.path / "label.json").write_text(text)
    assert run.label == ("", "")


def test_the_span_of_a_run_is_from_its_first_event_to_its_newest(tmp_path: Path):
    run = Run.create(tmp_path, "study", {})
    assert run.span == 0
    lines = [json.dumps({"time": 100.0 + second, "kind": "step", "loss": "x" * 50}) for second in range(500)]
    (run.path / "events.jsonl").write_text("\n".join(lines) + "\n")
    assert run.span == 499
