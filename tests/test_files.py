"""What files.py promises while nothing fails; what it promises under kills and full disks is in test_faults.py."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lori_core.errors import StorageError
from lori_core.files import (
    append_line,
    folder_atomic,
    is_locked,
    locked,
    parse_json,
    read_file,
    read_json,
    read_lines_from,
    write_atomic,
)

lines_of_text = st.lists(st.text().filter(lambda text: "\n" not in text), max_size=5)


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "file"
    write_atomic(path, b"\x00\xff")
    write_atomic(path, "スパース")
    assert path.read_text(encoding="utf-8") == "スパース"
    assert os.listdir(path.parent) == ["file"]


def test_a_file_is_not_written_over_a_folder(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match="taken") as caught:
        write_atomic(tmp_path / "taken", "text")
    assert caught.value.key == "path_taken"
    assert os.listdir(tmp_path) == ["taken"]


def test_a_file_is_not_a_folder_to_write_into(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught:
        write_atomic(tmp_path / "file" / "inside", "text")
    assert caught.value.key == "path_taken"


def test_a_name_that_the_disk_cannot_hold_is_refused(tmp_path):
    with pytest.raises(StorageError) as caught:
        write_atomic(tmp_path / ("x" * 300), "text")
    assert caught.value.key == "name_too_long"
    assert os.listdir(tmp_path) == []


def test_a_folder_appears_only_when_its_block_is_done(tmp_path):
    path = tmp_path / "version"
    with folder_atomic(path) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("text")
        assert not path.exists()
    assert (path / "deep" / "file").read_text() == "text"
    assert os.listdir(tmp_path) == ["version"]


def test_a_folder_whose_block_fails_is_gone(tmp_path):
    with pytest.raises(KeyError), folder_atomic(tmp_path / "version") as folder:
        (folder / "file").write_text("text")
        raise KeyError
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_there_is_never_replaced(tmp_path):
    with folder_atomic(tmp_path / "version") as folder:
        (folder / "file").write_text("first")
    with pytest.raises(StorageError) as caught, folder_atomic(tmp_path / "version") as folder:
        pytest.fail("the block must not start")
    assert caught.value.key == "path_taken"
    assert (tmp_path / "version" / "file").read_text() == "first"


@given(lines_of_text)
def test_appended_lines_read_back_as_they_were(lines):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "lines")
        for line in lines:
            append_line(path, line)
        assert read_lines_from(path, 0)[0] == lines


@given(lines_of_text, st.text(min_size=1).filter(lambda text: "\n" not in text))
def test_a_torn_last_line_is_not_read_and_does_not_spoil_the_next_one(lines, torn):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "lines")
        for line in lines:
            append_line(path, line)
        with open(path, "ab") as file:
            file.write(torn.encode())
        assert read_lines_from(path, 0)[0] == lines
        append_line(path, "next")
        assert read_lines_from(path, 0)[0] == [*lines, "next"]


def test_a_lock_is_held_inside_its_block_only(tmp_path):
    path = tmp_path / "lock"
    assert not is_locked(path)
    with locked(path):
        assert is_locked(path)
        with pytest.raises(StorageError, match=f"process {os.getpid()}") as caught, locked(path):
            pytest.fail("a second block must not get in")
        assert caught.value.key == "in_use"
        assert is_locked(path)  # looking and failing must not have freed it
    assert not is_locked(path)
    with locked(path):
        with pytest.raises(StorageError) as caught, locked(path):
            pytest.fail("a second block must not get in")
        assert caught.value.values["pid"] == str(os.getpid())  # once, though the file names the first holder too


def test_a_plain_file_is_read_through_links_up_to_a_size(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_file(tmp_path / "link") == read_file(tmp_path / "file", largest=5) == b"12345"
    with pytest.raises(OSError, match="5 bytes, and at most 4"):
        read_file(tmp_path / "link", largest=4)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_plain_file_is_neither_waited_for_nor_read(make, tmp_path):
    make(tmp_path / "odd")
    with pytest.raises(OSError):
        read_file(tmp_path / "odd")


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 5000])
def test_a_name_that_is_none_is_an_OSError_as_any_other(name):
    with pytest.raises(OSError):
        read_file(name)


@pytest.mark.parametrize("text", [b'["\\ud800"]', b'["\xed\xa0\x80"]', b'{"\\udfff": 1}'])
def test_JSON_with_half_a_character_is_refused_where_it_is_read_to_be_kept(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(ValueError):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["[" * 10**5, "1" * 5000, "{", b"\xff", '{"a": 1} 2'])
def test_JSON_that_cannot_be_held_is_a_ValueError(text):
    with pytest.raises(ValueError):
        parse_json(text)
