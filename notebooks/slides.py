"""The teacher's slides: one page a language, which opens in any browser without a network.

A source, source/slides/slides.<language>.md, has slides between lines of "---"; "Note: ..." is for the teacher alone.
Facts in double braces are those of course.py, and {{picture factors}} is one of pictures.PICTURES. Without scripts, as
in JupyterLab's view of a page that is not trusted, the slides stand below each other.
"""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt

from notebooks import course
from notebooks.pictures import PICTURES

FOLDER = Path(__file__).parent
SOURCES = FOLDER / "source" / "slides"
TO_HTML = MarkdownIt("commonmark")


def built() -> dict[Path, str]:
    """Path -> content of the page of each language."""
    found = {}
    for source in sorted(SOURCES.glob("slides.*.md")):
        language = source.suffixes[0].removeprefix(".")
        found[FOLDER / "teaching" / language / "slides.html"] = page(source.read_text(encoding="utf-8"), language)
    return found


def page(source: str, language: str) -> str:
    """The page of a source's text."""
    slides = [slide(each.strip(), language) for each in source.split("\n---\n")]
    title = source.partition("\n")[0].removeprefix("# ")
    template = Environment(
        loader=FileSystemLoader(SOURCES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return template.get_template("page.html").render(language=language, title=title, slides=slides) + "\n"


def slide(source: str, language: str) -> str:
    """HTML of one slide; links of facts, which lead to notebooks, are words here."""
    text, _, note = source.partition("\nNote: ")
    pictured = re.sub(r"\{\{picture (\w+)\}\}", lambda found: PICTURES[found[1]](), text)
    shown, said = (re.sub(r"\[(.+?)\]\([^)]+\)", r"\1", course.filled(each, language)) for each in (pictured, note))
    return TO_HTML.render(shown) + (f"<aside>{TO_HTML.render(said)}</aside>" if note else "")
