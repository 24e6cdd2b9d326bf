"""The queue of the app: real processes, which end, wait, survive and go on."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from app.jobs import Jobs, device_of, environment
from app.lab import Context, Lab, Workspace
from app.wording import state_of
from lori_core.config import AdapterConfig
from lori_core.errors import RunError
from lori_core.study.runs import Run, list_runs
from lori_core.study.specs import StudyConfig

LONG = StudyConfig(tasks=("math",), methods=("lori_d",), adapter=AdapterConfig(rank=4)).model_dump(mode="json")


@pytest.fixture
def jobs():
    queue = Jobs(patience=20)
    yield queue
    queue.close()


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    return False


def pid_of(run: Run) -> int:
    wait_for(lambda: run.state() == "running" and (run.path / "run.lock").read_text().isdecimal())
    return int((run.path / "run.lock").read_text())


def test_a_second_job_waits_and_starts_once_the_first_is_discarded(jobs, tmp_path):
    first, second = (jobs.submit(tmp_path, "study", LONG) for _ in range(2))
    pid = pid_of(first)
    assert [run.path for run in jobs.waiting()] == [second.path]
    jobs.discard(first)
    assert not alive(pid) and not first.path.exists()
    other = pid_of(second)
    jobs.discard(second)
    assert not alive(other) and list(tmp_path.iterdir()) == []


def test_a_run_outlives_the_app_and_the_next_one_can_stop_and_resume_it(jobs, tmp_path):
    code = """if True:
        import json, os, sys, time
        from pathlib import Path
        from app.jobs import Jobs
        run = Jobs().submit(Path(sys.argv[1]), "study", json.loads(sys.argv[2]))
        while run.state() != "running":
            time.sleep(0.05)
        os._exit(1)  # as if it was killed
    """
    subprocess.run([sys.executable, "-c", code, str(tmp_path), json.dumps(LONG)], timeout=60)
    (run,) = list_runs(tmp_path)
    jobs.watch(tmp_path)
    assert run.state() == "running" and jobs.busy() == {""}
    jobs.stop_and_keep(run)
    wait_for(lambda: run.state() == "stopped")
    wait_for(lambda: not jobs._deadlines)  # else whoever has that process's number later would be ended
    jobs.resume(run)
    pid_of(run)
    jobs.discard(run)


def test_what_cannot_be_read_or_started_is_told_once_and_the_queue_goes_on(jobs, tmp_path, caplog):
    broken = [Run.create(tmp_path, "study", LONG) for _ in range(5)]
    for number, run in enumerate(broken):
        if number < 4:
            (run.path / "queued").touch()
    (broken[0].path / "spec.json").write_bytes(b"\xff" * 10)
    (broken[1].path / "spec.json").write_bytes(b"[" * 100_000)
    (broken[2].path / "log.txt").mkdir()
    os.mkfifo(broken[3].path / "log.txt")  # who opens it waits for a reader
    (broken[4].path / "events.jsonl").write_bytes(b"\xff\n")  # does not wait, but is looked at
    (broken[4].path / "run.lock").mkdir()
    run = jobs.submit(tmp_path, "study", LONG)
    pid_of(run)
    jobs.discard(run)
    told = [record.getMessage() for record in caplog.records if record.name == "app.jobs"]
    for each in broken[:4]:
        assert len([message for message in told if each.path.name in message]) == 1


def test_the_thread_of_the_queue_survives_whatever_is_raised_in_it(jobs, tmp_path, caplog):
    jobs._folders.append("no folder")  # which has no glob()
    wait_for(lambda: any("AttributeError" in record.getMessage() for record in caplog.records))
    jobs._folders.remove("no folder")
    run = jobs.submit(tmp_path, "study", LONG)
    pid_of(run)
    jobs.discard(run)


@pytest.mark.parametrize(
    ("device", "counted"),
    [("cpu", "cpu"), ("cpu:1", "cpu"), ("cpu:2", "cpu"), ("cuda", "cuda:0"), ("cuda:01", "cuda:1"), ("mps", "mps")]
    + [(other, "") for other in (None, "", "meta", "cuda:1\n", "CPU", ["cpu"], 3)],
)
def test_a_device_is_counted_by_what_it_is_not_by_how_it_is_written(tmp_path, device, counted):
    assert device_of(Run(tmp_path, "study", {"device": device})) == counted


def test_runs_on_one_device_by_other_names_wait_for_each_other(jobs, tmp_path):
    first, *others = (jobs.submit(tmp_path, "study", LONG | {"device": name}) for name in ("cpu:1", "cpu:2", None))
    pid_of(first)
    assert [run.path for run in jobs.waiting()] == [run.path for run in others] and jobs.busy() == {"cpu"}
    for run in (*others, first):
        jobs.discard(run)


@pytest.mark.parametrize("name", ["../x", "<script>", "", "20260101-000000-study-abcdef/../..", "x" * 500])
def test_a_name_that_is_no_run_is_refused(tmp_path, name):
    with pytest.raises(RunError) as caught:
        Workspace(tmp_path, tmp_path / "exports").run(name)
    assert caught.value.key == "no_run_named"


@pytest.mark.parametrize(("cores", "threads"), [(1, "1"), (2, "1"), (16, "15")])
def test_a_job_leaves_a_core_to_the_app_unless_told_how_many_threads(monkeypatch, cores, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert environment()["OMP_NUM_THREADS"] == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert environment()["OMP_NUM_THREADS"] == "7"


def test_the_app_imports_no_torch():
    code = "import sys, app.main; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_wide_host_without_passwords_is_refused_and_nothing_is_written(tmp_path):
    lab = tmp_path / "lab"
    command = [sys.executable, "-m", "app", "--store", str(lab), "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "--no-auth" in done.stderr and not lab.exists()


def test_a_run_whose_process_still_loads_is_starting_and_cannot_be_resumed(jobs, tmp_path):
    page = Context(Lab(tmp_path / "lab", jobs), "en")
    run = jobs.submit(tmp_path / "lab" / "runs", "study", LONG)
    wait_for(lambda: not jobs.is_waiting(run))
    assert (run.state(), state_of(page, run)) == ("created", "starting")
    with pytest.raises(RunError) as caught:
        jobs.resume(run)
    assert caught.value.key == "run_in_use" and not jobs.is_waiting(run)
    pid_of(run)
    assert state_of(page, run) == "running"
    jobs.discard(run)


def test_a_job_works_in_the_folder_of_its_run_and_not_where_the_app_does(jobs, tmp_path):
    run = jobs.submit(tmp_path, "study", LONG)
    assert os.readlink(f"/proc/{pid_of(run)}/cwd") == str(run.path)
    jobs.discard(run)


def test_a_run_that_is_starting_is_stopped_at_once(jobs, tmp_path):
    run = jobs.submit(tmp_path, "study", LONG)
    wait_for(lambda: jobs.is_starting(run))
    jobs.stop_and_keep(run)
    wait_for(lambda: not jobs.is_starting(run))
    assert run.state() == "created" and run.events() == []
    jobs.discard(run)


def test_a_run_that_goes_on_elsewhere_loses_its_place_in_the_queue(jobs, tmp_path):
    run = Run.create(tmp_path, "study", LONG)
    with run.start():
        (run.path / "queued").touch()
        jobs.watch(tmp_path)
        wait_for(lambda: not jobs.is_waiting(run))
    assert [event["state"] for event in run.events()] == ["running", "finished"]
