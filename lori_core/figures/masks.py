"""Masks: kept fractions, and how a mask settles."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import log10

import plotly.graph_objects as go

from lori_core.figures.drawing import GREY, SHARES, Drawing, drawing, task_mark, write_cells
from lori_core.figures.places import Grid
from lori_core.figures.wording import listed, number, percent, plain, sentences
from lori_core.results import Calibration, Magnitudes, MaskLayout
from lori_core.translate import translate


def mask(calibration: Calibration, language: str = "en", top: float | None = None) -> Drawing:
    """Kept fraction of each matrix of B, layer by projection, against the target.

    Args:
        top: kept fraction at the end of the colours, for several masks; None: the same colours for all masks, SHARES.
    """
    return _kept("mask", calibration.task, calibration.sparsity, calibration.kept, language, top)


def mask_layout(layout: MaskLayout, language: str = "en") -> Drawing:
    """The same of a kept adapter."""
    return _kept("mask_layout", layout.name, layout.sparsity, layout.kept, language)


def mask_replay(calibration: Calibration, place: int, language: str = "en") -> Drawing:
    """The mask that the calibration would have given at one of its looks, in the colours of every mask."""
    look = calibration.looks[place]
    drawn = _kept("mask_replay", calibration.task, calibration.sparsity, look.kept, language, step=str(look.step))
    if look.jaccard is None:
        return drawn
    agreed = translate("figures.mask_replay.agreed", language, jaccard=number(look.jaccard, 2))
    return replace(drawn, summary=sentences([drawn.summary, agreed], language))


def magnitudes(found: Magnitudes, language: str = "en") -> Drawing:
    """Entries of a dense run by the logarithm of |B|, kept ones apart from held ones, and the threshold."""
    width = found.edges[1] - found.edges[0]
    middles = [edge + width / 2 for edge in found.edges[:-1]]
    figure = go.Figure()
    for name, counts, colour in (("held", found.held, GREY), ("kept", found.kept, "#0072B2")):
        figure.add_bar(
            x=middles,
            y=list(counts),
            width=width,
            marker={"color": colour, "line": {"width": 0}},
            name=translate(f"figures.magnitudes.{name}", language),
            meta=name,
            hovertemplate="%{y:,}<extra></extra>",
        )
    figure.update_layout(barmode="stack", bargap=0)
    figure.add_vline(x=log10(found.threshold) if found.threshold else found.edges[0], line={"color": "#D55E00"})
    figure.update_xaxes(title_text=translate("figures.axis.magnitude", language), showgrid=False)
    figure.update_yaxes(title_text=translate("figures.axis.entries", language))
    kept, held = sum(found.kept), sum(found.held) + found.smaller
    summary = translate(
        "figures.magnitudes.summary",
        language,
        kept=f"{kept:,}",
        entries=f"{kept + held:,}",
        threshold=f"{found.threshold:.3g}",
        smaller=f"{found.smaller:,}",
        larger=f"{found.larger:,}",
    )
    rows = [
        [f"{low:.2f} – {high:.2f}".replace("-", "−"), f"{one:,}", f"{other:,}"]
        for (low, high), one, other in zip(pairwise(found.edges), found.kept, found.held, strict=True)
    ]
    return drawing(
        "magnitudes", language, figure, summary, ("magnitude", "kept_entries", "held"), rows, name=found.name
    )


def _kept(
    kind: str,
    name: str,
    sparsity: float,
    kept: Mapping[str, float],
    language: str,
    top: float | None = None,
    **titles: str,
) -> Drawing:
    grid = Grid(kept)
    target = 1 - sparsity
    figure = go.Figure(
        go.Heatmap(
            z=grid.cells,
            zmin=0,
            zmax=top or 1.0,
            colorscale="Cividis" if top else SHARES,
            colorbar={
                "title": {"text": translate("figures.axis.kept", language, target=percent(target))},
                "tickformat": ".0%",
            },
            hovertemplate="%{y}, %{x}: %{z:.1%}<extra></extra>",
        )
    )
    if grid.is_narrow:
        write_cells(figure, grid.texts("{:.0%}"))
    grid.label(figure, language)
    order = sorted(kept, key=lambda module: kept[module])
    even = percent(kept[order[0]]) == percent(kept[order[-1]])
    summary = translate(
        f"figures.{kind}.{'even' if even else 'summary'}",
        language,
        target=percent(target),
        most=order[-1],
        most_kept=percent(kept[order[-1]]),
        least=order[0],
        least_kept=percent(kept[order[0]]),
    )
    rows = [[module, *grid.place(module), percent(fraction)] for module, fraction in kept.items()]
    header = ("module", "layer", "projection", "kept")
    return drawing(kind, language, figure, summary, header, rows, grid.height, task=name, **titles)


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
    last = {c.task: c.looks[-1].jaccard for c in reversed(calibrations) if c.looks}
    each = listed((f"{task} {number(last[task], 2)}" for task in tasks if last.get(task) is not None), language)
    kind = "summary" if each else "one_look"
    summary = translate(f"figures.mask_settling.{kind}", language, each=each)
    return drawing("mask_settling", language, figure, summary, ("task", "step", "jaccard"), rows, 380)
