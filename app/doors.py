"""ASGI middleware that a request passes before a page sees it, beside passwords: what other sites and people may not.

- Headers: no other site shows the lab in a frame, guesses at types of files, or embeds what it serves.
- OwnPages: what a page of another site sends is refused, whatever its form: JSON, an upload, a WebSocket.
- OwnSessions: who opened a session of gradio is the only one whose requests may name it.
"""

import json
import re
from collections import OrderedDict
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers as Given
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.passwords import user_of

ON_ALL = {
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
FRAMES = "frame-ancestors 'self'"  # beside a policy that a page has already; both hold
READS = ("GET", "HEAD")
LARGEST_BODY = 20_000_000  # bytes of JSON that a handler is asked with; files come as uploads
SESSIONS = 100_000  # whose owners are remembered; gradio itself keeps fewer
# What gradio serves and no page of ours asks for: fetching for others, keeping and showing a session's values.
CLOSED = re.compile(r"/gradio_api/(proxy=|file=\w+:|component_server|deep_link|process_recording|vibe|undo-vibe)")
IN_PATH = re.compile(r"/(?:heartbeat|stream)/([^/]+)")


class Headers:
    """Adds the headers that keep other sites out to every answer, refusals too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(ON_ALL)
                headers.append("Content-Security-Policy", FRAMES)
            await send(message)

        await self.app(scope, receive, with_headers)


class OwnPages:
    """Refuses what a page of another origin had the browser send; links from elsewhere still lead to the lab.

    What CLOSED names is refused to everybody. The lab's own origin is the one in the header "Host", which a proxy has
    to pass on; what gradio would rather believe (X-Forwarded-Host) could be anybody's word and is taken away.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if _is_foreign(Given(scope=scope), scope.get("method", "")) or CLOSED.search(scope["path"]):
            return await PlainTextResponse("403", 403)(scope, receive, send)
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"x-forwarded-host"]
        return await self.app(scope, receive, send)


class OwnSessions:
    """Refuses a request that names the session of another user, be it in the address or in its JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._owners: OrderedDict[str, str | None] = OrderedDict()  # session -> who named it first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        body: bytes | None = None
        if scope["method"] not in READS and not _is_upload(scope):
            body = await _whole(receive)
            if body is None:
                return await PlainTextResponse("413", 413)(scope, receive, send)
            receive = _again(body, receive)
        user = user_of(Request(scope).state)
        if not all(self._own(session, user) for session in _sessions(scope, body or b"")):
            return await PlainTextResponse("403", 403)(scope, receive, send)
        return await self.app(scope, receive, send)

    def _own(self, session: str, user: str | None) -> bool:
        first = self._owners.setdefault(session, user)
        self._owners.move_to_end(session)
        if len(self._owners) > SESSIONS:
            self._owners.popitem(last=False)
        return first == user


def _is_foreign(headers: Given, method: str) -> bool:
    for origin in headers.getlist("origin"):
        try:
            if urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
                return True
        except ValueError:
            return True
    from_elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")  # another port is the same site
    return from_elsewhere and not (method in READS and headers.get("sec-fetch-mode") == "navigate")


def _is_upload(scope: Scope) -> bool:
    return Given(scope=scope).get("content-type", "").lower().startswith("multipart/")


def _sessions(scope: Scope, body: bytes) -> list[str]:
    """All that a request names: in its query, in its path, in its JSON."""
    query = parse_qs(scope["query_string"].decode("latin-1"))
    found = [*query.get("session_hash", ()), *IN_PATH.findall(scope["path"])]
    with suppress(ValueError, RecursionError):  # which no handler can read either
        given = json.loads(body)
        named = given.get("session_hash") if isinstance(given, dict) else None
        found += [named] if isinstance(named, str) else []
    return found


async def _whole(receive: Receive) -> bytes | None:
    """The body of a request; None where it is too large."""
    parts, size, more = [], 0, True
    while more and size <= LARGEST_BODY:
        message = await receive()
        parts.append(message.get("body", b""))
        size, more = size + len(parts[-1]), message.get("more_body", False)
    return b"".join(parts) if size <= LARGEST_BODY else None


def _again(body: bytes, receive: Receive) -> Receive:
    """What gives the body once more, and then what else is received."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return first.pop() if first else await receive()

    return received
