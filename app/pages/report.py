"""Report: of a finished study, what it found in one sentence, and the page to hand out, shown and downloadable."""

from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from app.address import asked, kept_in_address
from app.lab import QUIET, Context, Lab, on_load
from app.passwords import user_of
from app.run_labels import finished, label, run_choices
from lori_core.errors import LoRIError
from lori_core.files import read_file
from lori_core.report.page import study_page
from lori_core.report.verdict import risks, verdict
from lori_core.results import StudyResult
from lori_core.study.examples import is_example
from lori_core.study.layout import Layout
from lori_core.study.runs import Run
from lori_core.translate import LANGUAGES, translate

SANDBOX = "allow-scripts allow-downloads"  # without its own origin: nothing in a report can act as the reader


def build(page: Context) -> None:
    gr.Markdown(f"# {page.say('report.title')}\n\n{page.say('report.what')}")
    with gr.Row():
        pick = gr.Dropdown([], label=page.say("report.pick"), interactive=True, scale=3)
        language = gr.Radio(
            [(translate("app.language", each), each) for each in LANGUAGES],
            value=page.language,
            label=page.say("report.language"),
        )
    shown = gr.HTML()

    def first(request: gr.Request) -> Any:
        runs = finished(page, "study")
        names = [run.path.name for run in runs]
        value = next((name for name in [*asked(request, "run"), *names] if name in names), None)
        return gr.update(choices=run_choices(runs, lambda run: label(page, run)), value=value)

    def look(name: str, language: str) -> str:
        try:
            result = page.workspace.run(name).result_as(StudyResult)
        except LoRIError as error:
            raise page.error(error) from None
        return _sentences(result, language) + _frame(page, name, language)

    on_load(first, None, pick).then(look, [pick, language], shown, **QUIET)
    kept_in_address(pick, "run")
    gr.on([pick.change, language.change], look, [pick, language], shown, **QUIET)


def serve(lab: Lab, run: str, language: str, request: Request) -> Response:
    """The page of a study, as text that only the reader's own machine can run; `?save` downloads it."""
    if language not in LANGUAGES:
        raise HTTPException(404)
    try:
        found = lab.workspace(user_of(request.state)).run(run)
        page = (
            _of_example(found.path, language) if is_example(found) else read_file(Layout(found.path).report(language))
        )
    except (LoRIError, OSError):
        raise HTTPException(404) from None
    kind = "attachment" if "save" in request.query_params else "inline"
    headers = {
        "Content-Disposition": f'{kind}; filename="{run}.{language}.html"',
        "Content-Security-Policy": f"sandbox {SANDBOX}",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(page, headers=headers)


@lru_cache(maxsize=4)
def _of_example(path: Path, language: str) -> bytes:
    """It ships without: with the plotting library in it, it is larger than all the rest."""
    return study_page(Run.open(path).result_as(StudyResult), language).encode()


def _sentences(result: StudyResult, language: str) -> str:
    """What a manager needs: the verdict and why, and what to know before believing it."""
    _, word, reason = verdict(result, language)
    doubts = "".join(f"<li>{escape(each)}</li>" for each in risks(result, language))
    said = f'<p class="lead"><strong>{escape(word)}</strong> {escape(reason)}</p>'
    return f'<div lang="{language}">{said}<ul class="doubts">{doubts}</ul></div>'


def _frame(page: Context, name: str, language: str) -> str:
    address, title = f"/report/{name}/{language}", escape(page.say("report.title"))
    return (
        f'<p class="links"><a class="save" href="{address}?save" download>{escape(page.say("report.save"))}</a> · '
        f'<a href="{address}" target="_blank" rel="noopener">{escape(page.say("report.alone"))}</a></p>'
        f'<iframe class="report" sandbox="{SANDBOX}" src="{address}" title="{title}"></iframe>'
    )
