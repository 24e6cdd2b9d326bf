"""Command that opens the web application, which lies inside the package in a wheel and beside it in a checkout.

The app is started as a script, not imported: nothing in lori_core knows it.
"""

import importlib.util
import runpy
import sys
from typing import Annotated

import typer

from lori_core.assets import ASSETS
from lori_core.commands.telling import told
from lori_core.errors import ConfigError

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def lab(
    context: typer.Context, options: Annotated[list[str] | None, typer.Argument(help="See --help.")] = None
) -> None:
    """Open the lab, the web application; --help says how."""
    _run_app("app", "lori lab", [*(options or []), *context.args])


def passwords(
    context: typer.Context, options: Annotated[list[str] | None, typer.Argument(help="FILE NAME")] = None
) -> None:
    """Add a name and a password to a file for `lori lab --auth-file`."""
    _run_app("app.passwords", "lori passwords", [*(options or []), *context.args])


def _run_app(module: str, name: str, arguments: list[str]) -> None:
    with told("en"):
        if importlib.util.find_spec("gradio") is None:
            raise ConfigError("lab_needs_gradio")
    folder = next(place for place in (ASSETS.parent / "webapp", ASSETS.parent) if (place / "app").is_dir())
    sys.path.insert(0, str(folder))
    sys.argv = [name, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
