"""Sequences of tasks: what is kept, what is learned."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lori_core.figures.drawing import METHOD_MARKS, Drawing, categories, drawing, task_mark, write_cells
from lori_core.figures.means import mean_score
from lori_core.figures.rows import error_bars
from lori_core.figures.wording import NO_NUMBER, listed, mean_and_worst, method_label, number, plain, short
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
            hovertemplate="%{z:.3f}<extra></extra>",
            colorbar={"title": {"text": translate("figures.axis.score", language)}},
        )
    )
    write_cells(figure, [[f"{value:.2f}" for value in row] for row in sequence.matrix])
    figure.update_xaxes(title_text=translate("figures.axis.scored_on", language), showgrid=False)
    figure.update_xaxes(**categories(sequence.order))
    figure.update_yaxes(title_text=translate("figures.axis.after", language), showgrid=False)
    figure.update_yaxes(**categories(sequence.order, reverse=True))
    label = condition(sequence, language)
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


def continual_axes(sequences: Sequence[ContinualResult], language: str = "en", runs: Sequence[str] = ()) -> Drawing:
    """Old kept against new learned, one mark for each sequence of at least two tasks. Upper right is better.

    Args:
        runs: what the run of each sequence is called; empty: all are of one run.
    """
    figure, rows, shown = go.Figure(), [], set()
    told = _told_runs(sequences, runs)
    known = list(dict.fromkeys(runs))
    for sequence, label, run in zip(sequences, _labels(sequences, language, runs), told, strict=True):
        learned, kept = (fmean(scores([sequence]).values()) for scores in (newly_learned, finally_kept))
        colour, shape = METHOD_MARKS[sequence.method]
        plainly = condition(sequence, language) == method_label(sequence.method, language)
        dot = "-dot" if run and known.index(run) % 2 else ""  # else two runs of one condition would look alike
        figure.add_scatter(
            x=[learned],
            y=[kept],
            mode="markers",
            marker={
                "color": colour,
                "symbol": f"{shape}{'' if plainly else '-open'}{dot}",
                "size": 13,
                "line": {"width": 0 if plainly else 2},
            },
            name=plain(label),
            legendgroup=label,
            meta=_series(sequence, run, str(sequence.seed)),
            showlegend=label not in shown,
            cliponaxis=False,
            text=[plain(f"{label}, {translate('figures.seed', language, seed=sequence.seed)}")],
            hovertemplate="%{text}<br>%{x:.3f}, %{y:.3f}<extra></extra>",
        )
        shown.add(label)
        worst = [_worst(scores) for scores in (newly_learned([sequence]), finally_kept([sequence]))]
        rows.append([label, str(sequence.seed), number(learned), worst[0], number(kept), worst[1]])
    figure.update_xaxes(title_text=translate("figures.axis.learned", language), range=[0, 1.02])
    figure.update_yaxes(title_text=translate("figures.axis.old_kept", language), range=[0, 1.02])
    summary = translate("figures.continual_axes.summary", language, each=_mean_axes(sequences, language, runs))
    header = ("method", "seed", "learned", "worst_learned", "old_kept", "worst_kept")
    return drawing("continual_axes", language, figure, summary, header, rows, 380)


def forgetting(sequences: Sequence[ContinualResult], language: str = "en", runs: Sequence[str] = ()) -> Drawing:
    """Score on each task from when it was learned to the end, means over a run's seeds; a panel for each method.

    Args:
        runs: as continual_axes() has it.
    """
    groups = by_condition(sequences, language, runs)
    told = dict(zip(_labels(sequences, language, runs), _told_runs(sequences, runs), strict=True))
    tasks = list(dict.fromkeys(task for sequence in sequences for task in sequence.order))
    titles = [plain(label) for label in groups]
    gap = 0.35 / len(groups)  # of the height: room for an axis title and the next panel's name
    figure = make_subplots(rows=len(groups), cols=1, subplot_titles=titles, vertical_spacing=gap)
    rows, shown = [], set()
    for panel, (label, found) in enumerate(groups.items(), start=1):
        order = found[0].order
        for task in order:
            series = _series(found[0], told[label], task)
            figure.add_trace(_forgetting_curve(found, task, tasks, series, task not in shown), row=panel, col=1)
            shown.add(task)
        rows += [[label, task, *cells] for task in order for cells in _forgetting_rows(found, task)]
        figure.update_xaxes(**categories(order), row=panel, col=1)
    figure.update_xaxes(title_text=translate("figures.axis.after", language))
    figure.update_yaxes(title_text=translate("figures.axis.score_short", language), range=[-0.03, 1.05])
    figure.update_annotations(x=0, xanchor="left", font={"size": 13})
    summary = translate("figures.forgetting.summary", language, each=lost_and_learned(sequences, language, runs))
    header = ("method", "task", "after", "score", "low", "high", "loss")
    made = drawing("forgetting", language, figure, summary, header, rows, 110 + 240 * len(groups))
    made.figure.update_layout(legend={"y": 1 + 34 / (240 * len(groups))})  # above the first panel's own title
    return made


def lost_and_learned(sequences: Sequence[ContinualResult], language: str, runs: Sequence[str] = ()) -> str:
    """By condition, what earlier tasks lost and in the same breath what the new ones reached."""
    each = (
        translate(
            "figures.lost_and_learned",
            language,
            condition=label,
            lost=mean_and_worst(lost(found), language, max),
            learned=mean_and_worst(newly_learned(found), language),
        )
        for label, found in _with_rates(sequences, language, runs).items()
    )
    return listed(each, language)


def condition(sequence: ContinualResult, language: str) -> str:
    """The method, and where they were not as usual: entries kept apart, masks of own runs, another later
    rate, earlier adapters frozen beside the new one."""
    parts = [method_label(sequence.method, language)]
    if sequence.beside:  # what keeps their entries apart, masks and rates of later tasks: nothing to choose
        return " · ".join([*parts, translate("figures.beside", language)])
    if sequence.overlap == "exclude":
        parts.append(translate("figures.overlap_excluded", language))
    if sequence.method == "lori_s" and sequence.later_masks == "own_run":
        parts.append(translate("figures.own_run_masks", language))
    if sequence.later_rate != 1:
        parts.append(translate("figures.later_rate", language, share=f"{sequence.later_rate:g}"))
    return " · ".join(parts)


def _series(sequence: ContinualResult, run: str, last: str) -> str:
    """The same for programs: "lori_s/exclude/continued/0.1", the run where it has to be told, and a task or a seed."""
    key = f"{sequence.method}/{sequence.overlap}/{sequence.later_masks}/{sequence.later_rate:g}"
    return "/".join(filter(None, [key, run, last]))


def _labels(sequences: Sequence[ContinualResult], language: str, runs: Sequence[str]) -> list[str]:
    """Of each its condition, its order where there are several, and its run where another one has the same of both."""
    several = len({sequence.order for sequence in sequences}) > 1
    return [
        " · ".join(filter(None, [condition(sequence, language), " → ".join(sequence.order) if several else "", run]))
        for sequence, run in zip(sequences, _told_runs(sequences, runs), strict=True)
    ]


def _told_runs(sequences: Sequence[ContinualResult], runs: Sequence[str]) -> list[str]:
    """Of each sequence its run, where another run has one of the same condition and order; else empty.

    No sequence says what else its run was given (base, rank, sparsity, steps), so those of two runs are never averaged.
    """
    runs = runs or [""] * len(sequences)
    alike = [(condition(sequence, "en"), sequence.order) for sequence in sequences]
    of: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for each, run in zip(alike, runs, strict=True):
        of.setdefault(each, set()).add(run)
    return [run if len(of[each]) > 1 else "" for each, run in zip(alike, runs, strict=True)]


def _forgetting_curve(
    found: Sequence[ContinualResult], task: str, tasks: Sequence[str], series: str, legend: bool
) -> go.Scatter:
    first = found[0].order.index(task)
    steps = range(first, len(found[0].order))
    means = [mean_score(sequence.scores[step][first] for sequence in found) for step in steps]
    colour, shape = task_mark(tasks.index(task))
    return go.Scatter(
        x=list(steps),
        y=[mean.value for mean in means],
        error_y=error_bars(means),
        mode="lines+markers",
        line={"color": colour},
        marker={"color": colour, "symbol": shape, "size": 9},
        name=short(task),
        legendgroup=task,
        meta=series,
        showlegend=legend,
        cliponaxis=False,
        hovertemplate=f"{plain(task)} %{{y:.3f}}<extra></extra>",
    )


def _forgetting_rows(found: Sequence[ContinualResult], task: str) -> list[list[str]]:
    """After which task; score, low, high, loss."""
    order = found[0].order
    first = order.index(task)
    means = [mean_score(sequence.scores[step][first] for sequence in found) for step in range(first, len(order))]
    return [[after, *map(number, mean)] for after, mean in zip(order[first:], means, strict=True)]


def _mean_axes(sequences: Sequence[ContinualResult], language: str, runs: Sequence[str]) -> str:
    """By condition, the means over tasks and seeds."""
    each = (
        f"{label} {mean_and_worst(newly_learned(found), language)} / {mean_and_worst(finally_kept(found), language)}"
        for label, found in _with_rates(sequences, language, runs).items()
    )
    return listed(each, language)


def _worst(scores: Mapping[str, float]) -> str:
    """The worst task, where there are several."""
    task = min(scores, key=scores.__getitem__)
    return f"{task} {number(scores[task])}" if len(scores) > 1 else NO_NUMBER


def by_condition(
    sequences: Sequence[ContinualResult], language: str, runs: Sequence[str] = ()
) -> dict[str, list[ContinualResult]]:
    """Those that can be averaged over seeds: of one run, one condition, and one order, by what they are called."""
    groups: dict[str, list[ContinualResult]] = {}
    for sequence, label in zip(sequences, _labels(sequences, language, runs), strict=True):
        groups.setdefault(label, []).append(sequence)
    return groups


def _with_rates(
    sequences: Sequence[ContinualResult], language: str, runs: Sequence[str]
) -> dict[str, list[ContinualResult]]:
    """By condition, named with the learning rate of the new tasks where conditions differ in it."""
    groups = by_condition(sequences, language, runs)
    rates = {label: found[0].learning_rate for label, found in groups.items()}
    if None in rates.values() or len(set(rates.values())) == 1:
        return groups
    return {
        translate("figures.at_learning_rate", language, condition=label, rate=f"{rates[label]:g}"): found
        for label, found in groups.items()
    }


def newly_learned(found: Sequence[ContinualResult]) -> dict[str, float]:
    """task -> score right after it was learned, mean over sequences of one order; all tasks but the first."""
    order = found[0].order
    return {order[i]: fmean(sequence.matrix[i][i] for sequence in found) for i in range(1, len(order))}


def finally_kept(found: Sequence[ContinualResult]) -> dict[str, float]:
    """task -> score at the end, mean over sequences of one order; all tasks but the last."""
    order = found[0].order
    return {order[i]: fmean(sequence.matrix[-1][i] for sequence in found) for i in range(len(order) - 1)}


def lost(found: Sequence[ContinualResult]) -> dict[str, float]:
    """task -> forgetting, mean over sequences of one order; all tasks but the last."""
    return {task: fmean(sequence.forgetting[task] for sequence in found) for task in found[0].order[:-1]}
