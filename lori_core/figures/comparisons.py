"""Comparisons: a few scores side by side, a score along a dial, where chance lies for updates of any width."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from lori_core.figures.drawing import FAINT, GREY, Drawing, categories, drawing, task_mark, variant_marks
from lori_core.figures.means import Interval, values_of
from lori_core.figures.rows import error_bars, height, lane_of, score_axes
from lori_core.figures.wording import listed, mean_and_worst, number, plain
from lori_core.results import Score
from lori_core.translate import messages, translate

MASK_STEPS = ("random_mask", "matched_mask", "calibrated")  # each adds one thing to the one before
GAIN_PARTS = ("density", "position")


def variant_label(variant: str, language: str) -> str:
    """What `figures.variant.*` calls it, or `figures.method.*`; a name that is not there stands for itself."""
    known = messages(language)
    return known.get(f"figures.variant.{variant}") or known.get(f"figures.method.{variant}", variant)


def compared_scores(scores: Mapping[str, Mapping[str, Score]], language: str = "en") -> Drawing:
    """Scores with 95 % intervals, a row a task, a mark a variant.

    Args:
        scores: variant -> task -> score.
    """
    figure, rows = _in_lanes(scores, language)
    counts = [str(score.n) for by_task in scores.values() for score in by_task.values()]
    cells = [[*row, count] for row, count in zip(rows, counts, strict=True)]
    summary = translate("figures.compared_scores.summary", language, means=_means(scores, language))
    header = ("task", "variant", "score", "low", "high", "n")
    return drawing("compared_scores", language, figure, summary, header, cells, _height(scores))


def kept_gains(kept: Mapping[str, Mapping[str, Interval]], language: str = "en") -> Drawing:
    """Shares of a single adapter's gain that merges keep, with 95 % intervals, a row a task, a mark a variant.

    Args:
        kept: variant -> task -> share; below 0 the merge does worse than the bare base.
    """
    figure, rows = _in_lanes(kept, language)
    figure.update_xaxes(title_text=translate("figures.axis.kept_gain", language), range=None)
    for end in (0, 1):
        figure.add_vline(x=end, line={"color": GREY, "width": 1, "dash": "dot"})
    summary = translate("figures.kept_gains.summary", language, means=_means(kept, language))
    header = ("task", "variant", "kept_gain", "low", "high")
    return drawing("kept_gains", language, figure, summary, header, rows, _height(kept))


Measured = Mapping[str, Mapping[str, Score]] | Mapping[str, Mapping[str, Interval]]  # variant -> task -> measure


def _in_lanes(measured: Measured, language: str) -> tuple[go.Figure, list[list[str]]]:
    """Marks with their intervals, and a row of the table for each: task, variant, value, low, high."""
    tasks = list(dict.fromkeys(task for by_task in measured.values() for task in by_task))
    figure, rows, marks = go.Figure(), [], variant_marks(list(measured))
    for place, (variant, by_task) in enumerate(measured.items()):
        label, (colour, shape) = variant_label(variant, language), marks[variant]
        lane = lane_of(place, len(measured))
        figure.add_scatter(
            x=[each.value for each in by_task.values()],
            y=[tasks.index(task) + lane for task in by_task],
            error_x=error_bars(list(by_task.values())),
            mode="markers",
            marker={"color": colour, "symbol": shape, "size": 10},
            name=plain(label),
            meta=variant,
            cliponaxis=False,
            hovertemplate="%{x:.3f}<extra>" + plain(label) + "</extra>",
        )
        rows += [[task, label, *map(number, (e.value, e.low, e.high))] for task, e in by_task.items()]
    score_axes(figure, tasks, language)
    return figure, rows


def _means(measured: Measured, language: str) -> str:
    """Mean and worst task of each variant."""
    each = (
        f"{variant_label(variant, language)} {mean_and_worst(values_of(by_task), language)}"
        for variant, by_task in measured.items()
    )
    return listed(each, language)


def _height(measured: Measured) -> int:
    """Names of variants are longer than those of methods: two lines of legend."""
    tasks = list(dict.fromkeys(task for by_task in measured.values() for task in by_task))
    return height(tasks, list(measured)) + 20


def mask_gain(scores: Mapping[str, Mapping[str, Score | Interval]], language: str = "en") -> Drawing:
    """What a calibrated mask adds to a random one, in two steps: how many entries each module keeps, and which.

    Args:
        scores: each of MASK_STEPS -> task -> score; over several seeds, means.mean_score of them.
    """
    tasks = list(scores[MASK_STEPS[0]])
    figure, rows = go.Figure(), []
    lanes = [lane_of(place, len(MASK_STEPS)) for place in range(len(MASK_STEPS))]
    for place, part in enumerate(GAIN_PARTS):
        ends = [[scores[step][task].value for step in MASK_STEPS[place : place + 2]] for task in tasks]
        figure.add_scatter(
            x=[x for pair in ends for x in (*pair, None)],
            y=[y for row in range(len(tasks)) for y in (row + lanes[place], row + lanes[place + 1], None)],
            mode="lines",
            line={"color": task_mark(place)[0], "width": 4},
            name=translate(f"figures.mask_gain.{part}", language),
            meta=part,
        )
    for place, step in enumerate(MASK_STEPS):
        of_step = [scores[step][task] for task in tasks]
        figure.add_scatter(
            x=[score.value for score in of_step],
            y=[row + lanes[place] for row in range(len(tasks))],
            error_x=error_bars(of_step) | {"color": GREY},
            mode="markers",
            marker={"color": GREY, "symbol": task_mark(place)[1], "size": 10},
            name=plain(variant_label(step, language)),
            meta=step,
            cliponaxis=False,
        )
    score_axes(figure, tasks, language)
    parts = {
        part: {task: scores[MASK_STEPS[i + 1]][task].value - scores[MASK_STEPS[i]][task].value for task in tasks}
        for i, part in enumerate(GAIN_PARTS)
    }
    for task in tasks:
        cells = [*(scores[step][task].value for step in MASK_STEPS), *(parts[part][task] for part in GAIN_PARTS)]
        rows.append([task, *map(number, cells)])
    said = {part: mean_and_worst(by_task, language) for part, by_task in parts.items()}
    summary = translate("figures.mask_gain.summary", language, **said)
    header = ("task", *MASK_STEPS, *GAIN_PARTS)
    return drawing("mask_gain", language, figure, summary, header, rows, height(tasks, MASK_STEPS) + 20)


def dial(kind: str, lines: Mapping[str, Mapping[float, float]], language: str = "en") -> Drawing:
    """A number (1 at most) along a setting; a line for each name. Settings are equally far apart, whatever they are.

    Args:
        kind: what is turned and what is read, texts `figures.dial.<kind>.*`.
        lines: name -> setting -> number.
    """
    settings = sorted({setting for points in lines.values() for setting in points})
    figure, rows, marks = go.Figure(), [], variant_marks(list(lines))
    for name, points in lines.items():
        label, (colour, shape) = variant_label(name, language), marks[name]
        figure.add_scatter(
            x=[settings.index(setting) for setting in points],
            y=list(points.values()),
            mode="lines+markers",
            line={"color": colour},
            marker={"symbol": shape, "size": 9},
            name=plain(label),
            meta=name,
            showlegend=len(lines) > 1,
            cliponaxis=False,
        )
        rows += [[label, f"{setting:g}", number(value)] for setting, value in points.items()]
    lowest = min(value for points in lines.values() for value in points.values())
    figure.update_xaxes(title_text=translate(f"figures.dial.{kind}.setting", language))
    figure.update_xaxes(**categories([f"{setting:g}" for setting in settings]))
    figure.update_yaxes(
        title_text=translate(f"figures.dial.{kind}.value", language), range=[min(0.0, 1.05 * lowest), 1.03]
    )
    each = (
        f"{variant_label(name, language)} {number(min(points.values()), 2)} – {number(max(points.values()), 2)}"
        for name, points in lines.items()
    )
    summary = translate("figures.dial.summary", language, each=listed(each, language))
    return drawing(f"dial.{kind}", language, figure, summary, ("variant", "setting", "value"), rows, 320)


def cosines_by_width(measured: Mapping[str, Mapping[int, Sequence[float]]], rank: int, language: str = "en") -> Drawing:
    """Cosines of two tasks' updates against the width d of what they read, over the band of ±2/√(rank · d).

    That is two standard deviations of the cosine where both tasks have one B, random and much taller than the rank;
    in general it is ‖B_sᵀ B_t‖_F / (√d ‖B_s‖_F ‖B_t‖_F).

    Args:
        measured: variant -> in_features -> cosines.
    """
    widths = sorted({width for by_width in measured.values() for width in by_width})
    edge = [2 / (rank * width) ** 0.5 for width in widths]
    band = go.Scatter(
        x=[*widths, *widths[::-1]],
        y=[*edge, *(-each for each in edge[::-1])],
        fill="toself",
        fillcolor=FAINT,
        line={"color": GREY, "width": 1, "dash": "dot"},
        mode="lines",
        name=translate("figures.cosines_by_width.band", language),
        meta="band",
        hoverinfo="skip",
    )
    figure, rows, marks = go.Figure(band), [], variant_marks(list(measured))
    for variant, by_width in measured.items():
        label, (colour, shape) = variant_label(variant, language), marks[variant]
        points = [(width, cosine) for width, cosines in by_width.items() for cosine in cosines]
        figure.add_scatter(
            x=[width for width, _ in points],
            y=[cosine for _, cosine in points],
            mode="markers",
            marker={"color": colour, "symbol": shape, "size": 7, "opacity": 0.75},
            name=plain(label),
            meta=variant,
        )
        rows += [
            [label, str(width), number(max(map(abs, cosines)), 4), number(1 / (rank * width) ** 0.5, 4)]
            for width, cosines in by_width.items()
        ]
    figure.update_xaxes(title_text=translate("figures.axis.width", language), type="log", tickvals=widths)
    figure.update_yaxes(title_text=translate("figures.measure.cosine", language))
    widest = [row for row in rows if row[1] == str(widths[-1])]
    summary = translate(
        "figures.cosines_by_width.summary",
        language,
        width=widths[-1],
        each=listed((f"{row[0]} {row[2]}" for row in widest), language),
        chance=widest[0][3],
    )
    header = ("variant", "width", "largest", "chance")
    return drawing("cosines_by_width", language, figure, summary, header, rows, 400)
