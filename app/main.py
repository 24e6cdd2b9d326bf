"""The web application: for each language one gr.Blocks with a route a page, mounted at /en and /ja of one FastAPI app.

A page is built once for each language, so every text on it is a plain string. The switch of language is a link that
sets a cookie; "/" leads to the language of the cookie, else to the one that the browser prefers.
"""

import json
import warnings
from functools import partial
from html import escape

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from gradio.themes import Base
from starlette.middleware.trustedhost import TrustedHostMiddleware

from app.address import choices_of
from app.doors import Headers, OwnPages, OwnSessions
from app.entry_token import AskToken
from app.interface import offer
from app.lab import Context, Lab
from app.page_head import PageHead
from app.pages import PAGES, report
from app.passwords import AskPassword, Passwords
from app.sessions import bound_sessions
from lori_core.assets import ASSETS, PLOTLY_JS
from lori_core.figures.wording import listed
from lori_core.lessons.places import notebooks_of
from lori_core.translate import LANGUAGES, translate

FIRST = next(iter(PAGES))  # its address is the language's own
LARGEST_UPLOAD = "100mb"
SESSIONS = 1000  # tabs whose values are kept: without a heartbeat nobody says when one is closed
# What gradio says in English in any language, by how it begins -> our key.
GRADIO = {
    "number input for ": "app.gradio.number",
    "range slider for ": "app.gradio.slider",
    "Reset to default value": "app.gradio.reset",
    "Click to upload or drop files": "app.gradio.upload",
    "Code input container": "app.gradio.code",
    "common.complete": "app.gradio.complete",  # read out, and no text of gradio's in any language
}
THEME = Base(  # named fonts are asked for at a server; these are the system's
    primary_hue="blue",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(  # gradio's own grey for hints is 2.6 : 1 on white, its blue 3.7 : 1; all text here is at least 4.5 : 1
    body_text_color_subdued="*neutral_600",
    block_info_text_color="*neutral_600",
    input_placeholder_color="*neutral_500",
    color_accent="*primary_600",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
)


def application(
    lab: Lab, hosts: list[str] | None = None, passwords: Passwords | None = None, token: str | None = None
) -> FastAPI:
    """What uvicorn serves.

    Args:
        hosts: names under which requests are taken (against DNS rebinding); None: any.
        passwords: of those who may come in; None: nobody is asked.
        token: that a request has to know; None: none.
    """
    web = FastAPI(openapi_url=None)
    if passwords is not None:  # what is added last is passed first
        web.add_middleware(OwnSessions)
        web.add_middleware(AskPassword, passwords=passwords)
    if token is not None:
        web.add_middleware(AskToken, token=token)
    web.add_middleware(PageHead, titles=_titles())
    web.add_middleware(OwnPages)
    web.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts or ["*"])
    web.add_middleware(Headers)
    web.mount("/static", StaticFiles(directory=PLOTLY_JS.parent))
    web.get("/favicon.ico", status_code=204)(lambda: None)  # browsers ask for it whatever a page says
    web.get("/")(_choose_language)
    web.get("/language/{language}")(_set_language)
    web.get("/report/{run}/{language}")(partial(report.serve, lab))
    warnings.filterwarnings("ignore", "SSR mode is not supported")  # which nobody asked for: ssr_mode=False below
    known = passwords is not None or token is not None or hosts is not None  # else anybody on the network
    for language in LANGUAGES:
        blocks = pages(Context(lab, language), known and language == LANGUAGES[0])
        gr.mount_gradio_app(
            web,
            blocks,
            f"/{language}",
            run_history=False,
            footer_links=[],
            max_file_size=LARGEST_UPLOAD,
            ssr_mode=False,
            theme=THEME,
            css_paths=ASSETS / "app" / "style.css",
            head=_words(language),
        )
        # A heartbeat is a connection held by each tab, and a browser gives a host six: the seventh tab would hang.
        blocks.config["connect_heartbeat"] = False
    bound_sessions(web)
    return web


def pages(context: Context, with_interface: bool = False) -> gr.Blocks:
    """All pages in one language, and the interface for programs."""
    with gr.Blocks(title="LoRI Lab", analytics_enabled=False) as blocks:
        _page(context, FIRST)
        if with_interface:
            offer(context)
    blocks.state_session_capacity = SESSIONS
    for name in list(PAGES)[1:]:
        with blocks.route(context.say(f"{name}.title"), f"/{name}", show_in_navbar=False):
            _page(context, name)
    return blocks


def _words(language: str) -> str:
    """Scripts that put the language's words in place of gradio's own, and keep the focus where the reader left it."""
    words = [(english, translate(key, language, label="{label}")) for english, key in GRADIO.items()]
    script, focus = ((ASSETS / "app" / name).read_text(encoding="utf-8") for name in ("words.js", "focus.js"))
    for name, value in {"WORDS": words, "LANGUAGE": language}.items():
        script = script.replace(f"= {name}", f"= {json.dumps(value, ensure_ascii=False)}")
    return f"<script>{script}{focus}</script>"


def _page(context: Context, name: str) -> None:
    gr.HTML(_header(context, name), apply_default_css=False)
    PAGES[name](context)
    if numbers := notebooks_of(name):
        gr.HTML(_taught(context, numbers))


def _taught(context: Context, numbers: list[int]) -> str:
    """Which notebooks teach what the page shows."""
    said = context.say("taught", notebooks=listed(map(str, numbers), context.language))
    return f'<p class="links"><a href="/{context.language}/docs?document=notebooks">{escape(said)}</a></p>'


def address(language: str, name: str) -> str:
    """Of a page."""
    return f"/{language}/" if name == FIRST else f"/{language}/{name}"


def _titles() -> dict[str, tuple[str, str]]:
    """Path of each page -> its language and title."""
    return {
        address(language, name): (language, f"{translate(f'app.{name}.title', language)} · LoRI Lab")
        for language in LANGUAGES
        for name in PAGES
    }


def _header(context: Context, here: str) -> str:
    """The name of the lab, the pages, the other language."""
    links = "".join(
        f'<a href="{address(context.language, name)}"{" aria-current=page" * (name == here)}>'
        f"{escape(context.say(f'{name}.title'))}</a>"
        for name in PAGES
    )
    other = next(language for language in LANGUAGES if language != context.language)
    return (
        f'<header class="top"><strong>LoRI Lab</strong><nav aria-label="{escape(context.say("pages"))}">{links}</nav>'
        f'<a class="language" lang="{other}" hreflang="{other}" href="/language/{other}?page={here}">'
        f"{translate('app.language', other)}</a></header>"
    )


def _choose_language(request: Request) -> RedirectResponse:
    wanted = request.cookies.get("language") or request.headers.get("accept-language", "")[:2]
    return RedirectResponse(address(wanted if wanted in LANGUAGES else LANGUAGES[0], FIRST))


def _set_language(language: str, request: Request, page: str = FIRST) -> RedirectResponse:
    """The same page in that language, with what is chosen on it."""
    language, page = language if language in LANGUAGES else LANGUAGES[0], page if page in PAGES else FIRST
    answer = RedirectResponse(address(language, page) + choices_of(request.headers.get("referer", "")))
    answer.set_cookie("language", language, max_age=365 * 24 * 3600, samesite="lax")
    return answer
