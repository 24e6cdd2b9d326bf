"""What pages are built from: the lab (one a process), a workspace (one a user), a context (one a language)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import context

from app.jobs import Jobs
from lori_core.errors import LoRIError, RunError
from lori_core.runs import Run
from lori_core.translate import translate


@dataclass(frozen=True)
class Workspace:
    """The folders of one user. All paths that a page reads or writes lie in `folder`."""

    folder: Path

    @property
    def runs(self) -> Path:
        """Run folders, see lori_core/runs.py."""
        return self.folder / "runs"

    @property
    def store(self) -> Path:
        """An AdapterStore folder."""
        return self.folder / "store"

    @property
    def data(self) -> Path:
        """Files that the user uploaded, as `data/<random>/<file>`."""
        return self.folder / "data"

    @property
    def exports(self) -> Path:
        """What a page offers for download is written here, and nowhere else."""
        return self.folder / "exports"

    def run(self, name: str) -> Run:
        """The run of that name; raises RunError. Names come from the address of a page, so they are checked."""
        if not re.fullmatch(r"\d{8}-\d{6}-[a-z_]+-[0-9a-f]{6}", name):
            raise RunError("no_run_named", name=name[:80])
        return Run.open(self.runs / name)


class Lab:
    """Folders and the queue of jobs."""

    def __init__(self, folder: Path, jobs: Jobs, with_users: bool = False) -> None:
        """folder: of everything. with_users: each user has a workspace, `folder/users/<name>`, else all share one."""
        self.folder, self.jobs, self.with_users = folder, jobs, with_users
        for place in sorted((folder / "users").glob("*")) if with_users else [folder]:
            jobs.watch(Workspace(place).runs)

    def workspace(self, request: gr.Request) -> Workspace:
        """Of whoever asks."""
        here = Workspace(
            self.folder / "users" / request.username if self.with_users and request.username else self.folder
        )
        for folder in (here.runs, here.store, here.data, here.exports):
            folder.mkdir(parents=True, exist_ok=True)
        self.jobs.watch(here.runs)
        return here


def on_load(handler: Callable[..., Any], inputs: Any = None, outputs: Any = None) -> Any:
    """Runs the handler when somebody opens the page that is being built, also after a reload."""
    blocks = context.Context.root_block
    assert blocks is not None, "on_load belongs inside a page's build()"
    return gr.on([blocks.load], handler, inputs, outputs, api_visibility="private", show_progress="hidden")


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
        return gr.Error(error.in_language(self.language), title=self.say("refused"), print_exception=False)

    def workspace(self, request: gr.Request) -> Workspace:
        return self.lab.workspace(request)

    @property
    def jobs(self) -> Jobs:
        return self.lab.jobs
