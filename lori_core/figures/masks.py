"""Masks and what they and the updates have in common: kept fractions, how a mask settles, pairs of tasks."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, permutations

import plotly.graph_objects as go

from lori_core.figures.drawing import Drawing, categories, drawing, task_mark
from lori_core.figures.places import Grid
from lori_core.figures.wording import listed, method_label, number, percent, plain
from lori_core.results import Calibration, MaskLayout, PairMatrix
from lori_core.translate import translate


def mask(calibration: Calibration, language: str = "en", top: float | None = None) -> Drawing:
    """Kept fraction of each matrix of B, layer by projection, against the target.

    Args:
        top: kept fraction at the end of the colours, so that several masks can be compared; None: the largest here.
    """
    return _kept("mask", calibration.task, calibration.sparsity, calibration.kept, language, top)


def mask_layout(layout: MaskLayout, language: str = "en") -> Drawing:
    """The same of a kept adapter."""
    return _kept("mask_layout", layout.name, layout.sparsity, layout.kept, language)


def _kept(
    kind: str, name: str, sparsity: float, kept: Mapping[str, float], language: str, top: float | None = None
) -> Drawing:
    grid = Grid(kept)
    target = 1 - sparsity
    figure = go.Figure(
        go.Heatmap(
            z=grid.cells,
            zmin=0,
            zmax=top or max(*kept.values(), 1e-9),
            colorscale="Cividis",
            colorbar={
                "title": {"text": translate("figures.axis.kept", language, target=percent(target))},
                "tickformat": ".0%",
            },
            texttemplate="%{z:.0%}" if grid.is_narrow else None,
            hovertemplate="%{y}, %{x}: %{z:.1%}<extra></extra>",
        )
    )
    grid.label(figure, language)
    order = sorted(kept, key=lambda module: kept[module])
    summary = translate(
        f"figures.{kind}.summary",
        language,
        target=percent(target),
        most=order[-1],
        most_kept=percent(kept[order[-1]]),
        least=order[0],
        least_kept=percent(kept[order[0]]),
    )
    rows = [[module, *grid.place(module), percent(fraction)] for module, fraction in kept.items()]
    header = ("module", "layer", "projection", "kept")
    return drawing(kind, language, figure, summary, header, rows, grid.height, task=name)


def mask_settling(calibrations: Sequence[Calibration], language: str = "en") -> Drawing:
    """Jaccard of the mask with the look before, against the step of calibration; a line for each calibration."""
    tasks = list(dict.fromkeys(calibration.task for calibration in calibrations))
    figure, rows = go.Figure(), []
    for place, calibration in enumerate(calibrations):
        colour, shape = task_mark(tasks.index(calibration.task))
        looks = [(look.step, look.jaccard) for look in calibration.looks if look.jaccard is not None]
        figure.add_scatter(
            x=[step for step, _ in looks],
            y=[jaccard for _, jaccard in looks],
            mode="lines+markers",
            line={"color": colour},
            marker={"symbol": shape, "size": 8},
            name=plain(calibration.task),
            legendgroup=calibration.task,
            showlegend=calibration.task not in {earlier.task for earlier in calibrations[:place]},
        )
        rows += [[calibration.task, str(step), number(jaccard)] for step, jaccard in looks]
    figure.update_xaxes(title_text=translate("figures.axis.calibration_step", language))
    figure.update_yaxes(title_text=translate("figures.axis.jaccard_before", language), range=[0, 1.03])
    last = {c.task: number(c.looks[-1].jaccard, 2) for c in reversed(calibrations) if c.looks}
    each = listed((f"{task} {last[task]}" for task in tasks if task in last), language)
    summary = translate("figures.mask_settling.summary", language, each=each)
    return drawing("mask_settling", language, figure, summary, ("task", "step", "jaccard"), rows, 380)


def pairs(method: str | None, matrix: PairMatrix, language: str = "en") -> Drawing:
    """A measure for each pair of tasks; colours are centred on what independent adapters would show.

    Args:
        method: of all the adapters, in a study; None: they are named one by one.
    """
    size = len(matrix.names)
    directed = matrix.measure == "function"  # what one does to the other is not what the other does to it
    couples = permutations(range(size), 2) if directed else combinations(range(size), 2)
    away = [(i, j) for i, j in couples if matrix.values[i][j] is not None]
    null, spread = _null_of(matrix, away)
    centre = null or 0.0
    # At least four null deviations to either side, so that noise is not painted as a finding.
    reach = max([abs((matrix.values[i][j] or 0.0) - centre) for i, j in away] + [4 * (spread or 0.0), 1e-9])
    values = [[None if i == j else matrix.values[i][j] for j in range(size)] for i in range(size)]
    figure = go.Figure(
        go.Heatmap(
            z=values,
            zmin=centre - reach,
            zmax=centre + reach,
            colorscale="PuOr",
            text=[["" if value is None else number(value) for value in row] for row in values],
            texttemplate="%{text}",
            hoverinfo="text",
            colorbar={"title": {"text": _measure(matrix, language)}},
        )
    )
    across, down = ("inputs_of", "adapter_of") if directed else ("task", "task")
    across, down = translate(f"figures.axis.{across}", language), translate(f"figures.axis.{down}", language)
    figure.update_xaxes(title_text=across, showgrid=False, **categories(matrix.names))
    figure.update_yaxes(title_text=down, showgrid=False)
    figure.update_yaxes(**categories(matrix.names, reverse=True))
    label = "" if method is None else method_label(method, language)
    summary = _pairs_summary(matrix, away, null, spread, language) if method else _range(matrix, away, language)
    rows = [
        [f"{matrix.names[i]} {'→' if directed else '×'} {matrix.names[j]}", number(matrix.values[i][j], 4)]
        + [number(part[i][j], 4) if part else "–" for part in (matrix.null_mean, matrix.null_sd)]
        + [number(matrix.z[i][j], 1) if matrix.z else "–"]
        for i, j in away
    ]
    height = 180 + 46 * size
    header = ("pair", "value", "null_mean", "null_sd", "z")
    title = _measure(matrix, language)
    kind = "pairs" if method else "pairs_of_adapters"
    return drawing(kind, language, figure, summary, header, rows, height, method=label, measure=title)


def _range(matrix: PairMatrix, away: Sequence[tuple[int, int]], language: str) -> str:
    if not away:
        return translate("figures.pairs.empty", language)
    order = sorted(away, key=lambda pair: matrix.values[pair[0]][pair[1]] or 0.0)
    named = {
        f"{what}_{end}": matrix.names[order[place][end == "second"]]
        for what, place in (("least", 0), ("most", -1))
        for end in ("first", "second")
    }
    least, most = (number(matrix.values[i][j]) for i, j in (order[0], order[-1]))
    return translate("figures.pairs_of_adapters.summary", language, least=least, most=most, **named)


def _measure(matrix: PairMatrix, language: str) -> str:
    return translate(f"figures.measure.{matrix.measure}", language)


def _null_of(matrix: PairMatrix, away: Sequence[tuple[int, int]]) -> tuple[float | None, float | None]:
    """Mean null value and mean null deviation over the pairs that have them."""
    means = [matrix.null_mean[i][j] for i, j in away] if matrix.null_mean else []
    spreads = [matrix.null_sd[i][j] for i, j in away] if matrix.null_sd else []
    return _mean(means), _mean(spreads)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None and value == value]
    return sum(known) / len(known) if known else None


def _pairs_summary(
    matrix: PairMatrix, away: Sequence[tuple[int, int]], null: float | None, spread: float | None, language: str
) -> str:
    if not away:
        return translate("figures.pairs.empty", language)
    i, j = max(away, key=lambda pair: abs((matrix.values[pair[0]][pair[1]] or 0.0) - (null or 0.0)))
    first, second, value = matrix.names[i], matrix.names[j], number(matrix.values[i][j])
    if null is None:
        return translate("figures.pairs.summary_no_null", language, first=first, second=second, value=value)
    z = matrix.z[i][j] if matrix.z else None
    return translate(
        "figures.pairs.summary",
        language,
        first=first,
        second=second,
        value=value,
        null=number(null),
        sd=number(spread),
        z=number(z, 1),
    )
