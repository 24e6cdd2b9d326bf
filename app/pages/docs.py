"""Docs: the documents that come with the lab, to be read in it: /<language>/docs?document=<name>."""

import re
from html import escape
from pathlib import Path

import gradio as gr

from app.address import asked
from app.lab import Context, on_load
from lori_core.assets import ASSETS
from lori_core.translate import LANGUAGES

FOLDER = ASSETS.parent / "docs"
NOTEBOOKS = ASSETS.parent / "notebooks" / "README.md"
FIRST = "usage"
LINK = re.compile(r"\]\((?:docs/)?(\w+)(?:\.(\w+))?\.md\)")  # to another document, or the same in a language


def build(page: Context) -> None:
    known = documents(page.language)
    gr.HTML(_links(page, known))
    text = gr.Markdown(elem_classes="card document")

    def first(request: gr.Request) -> str:
        name = next((name for name in [*asked(request, "document"), FIRST] if name in known), None)
        return _text(known[name]) if name else page.say("docs.none")

    on_load(first, None, text)


def documents(language: str) -> dict[str, Path]:
    """name -> its file, in that language where there is one."""
    found = {path.stem: path for path in sorted(FOLDER.glob("*.md")) if "." not in path.stem}
    own = {name: FOLDER / f"{name}.{language}.md" for name in found}
    notebooks = {"notebooks": NOTEBOOKS} if NOTEBOOKS.exists() else {}
    return notebooks | found | {name: path for name, path in own.items() if path.exists()}


def _text(path: Path) -> str:
    """With links to other documents as this page has them, and others, which lead into the source, as words."""

    def here(link: re.Match[str]) -> str:
        name, language = link.groups()
        return f"]({f'/{language}/' if language else ''}docs?document={name})"

    text = LINK.sub(here, path.read_text(encoding="utf-8"))
    return re.sub(r"\[([^\]]*)\]\((?!/|docs\?|https:|#)[^)]*\)", r"\1", text)


def _links(page: Context, known: dict[str, Path]) -> str:
    links = []
    for name, path in known.items():
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        language = page.language if path.suffixes[0] == f".{page.language}" else LANGUAGES[0]
        links.append(f'<a lang="{language}" href="/{page.language}/docs?document={name}">{escape(title)}</a>')
    return f'<p class="links">{" · ".join(links)}</p>'
