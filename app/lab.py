"""Foundation of the pages: the lab with its workspaces (one a process), a context (one a language)."""

import logging
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import gradio as gr
from gradio.context import Context as Building
from gradio.context import LocalContext

from app.jobs import Jobs
from app.passwords import NAME, user_of
from app.specs import refuse_powers
from app.worker import Worker
from lori_core.assets import ASSETS
from lori_core.config import Config
from lori_core.errors import ConfigError, LoRIError, RunError
from lori_core.study.examples import EXAMPLES, examples, is_example
from lori_core.study.reach import Reach
from lori_core.study.runs import Run, list_runs
from lori_core.study.there import check_there
from lori_core.translate import translate

LOG = logging.getLogger(__name__)
PRIVATE: dict[str, Any] = {"api_visibility": "private"}  # of handlers: none is part of an interface for programs
QUIET: dict[str, Any] = PRIVATE | {"show_progress": "hidden"}  # of those that take no time
# Of those that go past the queue: in it many readers wait for each other, and gradio's page loses the answer to a click
# that comes just as the answer before it ends. That page shows no gr.Error from there: show an alert() instead.
AT_ONCE: dict[str, Any] = QUIET | {"queue": False}


class Workspace:
    """What one person reads and writes: folders, made where they are not there, and processes that are asked.

    exports: what a page offers for download is written here, and nowhere else.
    reach: what its settings may name, see lori_core/study/reach.py; bases: folders of bases that all may read.
    """

    def __init__(self, folder: Path, exports: Path, bases: tuple[Path, ...] = ()) -> None:
        self.folder, self.exports = folder, exports
        self.reach = Reach(tuple(place.resolve() for place in (self.runs, self.store, self.data)), bases)
        for place in (self.runs, self.store, self.data, self.exports):
            place.mkdir(parents=True, exist_ok=True)
        folders = (self.store, self.runs, self.exports, *bases)
        self.quick, self.slow = Worker(*folders), Worker(*folders)  # the slow one computes on models

    @property
    def runs(self) -> Path:
        """Run folders, see lori_core/study/runs.py."""
        return self.folder / "runs"

    @property
    def store(self) -> Path:
        """An AdapterStore folder."""
        return self.folder / "store"

    @property
    def data(self) -> Path:
        """Files that the user uploaded, as `data/<random>/<file>`."""
        return self.folder / "data"

    def run(self, name: str) -> Run:
        """Of that name, an example too; raises RunError. Names come from the address of a page, so they are checked."""
        if not re.fullmatch(r"\d{8}-\d{6}-[a-z_]+-[0-9a-f]{6}", name):
            raise RunError("no_run_named", name=name[:80])
        example = EXAMPLES / name
        return Run.open(example if example.is_dir() else self.runs / name)

    def own_run(self, name: str) -> Run:
        """The run of that name, to change it; raises RunError as run(), and for an example."""
        run = self.run(name)
        if is_example(run):
            raise RunError("run_is_example")
        return run

    def shown_runs(self) -> list[Run]:
        """Its own, newest first, and last the examples."""
        return [*list_runs(self.runs), *examples()]


class Lab:
    """The workspaces and the queue of jobs, which all share as they share the devices."""

    def __init__(self, folder: Path, jobs: Jobs, named: bool = False, bases: tuple[Path, ...] = ()) -> None:
        """named: those who come have names, each a workspace in folder/users; else all have the one in `folder`.

        bases: folders outside of it whose models may be bases.
        """
        self.folder, self.jobs, self.named = folder, jobs, named
        self.bases = tuple(base.resolve() for base in bases)
        self.exports = folder / "exports"
        self.exports.mkdir(parents=True, exist_ok=True)
        self._of: dict[str | None, Workspace] = {}
        self._change = threading.Lock()
        known = [folder.resolve(), folder, *self.bases, ASSETS.parent, Path(gettempdir()), Path.home()]
        self._places = sorted((f"{place}{os.sep}" for place in known if place != Path(place.anchor)), key=len)[::-1]
        for runs in [folder / "runs", *folder.glob("users/*/runs")]:
            jobs.watch(runs)  # what waits there since earlier goes on whether its owner comes or not

    def workspace(self, user: str | None) -> Workspace:
        """Of that user, as user_of() has it: each of a lab with names, else None.

        Raises:
            ConfigError: it is no name that a user of this lab can have; no folder is looked at.
        """
        if self.named != (user is not None) or (user is not None and not NAME.fullmatch(user)):
            raise ConfigError("bad_user_name", name=str(user)[:80])
        with self._change:
            if user not in self._of:
                self._of[user] = self._new(user)
                self.jobs.watch(self._of[user].runs)
            return self._of[user]

    def without_places(self, text: str) -> str:
        """A text without the folders of this machine: what lies in one of them is named from there on."""
        for place in self._places:
            text = text.replace(place, "")
        return text

    def _new(self, name: str | None) -> Workspace:
        if name is None:
            return Workspace(self.folder, self.exports, self.bases)
        # gradio serves whatever lies in its working directory, so only who is told the address can ask for it
        return Workspace(self.folder / "users" / name, self.exports / secrets.token_urlsafe(16), self.bases)


