"""Address of a page: what is chosen on it stands there, so that a reload, a bookmark and the other language keep it."""

from urllib.parse import parse_qs, urlencode, urlsplit

import gradio as gr

from app.lab import PRIVATE

CHOICES = ("run", "adapter", "adapters", "document")  # several values of one have commas between, which no name has
KEEP = (
    "(value) => { const here = new URL(location), chosen = [value ?? []].flat().join(',');"
    " if (chosen) here.searchParams.set('NAME', chosen); else here.searchParams.delete('NAME');"
    " history.replaceState(history.state, '', here) }"
)


def kept_in_address(pick: gr.Dropdown, name: str) -> None:
    """What is chosen becomes ?name=... of the page."""
    pick.change(None, pick, None, js=KEEP.replace("NAME", name), **PRIVATE)


def asked(request: gr.Request, name: str) -> list[str]:
    """The values of ?name=... of the page that asks."""
    return [value for value in str(request.query_params.get(name) or "").split(",") if value]


def choices_of(address: str) -> str:
    """The choices in the address of a page, as the query of another: "?run=..."; empty where there are none."""
    try:
        query = parse_qs(urlsplit(address).query)
    except ValueError:
        return ""
    known = {name: query[name][0] for name in CHOICES if name in query}
    return f"?{urlencode(known)}" if known else ""
