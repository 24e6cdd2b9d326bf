"""Head of each page: its language and its title, where gradio says "en", one title for all, and words about itself.

A browser reads these before any script runs: screen readers choose their voice by them, tabs and bookmarks their name.
"""

import re
from html import escape

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LANGUAGE = re.compile(rb'<html\s+lang="en"')
# "./" is where relative addresses begin anyway. Where a page has a base, plotly names its gradients and clips by the
# whole address, and they are lost once the address says what is chosen.
BASE = re.compile(rb'<base href="\./" />\s*')
ABOUT_GRADIO = re.compile(rb'<meta\s+(property="og:|name="twitter:)[^>]*>\s*|<link rel="manifest"[^>]*>\s*')
CONFIG_TITLE = re.compile(rb'"title":"LoRI Lab"')  # what gradio's script gives the tab once it has started
HEAD = b"<head>"


class PageHead:
    """Rewrites the HTML of the addresses that are given; all else passes as it is."""

    def __init__(self, app: ASGIApp, titles: dict[str, tuple[str, str]]) -> None:
        """titles: path -> (language, title)."""
        self.app, self.titles = app, titles

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = self.titles.get(scope["path"]) if scope["type"] == "http" else None
        if known is None:
            return await self.app(scope, receive, send)
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]  # it is read here
        await self.app(scope, receive, _rewriting(*known, send))


def _rewriting(language: str, title: str, send: Send) -> Send:
    start: list[Message] = []
    body = bytearray()

    async def taking(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.append(message)
            return
        if message["type"] != "http.response.body":
            return await send(message)
        body.extend(message.get("body", b""))
        if message.get("more_body"):
            return
        headers = MutableHeaders(scope=start[0])
        page = bytes(body)
        if headers.get("content-type", "").startswith("text/html"):
            page = with_head(page, language, title)
            headers["content-length"] = str(len(page))
        await send(start[0])
        await send({"type": "http.response.body", "body": page})

    return taking


def with_head(page: bytes, language: str, title: str) -> bytes:
    """The page in that language and with that title, without what gradio says about itself."""
    said = escape(title).encode()
    page = LANGUAGE.sub(b'<html lang="' + language.encode() + b'"', page, count=1)
    page = BASE.sub(b"", ABOUT_GRADIO.sub(b"", page))
    page = CONFIG_TITLE.sub(lambda _: b'"title":"' + said + b'"', page, count=1)
    own = b"<head><title>" + said + b'</title><meta property="og:title" content="' + said + b'" />'
    return page.replace(HEAD, own, 1)
