"""A merge before and after, and the search of its weight."""

import plotly.graph_objects as go

from lori_core.figures.drawing import GREY, Drawing, drawing
from lori_core.figures.means import mean_score, values_of
from lori_core.figures.rows import error_bars, height, score_axes
from lori_core.figures.wording import listed, mean_and_worst, number, plain, sentences
from lori_core.results import MergeTrial, Score
from lori_core.translate import translate

BLUE = "#0072B2"  # Okabe and Ito
LANES = (-0.12, 0.12)  # before above after, so that their intervals do not cover each other


def before_after(trial: MergeTrial, language: str = "en") -> Drawing:
    """By task: its own adapter (hollow), all adapters in one (filled), both with intervals; the base as a grey line."""
    figure = go.Figure(_base_trace(trial, language))
    ends = (trial.before, trial.after)
    pairs = [[end[task].value for end in ends] for task in trial.tasks]
    figure.add_scatter(
        x=[part for pair in pairs for part in (*pair, None)],
        y=[part for row in range(len(pairs)) for part in (row + LANES[0], row + LANES[1], None)],
        mode="lines",
        line={"color": BLUE, "width": 2},
        showlegend=False,
        hoverinfo="skip",
    )
    for lane, end, name in zip(LANES, ends, ("single", "merged"), strict=True):
        figure.add_trace(_marks([end[task] for task in trial.tasks], lane, name, language))
    score_axes(figure, trial.tasks, language)
    summary = translate(
        "figures.before_after.summary",
        language,
        before=mean_and_worst(values_of(trial.before), language),
        after=mean_and_worst(values_of(trial.after), language),
        base=mean_and_worst(values_of(trial.base), language),
        weights=listed((f"{weight:g}" for weight in trial.weights), language),
    )
    labels = [
        (trial.base, "figures.base"),
        (trial.before, "figures.column.single"),
        (trial.after, "figures.column.merged"),
    ]
    rows = [
        [task, translate(label, language), *map(number, mean_score([scores[task]]))]
        for task in trial.tasks
        for scores, label in labels
    ]
    header = ("task", "condition", "score", "low", "high", "loss")
    tall = height(trial.tasks, ("single", "merged"))
    return drawing("before_after", language, figure, summary, header, rows, tall, merge=trial.merge)


def weight_search(trial: MergeTrial, language: str = "en") -> Drawing:
    """Mean validation score against the scale of all weights; the ring is the one that was taken."""
    curve = {float(scale): mean for scale, mean in trial.validation.items()}
    best = max(curve, key=curve.__getitem__)
    x = sorted(curve)
    figure = go.Figure()
    figure.add_scatter(
        x=x, y=[curve[scale] for scale in x], mode="lines+markers", line={"color": BLUE}, showlegend=False
    )
    ring = {"color": "rgba(0,0,0,0)", "size": 17, "line": {"color": BLUE, "width": 2}}
    figure.add_scatter(x=[best], y=[curve[best]], mode="markers", marker=ring, showlegend=False, hoverinfo="skip")
    figure.update_xaxes(title_text=translate("figures.axis.scale", language))
    figure.update_yaxes(title_text=translate("figures.axis.validation", language), range=[0, 1.02])
    summary = translate("figures.weight_search.summary", language, scale=f"{best:g}", score=number(curve[best], 2))
    if trial.climbed is not None:
        scales = (f"{group} {', '.join(f'{scale:g}' for scale in own)}" for group, own in trial.groups.items())
        reached = {"score": number(trial.climbed, 2), "weights": listed(scales, language)}
        each = translate("figures.weight_search.each", language, tried=trial.tried, **reached)
        summary = sentences([summary, each], language)
    rows = [[f"{scale:g}", number(curve[scale])] for scale in x]
    return drawing("weight_search", language, figure, summary, ("scale", "validation"), rows, 300)


def _base_trace(trial: MergeTrial, language: str) -> go.Scatter:
    """One grey upright line a task."""
    name = translate("figures.base", language)
    return go.Scatter(
        x=[part for task in trial.tasks for part in (trial.base[task].value,) * 2 + (None,)],
        y=[part for row in range(len(trial.tasks)) for part in (row - 0.42, row + 0.42, None)],
        mode="lines",
        line={"color": GREY, "width": 3},
        name=name,
        meta="base",
        hovertemplate=f"{plain(name)} %{{x:.3f}}<extra></extra>",
    )


def _marks(scores: list[Score], lane: float, name: str, language: str) -> go.Scatter:
    label = translate(f"figures.column.{name}", language)
    hollow = {"color": "rgba(0,0,0,0)", "symbol": "circle", "size": 10, "line": {"color": BLUE, "width": 2}}
    return go.Scatter(
        x=[score.value for score in scores],
        y=[row + lane for row in range(len(scores))],
        error_x=error_bars(scores) | {"color": BLUE},
        mode="markers",
        marker=hollow if name == "single" else {"color": BLUE, "symbol": "circle", "size": 11},
        cliponaxis=False,
        name=label,
        meta=name,
        hovertemplate=f"{plain(label)} %{{x:.3f}}<extra></extra>",
    )
