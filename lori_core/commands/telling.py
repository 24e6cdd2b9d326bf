"""Messages on the terminal: sentences in the reader's language, and an error of ours as one message."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from lori_core.errors import LoRIError, StorageError
from lori_core.processes import is_first_process
from lori_core.translate import translate

REFUSED = 2  # exit code


@contextmanager
def told(language: str) -> Iterator[None]:
    """Says an error of ours, or of the system about a file, in one message; any other is a bug, and a traceback."""
    try:
        yield
    except LoRIError as error:
        refused = error
    except OSError as error:
        refused = StorageError("system_refused", path=error.filename or "-", reason=error.strerror or error)
    else:
        return
    typer.echo(refused.in_language(language), err=True)
    raise typer.Exit(REFUSED)


def console() -> Console:
    # a pipe has no width: tables keep their lines whole
    return Console(width=None if Console().is_terminal else 200, quiet=not is_first_process())


def say(key: str, language: str, **values: object) -> None:
    say_text(translate(key, language, **values))


def say_text(text: str) -> None:
    console().print(text, markup=False, highlight=False, soft_wrap=True)
