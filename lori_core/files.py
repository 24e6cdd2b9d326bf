"""File writes: whole or not at all, appended line by line, or under a lock. The one owner of how bytes reach the disk.

A file or folder is written under a temporary name beside its place, synced, and renamed: whoever looks sees the old
one, the new one or none, never a half. What the disk refuses is a StorageError that names the path and what to do.
"""

import errno
import json
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO, Any, BinaryIO

from lori_core.errors import LoRIError, StorageError

# errno -> key of the message; what is not here is no refusal of the disk and stays an OSError.
_REFUSALS = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EFBIG: "file_too_large",
    errno.EROFS: "not_writable",
    errno.EACCES: "not_writable",
    errno.EPERM: "not_writable",
    errno.EEXIST: "path_taken",
    errno.ENOTEMPTY: "path_taken",
    errno.ENOTDIR: "path_taken",
    errno.EISDIR: "path_taken",
    errno.ENAMETOOLONG: "name_too_long",
    errno.EIO: "disk_broken",
}

LARGEST_JSON = 2**24  # bytes of a JSON text; Python holds one in up to 24 times its bytes

_PATIENCE = 0.3  # seconds to try again: is_locked() holds the lock for an instant while it looks


def write_atomic(path: str | Path, data: bytes | str) -> None:
    """The file whole with that content (text as UTF-8), or as it was before; folders above it are made.

    Raises:
        StorageError: the disk refused, or the text holds half a character, which UTF-8 cannot.
    """
    path, data = Path(path), _encoded(data) if isinstance(data, str) else data
    with refusals(path), _beside(path) as temporary:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)


@contextmanager
def folder_atomic(path: str | Path) -> Iterator[Path]:
    """A temporary folder to fill, renamed to `path` when the block succeeds and removed when it fails.

    Raises:
        StorageError: something is at `path` already (a folder written so never changes), or the disk refused.
    """
    path = Path(path)
    with refusals(path), _beside(path) as temporary:
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        temporary.mkdir()
        yield temporary
        for folder, _, names in os.walk(temporary):
            for name in names:
                _sync(Path(folder, name))
            _sync_folder(Path(folder))
        temporary.rename(path)
        _sync_folder(path.parent)


def move_folder(source: Path, target: Path) -> None:
    """Renames a whole folder into another one on the same disk; raises StorageError where something is there."""
    with refusals(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        source.rename(target)
        _sync_folder(target.parent)
        _sync_folder(source.parent)


def named(path: str | Path) -> Path:
    """The path with the folder's own name at its end, which "." and ".." are not; one that has it stays as it is."""
    path = Path(path)
    return path.resolve() if path.name in ("", "..") else path


def folder_size(path: str | Path) -> int:
    """Bytes of all files in the folder and below it; what goes away meanwhile has none."""
    size = 0
    for folder, _, names in os.walk(path):
        for file in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):
                size += file.stat().st_size if file.is_file() else 0
    return size


def append_line(path: str | Path, text: str) -> None:
    """Adds one line, all of it or nothing; one writer at a time. `text` holds no line break.

    What a killed writer left of a last line is cut off first, so that every line of the file is a whole one.
    """
    path = Path(path)
    with refusals(path), open(path, "a+b", buffering=0) as file:
        end = _end_of_whole_lines(file)
        file.truncate(end)
        rest = f"{text}\n".encode()
        try:
            while rest:  # once; a disk that fills up takes the part that fits, and refuses the rest
                rest = rest[file.write(rest) :]
        except OSError:
            file.truncate(end)
            raise


def read_lines_from(path: str | Path, place: int) -> tuple[list[str], int]:
    """(whole lines from byte `place` on, the place behind them): a torn last one is left out.

    What cannot be read has no lines; a byte that is no UTF-8 stands as one of Unicode's replacement characters.
    """
    try:
        with open_plain(path) as file:
            file.seek(place)
            data = file.read()
    except OSError:
        return [], place
    whole = data[: data.rfind(b"\n") + 1]
    return [line.decode(errors="replace") for line in whole.split(b"\n")[:-1]], place + len(whole)