def on_load(handler: Callable[..., Any], inputs: Any = None, outputs: Any = None) -> Any:
    """Runs the handler when somebody opens the page that is being built, also after a reload."""
    blocks = Building.root_block
    assert blocks is not None, "on_load belongs inside a page's build()"
    return gr.on([blocks.load], handler, inputs, outputs, **QUIET)


def alert(refusal: str) -> str:
    """The HTML of a refusal that stays on the page; the text must be escaped, as Context.in_words() is."""
    return f'<p role="alert">{refusal}</p>'


@dataclass(frozen=True)
class Context:
    """What a page is built from. language: "en" or "ja", fixed for all that is built with it."""

    lab: Lab
    language: str

    def say(self, key: str, **values: object) -> str:
        """The text `app.<key>` of assets/translations/<language>/app*.json."""
        return translate(f"app.{key}", self.language, **values)

    def error(self, error: LoRIError) -> gr.Error:
        """A refusal to raise from a handler: it is shown as a message in the reader's language."""
        return self._refusal(self.in_words(error))

    def in_words(self, error: LoRIError) -> str:
        """In the reader's language, as HTML: it holds names from users. Where this machine keeps things is not told."""
        said = error.in_language(self.language).encode(errors="replace").decode()
        return escape(self.lab.without_places(said), quote=False)

    def missing(self, key: str) -> gr.Error:
        """A refusal of a form that is not filled in, to raise from a handler."""
        return self._refusal(self.say(key))

    def _refusal(self, text: str) -> gr.Error:
        return gr.Error(text, title=self.say("refused"), print_exception=False)

    @property
    def workspace(self) -> Workspace:
        """Of the reader whose request a handler answers."""
        request = LocalContext.request.get(None)
        return self.lab.workspace(user_of(request.state) if request else None)

    @property
    def jobs(self) -> Jobs:
        return self.lab.jobs

    def refused(self, error: Exception) -> str:
        """The alert() of what a handler past the queue raised, whatever it is: from there the page shows no message."""
        if isinstance(error, gr.Error):
            return alert(error.message)
        if isinstance(error, LoRIError):
            return alert(self.in_words(error))
        LOG.error("A button did not do what it should", exc_info=error)
        return alert(escape(self.lab.without_places(self.say("unknown_error", error=error))))

    def submit(self, kind: str, config: Config) -> str:
        """Puts a new run into the queue; its name, as OPEN_RUN takes it. Settings that cannot be met are refused."""
        self.check(config)
        try:
            return self.jobs.submit(self.workspace.runs, kind, config.model_dump(mode="json")).path.name
        except LoRIError as error:  # the disk is full, or cannot be written to
            raise self.error(error) from None

    def check(self, config: Config) -> None:
        """Raises gr.Error where settings ask to run foreign code, or name what is out of reach or not there."""
        try:
            refuse_powers(dict(config))
            self.workspace.reach.check(config)
            check_there(config)
        except LoRIError as error:
            raise self.error(error) from None

    def ask(self, operation: str, **arguments: Any) -> Any:
        """What an operation of lori_core/service/worker.py returns; its refusals are shown in the page's language."""
        try:
            return self.workspace.quick.ask(operation, **arguments)
        except LoRIError as error:
            raise self.error(error) from None

    def stream(self, operation: str, **arguments: Any) -> Iterator[Any]:
        """What an operation that takes its time yields, part by part; it holds up nobody who only asks."""
        try:
            yield from self.workspace.slow.stream(operation, **arguments)
        except LoRIError as error:
            raise self.error(error) from None
