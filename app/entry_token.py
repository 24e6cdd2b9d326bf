"""The token of a lab that knows no names: whoever was shown the address that it printed comes in, nobody else does.

Without it every program and every other user of the machine could open the lab, since an address of loopback is one of
the whole machine. The address brings the token once; a cookie keeps it, so that a bookmark without it works from then
on, also after a restart.
"""

import os
import secrets
from pathlib import Path
from tempfile import NamedTemporaryFile

from starlette.datastructures import URL
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lori_core.translate import LANGUAGES, translate

YEAR = 365 * 24 * 3600  # seconds
FILE = ".token"


def kept_token(folder: Path) -> str:
    """That of the lab in the folder, which its owner alone can read; made where there is none."""
    path = folder / FILE
    if not (path.exists() and path.read_text(encoding="ascii")):  # an empty token would let everybody in
        with NamedTemporaryFile("w", dir=folder, prefix=FILE, encoding="ascii", delete=False) as file:  # mode 0600
            file.write(secrets.token_urlsafe(24))
        os.replace(file.name, path)
    return path.read_text(encoding="ascii")


class AskToken:
    """Lets no request through that has the token neither in its address nor in its cookie nor, as programs send it, in
    the header "Authorization: Bearer TOKEN"."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        request = HTTPConnection(scope)
        cookie = f"lori-lab-{(scope.get('server') or ('', 0))[1]}"  # cookies know no ports, and two labs have two
        if self._is_right(request.query_params.get("token")):
            answer = RedirectResponse(URL(scope=scope).remove_query_params("token"), 303)  # not to stay in the history
            answer.set_cookie(cookie, self._token.decode(), max_age=YEAR, httponly=True, samesite="lax")
            return await answer(scope, receive, send)
        if self._is_right(request.cookies.get(cookie)) or self._is_right(_bearer(request)):
            return await self.app(scope, receive, send)
        words = "\n\n".join(translate("app.no_token", language) for language in LANGUAGES)
        await PlainTextResponse(words, 403)(scope, receive, send)

    def _is_right(self, given: str | None) -> bool:
        return given is not None and secrets.compare_digest(given.encode(errors="replace"), self._token)


def _bearer(request: HTTPConnection) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else None
