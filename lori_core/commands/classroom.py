"""Command for a teacher: lori class, what a class guessed before it saw the notebooks' results."""

from pathlib import Path
from typing import Annotated

import typer

from lori_core.commands.options import Language
from lori_core.commands.telling import say, told
from lori_core.files import write_atomic


def class_(
    folder: Annotated[Path, typer.Argument(help="With copies of the students' guesses.json, under any names.")],
    out: Annotated[Path, typer.Option(help="The HTML file that is written.")] = Path("class.html"),
    language: Language = "en",
) -> None:
    """Histograms of a class's guesses, one HTML file, without a network."""
    with told(language):
        from lori_core.lessons.class_page import class_page
        from lori_core.lessons.guesses import gathered

        found = gathered(folder)
        write_atomic(out, class_page(found, language))
        count = sum(map(len, found.values()))
        say("lessons.class.written", language, guesses=count, questions=len(found), file=out)
