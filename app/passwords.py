"""Authentication: a file of names and hashed passwords, asked for by the browser (HTTP Basic, RFC 7617).

    python -m app.passwords FILE NAME      asks for a password and adds the line  NAME:scrypt:<salt>:<hash>

A password crosses the network with every request, so a lab that others reach belongs behind https. Each name has a
workspace of its own.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path
from typing import Annotated

import typer
from anyio import to_thread
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lori_core.errors import ConfigError, LoRIError
from lori_core.files import write_atomic

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
LINE = re.compile(rf"({NAME.pattern}):scrypt:([0-9a-f]{{32}}):([0-9a-f]{{128}})")
SHORTEST = 8  # characters of a password
CHALLENGE = {"WWW-Authenticate": 'Basic realm="LoRI Lab", charset="UTF-8"'}


class Passwords:
    """The names and hashes of a file, read once."""

    def __init__(self, file: Path) -> None:
        """Raises ConfigError where the file cannot be read, names nobody, or holds a line of another form."""
        self._known: dict[str, tuple[bytes, bytes]] = {}  # name -> (salt, hash)
        self._right: set[bytes] = set()  # digests of what was accepted: scrypt is too slow for every request
        for number, line in enumerate(_lines(file), 1):
            match = LINE.fullmatch(line)
            if match is None:
                raise ConfigError("bad_auth_line", file=file, row=number)
            self._known[match[1]] = bytes.fromhex(match[2]), bytes.fromhex(match[3])
        if not self._known:
            raise ConfigError("no_auth_file", file=file)

    def accept(self, name: str, password: str) -> bool:
        """Whether that is the password of that name; an unknown name takes as long as a wrong password."""
        given = hashlib.sha256(f"{name}\0{password}".encode()).digest()
        if given in self._right:
            return True
        salt, known = self._known.get(name, (bytes(16), b""))
        if not hmac.compare_digest(_hashed(password, salt), known):
            return False
        self._right.add(given)
        return True


class AskPassword:
    """Lets no request through whose name and password are not those of the file."""

    def __init__(self, app: ASGIApp, passwords: Passwords) -> None:
        self.app, self.passwords = app, passwords

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        given = _credentials(dict(scope["headers"]).get(b"authorization", b""))
        if given is not None and await to_thread.run_sync(self.passwords.accept, *given):
            return await self.app(scope, receive, send)
        await PlainTextResponse("401", 401, CHALLENGE)(scope, receive, send)


def name_in(header: str) -> str | None:
    """The name in a request's header "authorization"; who let the request through has checked its password."""
    given = _credentials(header.encode())
    return given[0] if given else None


def add(file: Path, name: str, password: str) -> None:
    """A line for that name, in place of one it had; raises ConfigError for a name or password that cannot be taken."""
    if not NAME.fullmatch(name):
        raise ConfigError("bad_user_name", name=name[:80])
    if len(password) < SHORTEST:
        raise ConfigError("short_password", shortest=SHORTEST)
    salt = secrets.token_bytes(16)
    others = [line for line in (_lines(file) if file.exists() else []) if line.partition(":")[0] != name]
    write_atomic(file, "\n".join([*others, f"{name}:scrypt:{salt.hex()}:{_hashed(password, salt).hex()}", ""]))
    os.chmod(file, 0o600)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ConfigError("no_auth_file", file=file) from None


def _hashed(password: str, salt: bytes) -> bytes:
    """64 bytes, by the costs of OWASP's cheat sheet on storing passwords: 16 MiB, some tenths of a second."""
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=5, maxmem=2**26)


def _credentials(header: bytes) -> tuple[str, str] | None:
    scheme, _, coded = header.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        name, colon, password = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if colon else None


def main(
    file: Annotated[Path, typer.Argument(help="For --auth-file; made where it is not there.")],
    name: Annotated[str, typer.Argument(help="Who.")],
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True)],
) -> None:
    """Add a name and a password to the file."""
    try:
        add(file, name, password)
    except LoRIError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
