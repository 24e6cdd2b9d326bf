"""Authentication: a file of names and hashed passwords, asked for by the browser (HTTP Basic, RFC 7617).

    python -m app.passwords FILE NAME      asks for a password and adds the line  NAME:scrypt:<salt>:<hash>

A password crosses the network with every request, so a lab that others reach belongs behind https. Each name has a
workspace of its own. Who a request is from is decided here alone, once, and stands in its state (user_of).

Trying passwords is slow by intent, so it must cost the lab little: a password that was accepted is known again by its
digest; any other is hashed only while its name and its address have attempts left, one at a time, and few may wait.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import typer
from anyio import CapacityLimiter, sleep, to_thread
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.attempts import Attempts
from lori_core.errors import ConfigError, LoRIError
from lori_core.files import write_atomic

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
LINE = re.compile(rf"({NAME.pattern}):scrypt:([0-9a-f]{{32}}):([0-9a-f]{{128}})")
SHORTEST = 8  # characters of a password
WHILE = 60.0  # seconds in which ...
BY_NAME, BY_ADDRESS = 10, 30  # ... so many passwords are tried for one name, and from one address
PAUSE = 1.0  # seconds before a password is refused: who asks at once again cannot keep the lab busy
WAITING = 8  # passwords that wait to be hashed; one is hashed at a time
CHALLENGE = {"WWW-Authenticate": 'Basic realm="LoRI Lab", charset="UTF-8"'}


class Passwords:
    """The names and hashes of a file, read once."""

    def __init__(self, file: Path) -> None:
        """Raises ConfigError where the file cannot be read, names nobody, or holds a line of another form."""
        self._known: dict[str, tuple[bytes, bytes]] = {}  # name -> (salt, hash)
        self._right: set[bytes] = set()  # digests of what was accepted: scrypt is too slow for every request
        self._key = secrets.token_bytes(32)  # of those digests
        folders: set[str] = set()
        for number, line in enumerate(_lines(file), 1):
            match = LINE.fullmatch(line)
            if match is None or (folder := match[1].casefold().rstrip(".")) in folders:
                raise ConfigError("bad_auth_line", file=file, row=number)  # some disks take two such names for one
            folders.add(folder)
            self._known[match[1]] = bytes.fromhex(match[2]), bytes.fromhex(match[3])
        if not self._known:
            raise ConfigError("no_auth_file", file=file)

    def accepted(self, name: str, password: str) -> bool:
        """Whether that password of that name was accepted before; takes no time."""
        return self._digest(name, password) in self._right

    def accept(self, name: str, password: str) -> bool:
        """Whether that is the password of that name; an unknown name takes as long as a wrong password."""
        salt, known = self._known.get(name, (bytes(16), b""))
        if not hmac.compare_digest(_hashed(password, salt), known):
            return False
        self._right.add(self._digest(name, password))
        return True

    def _digest(self, name: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{name}\0{password}".encode(), "sha256")


class AskPassword:
    """Lets no request through whose name and password are not those of the file; the name goes into its state."""

    def __init__(self, app: ASGIApp, passwords: Passwords) -> None:
        self.app, self.passwords = app, passwords
        self._by_name, self._by_address = Attempts(BY_NAME, WHILE), Attempts(BY_ADDRESS, WHILE)
        self._one = CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        headers = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(headers) > 1:  # two readers of them could see two people
            return await PlainTextResponse("400", 400)(scope, receive, send)
        given = _credentials(headers[0]) if headers else None
        refusal = 401 if given is None else await self._refusal(*given, _network(scope))
        if given is not None and refusal:
            await sleep(PAUSE)
        if given is None or refusal:
            headers = CHALLENGE if refusal == 401 else {"Retry-After": f"{WHILE:.0f}"}
            return await PlainTextResponse(str(refusal), refusal, headers)(scope, receive, send)
        scope["state"] = scope.get("state", {}) | {"user": given[0]}
        return await self.app(scope, receive, send)

    async def _refusal(self, name: str, password: str, address: str) -> int:
        """The status of the refusal: 401 wrong, 429 too often, 503 too many at once; 0: the password is right."""
        if self.passwords.accepted(name, password):
            return 0
        if self._one.statistics().tasks_waiting >= WAITING:
            return 503
        if not self._by_address.take(address) or not self._by_name.take(name):
            return 429
        if not await to_thread.run_sync(self.passwords.accept, name, password, limiter=self._one):
            return 401
        self._by_address.take_back(address)
        self._by_name.take_back(name)
        return 0


def user_of(state: Any) -> str | None:
    """The name whose password came with the request of that state; None where nobody was asked."""
    return getattr(state, "user", None)


def _network(scope: Scope) -> str:
    """The address of the sender; of IPv6 the network, whose addresses one person has by the billion."""
    host = (scope.get("client") or ("", 0))[0]
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(address) if address.version == 4 else address.exploded[:19]


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
    return (name, password) if colon and NAME.fullmatch(name) else None


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
