"""Tasks learned one after another: what is kept, what is learned."""

from collections.abc import Sequence
from statistics import fmean

import plotly.graph_objects as go

from lori_core.figures.drawing import (
    METHOD_MARKS,
    Drawing,
    categories,
    drawing,
    listed,
    method_label,
    number,
    plain,
)
from lori_core.results import ContinualResult
from lori_core.translate import translate


def continual_matrix(sequence: ContinualResult, language: str = "en") -> Drawing:
    """Score on each task (column) after each task was learned (row)."""
    figure = go.Figure(
        go.Heatmap(
            z=sequence.matrix,
            zmin=0,
            zmax=1,
            colorscale="Cividis",
            texttemplate="%{z:.2f}",
            hovertemplate="%{z:.3f}<extra></extra>",
            colorbar={"title": {"text": translate("figures.axis.score", language)}},
        )
    )
    figure.update_xaxes(title_text=translate("figures.axis.scored_on", language), showgrid=False)
    figure.update_xaxes(**categories(sequence.order))
    figure.update_yaxes(title_text=translate("figures.axis.after", language), showgrid=False)
    figure.update_yaxes(**categories(sequence.order, reverse=True))
    label = method_label(sequence.method, language)
    each = (
        f"{task} {number(sequence.matrix[index][index], 2)} → {number(sequence.matrix[-1][index], 2)}"
        for index, task in enumerate(sequence.order)
    )
    summary = translate("figures.continual_matrix.summary", language, each=listed(each, language))
    rows = [
        [
            after,
            on,
            number(sequence.matrix[i][j]),
            number(sequence.scores[i][j].low),
            number(sequence.scores[i][j].high),
        ]
        for i, after in enumerate(sequence.order)
        for j, on in enumerate(sequence.order)
    ]
    height = 190 + 44 * len(sequence.order)
    header = ("after", "scored_on", "score", "low", "high")
    titles = {"method": label, "seed": str(sequence.seed)}
    return drawing("continual_matrix", language, figure, summary, header, rows, height, **titles)


def continual_axes(sequences: Sequence[ContinualResult], language: str = "en") -> Drawing:
    """Old kept against new learned, one mark for each sequence of at least two tasks. Upper right is better."""
    figure, rows, shown = go.Figure(), [], set()
    for sequence in sequences:
        learned, kept = learned_and_kept(sequence)
        colour, shape = METHOD_MARKS[sequence.method]
        label = method_label(sequence.method, language)
        figure.add_scatter(
            x=[learned],
            y=[kept],
            mode="markers",
            marker={"color": colour, "symbol": shape, "size": 13},
            name=label,
            legendgroup=label,
            showlegend=label not in shown,
            cliponaxis=False,
            text=[plain(f"{label}, {translate('figures.seed', language, seed=sequence.seed)}")],
            hovertemplate="%{text}<br>%{x:.3f}, %{y:.3f}<extra></extra>",
        )
        shown.add(label)
        rows.append([label, str(sequence.seed), number(learned), number(kept)])
    figure.update_xaxes(title_text=translate("figures.axis.learned", language), range=[0, 1.02])
    figure.update_yaxes(title_text=translate("figures.axis.old_kept", language), range=[0, 1.02])
    summary = translate("figures.continual_axes.summary", language, each=_mean_axes(sequences, language))
    return drawing("continual_axes", language, figure, summary, ("method", "seed", "learned", "old_kept"), rows, 380)


def _mean_axes(sequences: Sequence[ContinualResult], language: str) -> str:
    """By method, the means over seeds."""
    axes: dict[str, list[tuple[float, float]]] = {}
    for sequence in sequences:
        axes.setdefault(method_label(sequence.method, language), []).append(learned_and_kept(sequence))
    means = {label: [number(fmean(part), 2) for part in zip(*points, strict=True)] for label, points in axes.items()}
    return listed((f"{label} {learned} / {kept}" for label, (learned, kept) in means.items()), language)


def learned_and_kept(sequence: ContinualResult) -> tuple[float, float]:
    """(mean score right after learning of all tasks but the first, mean final score of all tasks but the last)."""
    learned = fmean(sequence.matrix[i][i] for i in range(1, len(sequence.order)))
    return learned, fmean(sequence.matrix[-1][:-1])
