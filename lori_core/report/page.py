"""Report page of a study: one self-contained HTML file, for a manager and an engineer. It opens without a network.

Names and outputs come from users and models. The template escapes all of them, and the page's content policy runs only
the scripts whose hashes it names and allows no request, so that a slip in escaping would still run nothing.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import groupby
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lori_core import figures
from lori_core.assets import ASSETS, PLOTLY_JS
from lori_core.figures import Drawing
from lori_core.figures.forecast import forecast_and_measured, top_of
from lori_core.figures.means import merge_methods, methods, seeds
from lori_core.figures.wording import listed, method_label, sentences
from lori_core.report.findings import findings, isolation_notes
from lori_core.report.verdict import duration, first_page
from lori_core.results import Calibration, ContinualResult, Score, StudyResult
from lori_core.translate import translate

MONEY_JS = ASSETS / "report" / "money.js"
DRAW = """
const figures = JSON.parse(document.getElementById("figures").textContent);
const plots = [...document.querySelectorAll(".plot")];
plots.forEach((element, place) =>
  Plotly.newPlot(element, figures[place].data, figures[place].layout, {responsive: true, displayModeBar: false}));
const onPaper = (width) => plots.forEach((element) => Plotly.relayout(element, {width, autosize: !width}));
addEventListener("beforeprint", () => onPaper(620));
addEventListener("afterprint", () => onPaper(null));
"""


@dataclass(frozen=True)
class Section:
    """Figures under one heading; each group has the same limits, which are said once.

    notes: what holds for all of them: of which seed they are, what held the programs behind the scores.
    """

    title: str
    groups: list[list[Drawing]]
    notes: list[str]


def study_page(result: StudyResult, language: str = "en") -> str:
    """The page as HTML text."""
    sections = _sections(result, language)
    drawings = [drawing for section in sections for group in section.groups for drawing in group]
    first = first_page(result, language)
    return rendered(
        "report.html",
        drawings,
        language,
        MONEY_JS.read_text(encoding="utf-8"),
        result=result,
        done=_done(result, language),
        first=first,
        took=duration(first.seconds, language),
        findings=findings(result, language),
        samples={task: outputs for task, outputs in result.samples.items() if outputs},
        sections=sections,
        spec=json.dumps({"kind": "study", "version": 1, "config": result.config}, ensure_ascii=False, indent=1),
    )


def _done(result: StudyResult, language: str) -> str:
    """What was done, in one paragraph."""
    parts = [
        translate(
            "report.done.singles",
            language,
            base=result.base,
            tasks=listed(result.tasks, language),
            methods=listed((method_label(method, language) for method in methods(result)), language),
            seeds=listed((str(seed) for seed in seeds(result)), language),
            n=max((score.n for score in result.base_scores.values()), default=0),
        )
    ]
    if merge_methods(result):
        parts.append(translate("report.done.merges", language, merges=listed(merge_methods(result), language)))
    if sequences := _sequences(result):
        parts.append(translate("report.done.continual", language, order=" → ".join(sequences[0].order)))
    return sentences(parts, language)


def _sections(result: StudyResult, language: str) -> list[Section]:
    """Only what the study holds: no empty figures."""
    merges = merge_methods(result)
    masks = _first_calibrations(result)
    top = max((kept for calibration in masks for kept in calibration.kept.values()), default=0.0)
    calibrations = [each.calibration for each in result.singles if each.calibration and len(each.calibration.looks) > 1]
    sequences = _sequences(result)
    first = [sequence for sequence in sequences if sequence.seed == sequences[0].seed]
    drawings = {
        "cost": [figures.cost(result, language)],
        "scores": [figures.scores(result, language)]
        + [figures.confusion(result, task, language) for task in figures.confused_tasks(result)],
        "merging": [figures.merged(result, merge, language) for merge in merges]
        + [figures.merge_weights(result, merge, language) for merge in merges],
        "continual": ([figures.continual_axes(sequences, language)] if sequences else [])
        + [figures.continual_matrix(sequence, language) for sequence in first],
        "masks": [figures.mask(calibration, language, top) for calibration in masks]
        + ([figures.mask_settling(calibrations, language)] if calibrations else []),
        "interference": _overlaps(result, language),
        "training": [figures.losses(result, task, language) for task in result.tasks],
    }
    notes = {name: isolation_notes(scores, language) for name, scores in _scores(result).items()}
    if len(seeds(result)) > 1:
        notes["interference"] = [translate("report.first_seed", language, seed=seeds(result)[0])]
    return [
        Section(
            translate(f"report.section.{name}", language),
            [list(group) for _, group in groupby(found, key=lambda drawing: drawing.limits)],
            notes.get(name, []),
        )
        for name, found in drawings.items()
        if found
    ]


def _overlaps(result: StudyResult, language: str) -> list[Drawing]:
    """Of each method what was measured for pairs of tasks; what was forecast stands last, as one."""
    several = [(method, matrix) for method, matrix in result.interference if len(matrix.names) > 1]
    forecasts = [(method, matrix) for method, matrix in several if matrix.measure == "forecast"]
    top = top_of([matrix for _, matrix in forecasts])
    found = [figures.pairs(method, matrix, language) for method, matrix in several if matrix.measure != "forecast"]
    found += [
        figures.forecast_matrix(method_label(method, language), matrix, top, language) for method, matrix in forecasts
    ]
    points = forecast_and_measured(several)
    return [*found, figures.forecast_against_measured(points, language)] if points else found


def _sequences(result: StudyResult) -> list[ContinualResult]:
    """Those in which anything followed on something."""
    return [sequence for sequence in result.continual if len(sequence.order) > 1]


def _scores(result: StudyResult) -> dict[str, list[Score]]:
    """Section -> the scores that its figures show."""
    return {
        "scores": [*result.base_scores.values(), *(each.score for each in (*result.singles, *result.controls))],
        "merging": [
            score for merge in result.merges for score in (*merge.scores.values(), *merge.scores_at_one.values())
        ],
        "continual": [score for sequence in result.continual for row in sequence.scores for score in row],
    }


def _first_calibrations(result: StudyResult) -> list[Calibration]:
    """One calibration a task: that of the first seed."""
    by_task: dict[str, Calibration] = {}
    for single in result.singles:
        if single.calibration:
            by_task.setdefault(single.task, single.calibration)
    return list(by_task.values())


def rendered(template: str, drawings: Sequence[Drawing], language: str, *more_scripts: str, **values: Any) -> str:
    """A page of assets/report, which brings all that it needs and allows itself nothing else.

    Args:
        drawings: in the order in which the page has them.
        values: what the template says, beside what every page has.
    """
    pages = Environment(
        loader=FileSystemLoader(ASSETS / "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    scripts = (PLOTLY_JS.read_text(encoding="utf-8"), DRAW, *more_scripts)
    return pages.get_template(template).render(
        language=language,
        say=partial(translate, language=language),
        figures_json=figures_json(drawings),
        scripts=scripts,
        script_hashes=[_policy_hash(script) for script in scripts],
        **values,
    )


def figures_page(title: str, lead: str, sections: Sequence[tuple[str, Drawing]], language: str) -> str:
    """A page of figures alone, each under a heading of its own."""
    drawings = [drawing for _, drawing in sections]
    return rendered("figures.html", drawings, language, title=title, lead=lead, sections=sections)


def figures_json(drawings: Sequence[Drawing]) -> str:
    """The figures in page order, safe inside a script element. Their titles are headings of the page instead.

    Dragging is off: on a phone it would zoom where the reader wants to scroll.
    """
    text = "[" + ",\n".join(str(drawing.untitled(dragmode=False).to_json()) for drawing in drawings) + "]"
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _policy_hash(script: str) -> str:
    return "sha256-" + b64encode(sha256(script.encode()).digest()).decode()