def open_plain(path: str | Path) -> BinaryIO:
    """A plain file, open to be read, links followed; a fifo or a device, which may have no end, is not opened.

    Raises:
        OSError: there is none, it may not be read, is no plain file, or its name is no name.
    """
    try:
        file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115
    except ValueError as error:  # a name with a NUL, or with half a character
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    return file


def read_file(path: str | Path, largest: int | None = None) -> bytes:
    """The bytes of a plain file.

    Args:
        largest: bytes at most; None: any size.
    Raises:
        OSError: as open_plain has it, or it is too large.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if largest is not None and size > largest:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes, and at most {largest:,} are read", str(path))
        return file.read(size)


def read_json(path: str | Path, largest: int = LARGEST_JSON) -> Any:
    """What a JSON file says.

    Raises:
        OSError: as read_file has it. ValueError: as parse_json has it.
    """
    return parse_json(read_file(path, largest))


def parse_json(data: bytes | str, half_characters: bool = False) -> Any:
    """What a JSON text says.

    Args:
        half_characters: let them pass, for a reader who says where they stand; no file and no page can hold one.
    Raises:
        ValueError: it is none, is nested too deeply, has numbers without measure, or names half a character.
    """
    try:
        text = data.decode() if isinstance(data, bytes) else data
        content = json.loads(text)
        if not half_characters and "\\ud" in text.lower():
            json.dumps(content, ensure_ascii=False).encode()
        return content
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


@contextmanager
def locked(path: str | Path, patience: float = _PATIENCE) -> Iterator[None]:
    """Holds an exclusive lock on the file `path`, which is made and stays; the system frees it when the process dies.

    Args:
        patience: seconds to wait for whoever holds it.
    Raises:
        StorageError: "in_use", with the holder's pid, where another process or another block of this one holds it.
    """
    path = Path(path)
    with refusals(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise FileExistsError(errno.EEXIST, "it is no plain file", str(path))
        file = open(path, "a+b", buffering=0)  # noqa: SIM115
    with file:
        give_up = time.monotonic() + patience
        while not _try_lock(file):
            if time.monotonic() > give_up:
                file.seek(0)
                raise StorageError("in_use", path=path, pid=file.read(20).decode(errors="replace") or "?")
            time.sleep(0.01)
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        _held.add(file)
        try:
            yield
        finally:
            _held.discard(file)


def is_locked(path: str | Path) -> bool:
    """Whether a living process holds the lock on `path`."""
    try:
        with open_plain(path) as file:
            return not _try_lock(file, shared=True)
    except OSError:  # what cannot be opened is held by nobody
        return False


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes], shared: bool = False) -> bool:  # msvcrt knows no shared locks
        file.seek(1 << 30)  # a locked byte cannot be read: lock one far behind the pid
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(file: IO[bytes], shared: bool = False) -> bool:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


_held: set[FileIO] = set()


def _forget_locks() -> None:
    """In a forked child, e.g. a data loader's worker: it must not keep its parent's locks after the parent's death."""
    for file in _held:
        file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


def _open_at_once(path: str, flags: int) -> int:
    """Without waiting for somebody who writes into a fifo."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A free temporary name in the folder of `path`; what is left of it when the block fails is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        yield temporary
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turns what the disk refuses into StorageError."""
    try:
        yield
    except Exception as error:
        number = _system_error(error)
        if (key := _REFUSALS.get(number)) is None:
            raise
        raise StorageError(key, path=path, reason=os.strerror(number)) from error


def _system_error(error: Exception) -> int:
    """errno of what the system refused, else 0; safetensors and tokenizers, being Rust, have it in their message."""
    if isinstance(error, OSError):
        return error.errno or 0
    told = None if isinstance(error, LoRIError) else re.search(r"\(os error ([0-9]{1,4})\)", str(error))
    return int(told[1]) if told else 0


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:  # a command line passes bytes that are no text on as such halves
        raise StorageError("half_character", quoted=text[max(0, error.start - 30) : error.end + 30]) from None


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Makes names in a folder durable; Windows has no such call and does it itself."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _end_of_whole_lines(file: FileIO) -> int:
    """Bytes up to and with the last line break."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return 0
    file.seek(size - 1)
    if file.read(1) == b"\n":
        return size
    file.seek(0)
    return file.read().rfind(b"\n") + 1
