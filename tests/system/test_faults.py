"""Real processes really killed, disks that are really full: what is on disk afterwards, and that work can go on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lori_core.errors import RunError, StorageError
from lori_core.files import is_locked, locked, read_lines_from
from lori_core.study.runs import Run

fcntl = pytest.importorskip("fcntl", reason="kills and mounts as POSIX has them")


@contextmanager
def until_killed(script: str, *arguments: object) -> Iterator[str]:
    """Runs a Python script up to its first printed line, which is the value; kills it with -9 after the block."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def on_small_disk(script: str, folder: Path, kilobytes: int = 64) -> str:
    """What a Python script prints that runs with a disk of that size mounted on `folder`, visible to it alone."""
    mount = f'mount -t tmpfs -o size={kilobytes}k none "$1"'
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    try:
        subprocess.run([*unshare, mount, "sh", folder], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("this system lets no user mount a disk of their own")
    command = [*unshare, f'{mount} && exec "$2" -c "$3" "$1"', "sh", folder, sys.executable, script]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_kill_during_a_write_leaves_the_old_file(tmp_path):
    script = """
import os, sys, time
from lori_core import files
files.write_atomic(sys.argv[1], "old")
os.fsync = lambda descriptor: (print("syncing", flush=True), time.sleep(600))
files.write_atomic(sys.argv[1], "new")
"""
    with until_killed(script, tmp_path / "file") as line:
        assert line == "syncing"
    assert (tmp_path / "file").read_text() == "old"


def test_a_kill_during_a_folder_leaves_none(tmp_path):
    script = """
import sys, time
from lori_core.files import folder_atomic
with folder_atomic(sys.argv[1]) as folder:
    (folder / "file").write_text("half")
    print("writing", flush=True)
    time.sleep(600)
"""
    with until_killed(script, tmp_path / "version") as line:
        assert line == "writing"
    assert not (tmp_path / "version").exists()


def test_a_write_to_a_full_disk_says_so_and_leaves_the_old_file_alone(tmp_path):
    script = """
import os, sys
from lori_core.errors import StorageError
from lori_core.files import folder_atomic, write_atomic
path = sys.argv[1] + "/file"
write_atomic(path, "old")
try:
    write_atomic(path, b"x" * 100_000)
except StorageError as error:
    print(error.key, path in str(error))
try:
    with folder_atomic(sys.argv[1] + "/folder") as folder:
        (folder / "small").write_text("fits")
        (folder / "large").write_bytes(b"x" * 100_000)
except StorageError as error:
    print(error.key)
print(open(path).read(), os.listdir(sys.argv[1]))
"""
    assert on_small_disk(script, tmp_path).splitlines() == ["disk_full True", "disk_full", "old ['file']"]


def test_lines_appended_until_the_disk_is_full_are_whole_and_go_on_when_there_is_room(tmp_path):
    script = """
import sys
from pathlib import Path
from lori_core.errors import StorageError
from lori_core.files import append_line, read_lines_from
folder = Path(sys.argv[1])
(folder / "ballast").write_bytes(b"x" * 8_000)
line, written = "y" * 999, 0
try:
    while True:
        append_line(folder / "lines", line)
        written += 1
except StorageError as error:
    print(error.key)
size = (folder / "lines").stat().st_size
(folder / "ballast").unlink()
append_line(folder / "lines", line)
print(written > 10, size == 1000 * written, read_lines_from(folder / "lines", 0)[0] == [line] * (written + 1))
"""
    assert on_small_disk(script, tmp_path).splitlines() == ["disk_full", "True True True"]


def test_a_run_on_a_full_disk_fails_with_the_disk_s_error_and_can_go_on_when_there_is_room(tmp_path):
    script = """
import sys
from pathlib import Path
from lori_core.errors import StorageError
from lori_core.study.runs import Run
folder = Path(sys.argv[1])
run = Run.create(folder, "study", {})
ballast = folder / "ballast"
try:
    with run.start():
        with open(ballast, "wb", buffering=0) as file:
            while file.write(b"x" * 4096) == 4096:
                pass
except OSError as error:
    print(type(error).__name__, run.state())
ballast.unlink(missing_ok=True)
with run.start():
    pass
print(run.state())
"""
    first, second = on_small_disk(script, tmp_path).splitlines()
    assert first in ("OSError failed", "OSError orphaned")  # whether the event still fitted
    assert second == "finished"


def test_a_read_only_disk_is_named(tmp_path):
    script = """
import os, subprocess, sys
from lori_core.errors import StorageError
from lori_core.files import append_line, folder_atomic, locked, write_atomic
folder = sys.argv[1]
write_atomic(folder + "/file", "old")
subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
def in_folder():
    with folder_atomic(folder + "/folder"):
        pass
def under_lock():
    with locked(folder + "/lock"):
        pass
for action in (lambda: write_atomic(folder + "/file", "new"), lambda: append_line(folder + "/file", "new"), in_folder,
               under_lock):
    try:
        action()
    except StorageError as error:
        print(error.key, end=" ")
print(os.listdir(folder), open(folder + "/file").read())
"""
    assert on_small_disk(script, tmp_path) == "not_writable " * 4 + "['file'] old"


def test_a_file_above_the_user_s_limit_is_refused_whole(tmp_path):
    script = """
import os, resource, sys
from lori_core.errors import StorageError
from lori_core.files import append_line, read_lines_from, write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for action in (write_atomic, append_line):
    try:
        action(sys.argv[1] + "/" + action.__name__, "x" * 2000)
    except StorageError as error:
        print(error.key, end=" ")
print(os.listdir(sys.argv[1]), read_lines_from(sys.argv[1] + "/append_line", 0)[0])
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "file_too_large file_too_large ['append_line'] []\n"


HOLD = """
import sys, time
from lori_core.files import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_names_its_holder_and_dies_with_it(tmp_path):
    lock = tmp_path / "lock"
    script = HOLD.replace('"held"', "__import__('os').getpid()")
    with until_killed(script, lock) as pid:
        assert is_locked(lock)
        with pytest.raises(StorageError) as caught, locked(lock):
            pytest.fail("the lock is held")
        assert caught.value.values == {"path": lock, "pid": pid}
    assert not is_locked(lock)
    with locked(lock):
        pass


def test_looking_at_a_lock_is_not_taken_for_holding_it(tmp_path):
    with locked(tmp_path / "lock"):
        pass
    with open(tmp_path / "lock") as look:
        fcntl.flock(look, fcntl.LOCK_SH)  # as is_locked() of another process does for an instant
        assert not is_locked(tmp_path / "lock")


def test_a_lock_dies_with_its_process_even_where_a_forked_worker_lives_on(tmp_path):
    script = """
import os, sys, time
from lori_core.files import locked
with locked(sys.argv[1]):
    if os.fork() == 0:
        print(os.getpid(), flush=True)
    time.sleep(600)
"""
    with until_killed(script, tmp_path / "lock") as child:
        assert is_locked(tmp_path / "lock")
    try:
        os.kill(int(child), 0)  # it lives
        assert not is_locked(tmp_path / "lock")
    finally:
        os.kill(int(child), signal.SIGKILL)


def test_a_run_whose_process_is_killed_is_orphaned_and_can_be_started_again(tmp_path):
    run = Run.create(tmp_path, "study", {})
    script = """
import sys, time
from lori_core.study.runs import Run
run = Run.open(sys.argv[1])
with run.start():
    run.emit({"kind": "step", "step": 1})
    print("running", flush=True)
    while True:
        run.emit({"kind": "tick"})
"""
    with until_killed(script, run.path) as line:
        assert line == "running"
        assert run.state() == "running"
        with pytest.raises(RunError) as caught, run.start():
            pytest.fail("another process runs it")
        assert caught.value.key == "run_in_use"
        run.request_stop()
    assert run.state() == "orphaned"
    with run.start():
        assert not run.stop_requested()  # the request was made to the process that is gone
        run.emit({"kind": "step", "step": 2})
    assert run.state() == "finished"
    assert [event["step"] for event in run.events() if event["kind"] == "step"] == [1, 2]
    assert all(line.startswith("{") and line.endswith("}") for line in read_lines_from(run.path / "events.jsonl", 0)[0])


def test_an_adapter_that_does_not_fit_on_the_disk_is_not_there_at_all(tmp_path):
    script = """
import os, sys
from lori_core.method.adapter import blank
from lori_core.config import AdapterConfig
from lori_core.errors import StorageError
from lori_core.storage.adapter_files import load_adapter, save_adapter
adapter = blank("math", {"layer": (8192, 16)}, AdapterConfig(rank=16))
try:
    save_adapter(adapter, sys.argv[1] + "/adapter")  # 128 KiB of signs and fractions
except StorageError as error:
    print(error.key, os.listdir(sys.argv[1]))
"""
    assert on_small_disk(script, tmp_path) == "disk_full []"


@pytest.mark.parametrize("kilobytes", [64, 136, 140])  # the weights do not fit, or what is written after them
def test_a_merged_base_that_does_not_fit_on_the_disk_is_not_there_at_all(tmp_path, kilobytes):
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[1] / "support")!r})
import tiny
from lori_core.bases.merged_base import export_merged_base
from lori_core.errors import StorageError
base = tiny.base()
try:
    export_merged_base(base, tiny.start(base), sys.argv[1] + "/merged", ["a"])
except StorageError as error:
    print(error.key, os.listdir(sys.argv[1]))
"""
    assert on_small_disk(script, tmp_path, kilobytes) == "disk_full []"
