"""Builds the notebooks from notebooks/source: `python -m notebooks.build`.

A source is jupytext's percent format. Cell metadata:

    lang="en" | "ja"      the cell is in the notebooks of that language only; other cells, all code, are in both
    tags=["said"]         a sentence that the notebook computes; JupyterLab folds its code, nbconvert leaves it out
    tags=["answer"]       an answer to "try it yourself": the cell is in the solution only

In code, what a student has to write is marked, and becomes three dots in the student's notebook:

    count = rank * width  # solution
    # solution            all lines up to "# end", at this indentation; "return ..." where one of them returns
    # end

In text, ![what it shows](attachment:factors.svg) is a picture of pictures.py, which the cell then holds.

The teacher's pack is built from source/teaching in the same way, in one kind; course.py fills facts about the notebooks
into its text. slides.py builds the slides that belong to it.

Notebooks are kept without outputs: figures are megabytes, timings differ, and a student should see what comes out only
after a guess. Cell ids come from the content, so that the same source gives the same bytes.
"""

import hashlib
import re
from base64 import b64encode
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from lori_core.lessons.places import PAGE_OF
from lori_core.translate import translate
from notebooks import course, slides
from notebooks.pictures import as_file

FOLDER = Path(__file__).parent
LANGUAGES = ("en", "ja")
KINDS = ("student", "solution")
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

_DRAWN = re.compile(r"\]\(attachment:(\w+)\.svg\)")
_LINE = re.compile(r"^(?P<left>\s*[\w, ]+ = ).*  # solution$")
_START = re.compile(r"^(?P<indent>\s*)# solution$")
_END = re.compile(r"^\s*# end$")


def sources() -> list[Path]:
    return sorted((FOLDER / "source").glob("*.py"))


def teaching_sources() -> list[Path]:
    return sorted((FOLDER / "source" / "teaching").glob("*.py"))


def notebook(source: str, kind: str, languages: tuple[str, ...] = LANGUAGES) -> NotebookNode:
    """One notebook of a source's text.

    Args:
        kind: "student" or "solution".
        languages: whose cells are in; all of them is what tests execute.
    """
    cells, seen = [], {}
    for cell in jupytext.reads(source, fmt="py:percent").cells:
        language = cell.metadata.get("lang")
        tags = cell.metadata.get("tags", [])
        if (language and language not in languages) or (kind == "student" and "answer" in tags):
            continue
        text = unsolved(cell.source) if kind == "student" else without_marks(cell.source)
        if cell.cell_type == "code":
            made = nbformat.v4.new_code_cell(text)
            if "said" in tags:
                made.metadata |= {"jupyter": {"source_hidden": True}, "tags": ["said"]}
        else:
            made = nbformat.v4.new_markdown_cell(text)
            if drawn := _DRAWN.findall(text):
                made.attachments = {
                    f"{name}.svg": {"image/svg+xml": b64encode(as_file(name)).decode()} for name in drawn
                }
        seen[text] = seen.get(text, 0) + 1
        made.id = hashlib.sha256(f"{cell.cell_type} {seen[text]} {text}".encode()).hexdigest()[:12]
        cells.append(made)
    return nbformat.v4.new_notebook(cells=cells, metadata=METADATA)


def unsolved(code: str) -> str:
    """The code with three dots for what the student has to write."""
    lines, inside = [], False
    for line in code.splitlines():
        if start := _START.match(line):
            lines.append(start["indent"] + "...")
            inside = True
        elif _END.match(line):
            inside = False
        elif inside and line.lstrip().startswith("return "):
            lines[-1] = lines[-1].replace("...", "return ...")
        elif not inside:
            one = _LINE.match(line)
            lines.append(one["left"] + "..." if one else line)
    return "\n".join(lines)


def without_marks(code: str) -> str:
    lines = [line for line in code.splitlines() if not _START.match(line) and not _END.match(line)]
    return "\n".join(line.removesuffix("  # solution") for line in lines)


def in_the_lab(number: int, language: str) -> NotebookNode:
    """The last cell of a notebook: the page of the lab that shows its subject."""
    page = translate(f"app.{PAGE_OF[number]}.title", language)
    cell = nbformat.v4.new_markdown_cell(translate("lessons.in_the_lab", language, page=page))
    cell.id = "in-the-lab"
    return cell


def built() -> dict[Path, str]:
    """Path -> content of every notebook."""
    found = {}
    for source in sources():
        for kind in KINDS:
            for language in LANGUAGES:
                text = notebook(source.read_text(encoding="utf-8"), kind, (language,))
                text.cells.append(in_the_lab(int(source.stem[:2]), language))
                path = FOLDER / kind / language / f"{source.stem}.ipynb"
                found[path] = nbformat.writes(text, indent=1) + "\n"
    for source in teaching_sources():
        for language in LANGUAGES:
            page = notebook(source.read_text(encoding="utf-8"), "solution", (language,))
            for cell in page.cells:
                cell.source = course.filled(cell.source, language)
            found[FOLDER / "teaching" / language / f"{source.stem}.ipynb"] = nbformat.writes(page, indent=1) + "\n"
    return found


def main() -> None:
    for path, content in (built() | slides.built()).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
