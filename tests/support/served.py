"""A running lab, and requests to it as no browser would send them."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# As `python -m app`, but runs that are put into the queue stay there, and the machine is said to be as fast as that of
# the examples.
IDLE = (
    "import sys, typer, app.jobs as jobs, app.slowness as slowness; jobs.TICK = 1e6;"
    "slowness.COMMAND = (sys.executable, '-c', 'print(1.0)'); from app.__main__ import main; typer.run(main)"
)


@contextmanager
def serving(folder: Path, *options: str, idle: bool = False) -> Iterator[str]:
    """What a lab in that folder prints: its address. No options: it lets everybody in."""
    start = ["-c", IDLE] if idle else ["-m", "app"]
    command = [sys.executable, *start, "--store", str(folder), "--port", "0", *(options or ("--no-auth",))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]  # names in lower case
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each == name]


def send(
    address: str, method: str, path: str, headers: Sequence[tuple[str, str]] = (), body: bytes | None = None
) -> Answer:
    """One request with exactly these headers (Host and Content-Length are added), in their order, also repeated."""
    place = urlsplit(address)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=120)
    try:
        connection.putrequest(method, path, skip_host=any(name == "Host" for name, _ in headers))
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return Answer(answer.status, [(name.lower(), value) for name, value in answer.getheaders()], answer.read())
    finally:
        connection.close()


def basic(name: str, password: str) -> tuple[str, str]:
    """The header of a name and a password."""
    return "Authorization", f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def as_json(value: Any) -> tuple[tuple[str, str], bytes]:
    """Header and body."""
    return ("Content-Type", "application/json"), json.dumps(value).encode()


def as_upload(name: str, content: bytes) -> tuple[tuple[str, str], bytes]:
    """Header and body of a multipart upload, which a browser sends anywhere without asking first."""
    head = f'--edge\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    return ("Content-Type", "multipart/form-data; boundary=edge"), head + content + b"\r\n--edge--\r\n"
