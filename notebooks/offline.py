"""Lessons without installing anything: `python -m notebooks.offline FOLDER` writes lori-en.html and lori-ja.html there.

The solutions of LESSONS are run, which takes minutes, and become one page a language that opens without a network: its
text, the sentences that were computed, the figures with their sliders, and the code, folded. It is made when it is
wanted and not kept in the repository: two megabytes a language, most of them plotly.js.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import plotly.graph_objects as go
from markdown_it import MarkdownIt
from nbclient import NotebookClient
from nbformat import NotebookNode

from lori_core.figures import Drawing
from lori_core.lessons.showing import PLOTLY
from lori_core.report.page import rendered
from notebooks.build import FOLDER, LANGUAGES

LESSONS = ("02_why_a_random_a", "03_calibrate_a_mask", "05_interference", "06_merge")
SYMBOLS = {r"\langle": "⟨", r"\rangle": "⟩", r"\sum": "Σ", r"\odot": "⊙", r"\top": "T", r"\;": " "}
TO_HTML = MarkdownIt("commonmark").enable("table")  # which leaves HTML, the folded hints, as it is


@dataclass(frozen=True)
class Part:
    """One thing on the page: one of these.

    Attributes:
        guess: HTML of what came out and was to be guessed, folded.
    """

    html: str = ""
    guess: str = ""
    code: str = ""
    text: str = ""
    drawing: Drawing | None = None


@dataclass(frozen=True)
class Lesson:
    name: str
    title: str
    parts: list[Part]


def executed(made: NotebookNode, folder: Path) -> NotebookNode:
    """The notebook with its outputs, after a kernel of its own ran it in that folder as this interpreter."""
    client = NotebookClient(made, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.create_kernel_manager()
    assert client.km is not None
    client.km.kernel_cmd = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]  # pyright: ignore
    client.execute()
    return made


def page(notebooks: dict[str, NotebookNode], language: str) -> str:
    """The page of notebooks that were run; name -> notebook."""
    lessons = [lesson(name, made) for name, made in notebooks.items()]
    drawings = [part.drawing for each in lessons for part in each.parts if part.drawing]
    return rendered("lessons.html", drawings, language, lessons=lessons)


def lesson(name: str, made: NotebookNode) -> Lesson:
    """A notebook as it reads; code that shows nothing is folded together with what follows it."""
    parts, code = [], []
    for cell in made.cells:
        if cell.cell_type == "markdown":
            parts += _folded(code)
            code = []
            parts.append(Part(html=as_html(re.sub("^#", "##", cell.source, flags=re.MULTILINE))))
            continue
        if "said" not in cell.metadata.get("tags", []):
            code.append(cell.source)
        shown = [part for output in cell.outputs if (part := _of(output))]
        if shown:
            is_guess = cell.source.splitlines()[-1].startswith("guessed(")
            parts += _folded(code) + ([Part(guess=part.html) for part in shown] if is_guess else shown)
            code = []
    title = re.search(r"^# (.+)$", made.cells[0].source, re.MULTILINE)
    assert title is not None
    return Lesson(name, title[1], parts + _folded(code))


def _folded(code: Sequence[str]) -> list[Part]:
    return [Part(code="\n\n".join(code))] if code else []


def _of(output: NotebookNode) -> Part | None:
    """What is seen of an output; nothing of the line that a cell shows while it works."""
    if output.output_type == "stream":
        return Part(text=output.text)
    data = output.data
    if PLOTLY in data:
        return Part(drawing=Drawing(go.Figure(data[PLOTLY]), "", data["text/plain"], "", [], [], {}))
    if "text/markdown" in data:
        return Part(html=as_html(data["text/markdown"]))
    return Part(text=data["text/plain"]) if data["text/plain"] else None


def as_html(markdown: str) -> str:
    """Markdown as HTML, with formulas, which stand between $$, as words."""
    parts = re.split(r"^\$\$(.+)\$\$$", markdown, flags=re.MULTILINE)
    return "".join(TO_HTML.render(part) if place % 2 == 0 else _formula(part) for place, part in enumerate(parts))


def _formula(tex: str) -> str:
    """KeyError, naming it, where a formula has a command that is not in SYMBOLS."""
    said = re.sub(r"\\(?:[a-z]+|;)", lambda found: SYMBOLS[found[0]], escape(tex, quote=False))
    said = re.sub(r"\^(\w)", r"<sup>\1</sup>", re.sub(r"_(\w)", r"<sub>\1</sub>", said))
    return f'<p class="formula">{said}</p>'


def run(language: str, lessons: Sequence[str] = LESSONS) -> Iterator[tuple[str, NotebookNode]]:
    """The name of each solution and the notebook, with its outputs."""
    for name in lessons:
        with TemporaryDirectory() as folder:
            made = nbformat.read(FOLDER / "solution" / language / f"{name}.ipynb", as_version=4)
            yield name, executed(made, Path(folder))


def main(folder: Path) -> None:
    for language in LANGUAGES:
        (folder / f"lori-{language}.html").write_text(page(dict(run(language)), language), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
