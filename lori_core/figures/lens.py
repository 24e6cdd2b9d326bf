"""Interference lens: how wide each adapter's update runs through the layers on a prompt, each token's attribution.

In every layer the widest ribbon lies at the bottom, so that ribbons which take turns in being the widest cross: a
braid.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lori_core.figures.drawing import GREY, Drawing, categories, drawing, task_mark
from lori_core.figures.places import layer_and_projection
from lori_core.figures.wording import listed, number, percent, plain, sentences
from lori_core.results import Lens
from lori_core.translate import translate

PANELS = ("alone", "merged")
LEVEL = 0.22  # of the way to the next layer that a ribbon keeps its width, to either side
STEPS = 12  # points of the way between
GAP = 0.006  # between two ribbons, as a share of the height
SEEN = {" ": "·", "\n": "⏎"}  # what cannot be seen at the end of a token


def lens_top(found: Sequence[Lens]) -> float:
    """The largest sum of widths in any layer: where the axes of lenses that are to be compared end."""
    return max(sum(widths) for each in found for panel in PANELS for widths in _by_layer(each, panel).values())


def lens_ribbons(label: str, found: Lens, own: int, top: float, language: str = "en") -> Drawing:
    """A panel with each adapter alone, one with all merged; layers across, a ribbon an adapter.

    Args:
        label: whose they are: a method's name.
        own: place of the adapter whose task the prompt is of.
        top: lens_top() of all that it stands beside.
    """
    layers = {panel: _by_layer(found, panel) for panel in PANELS}
    names = [translate(f"figures.lens.{panel}", language) for panel in PANELS]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.14, subplot_titles=names)
    for row, panel in enumerate(PANELS, start=1):
        floors = {place: _floors(widths, top * GAP) for place, widths in enumerate(layers[panel].values())}
        widths = list(layers[panel].values())
        for t, name in enumerate(found.names):
            edges = [(floors[place][t], floors[place][t] + each[t]) for place, each in enumerate(widths)]
            colour = task_mark(t)[0]
            figure.add_trace(_ribbon(edges, colour, t == own), row=row, col=1)
            shown = translate("figures.lens.own", language, name=name) if t == own else name
            figure.add_scatter(
                x=list(range(len(edges))),
                y=[(low + high) / 2 for low, high in edges],
                customdata=[each[t] for each in widths],
                mode="markers",
                marker={"color": colour, "symbol": task_mark(t)[1], "size": 7, "line": {"color": "#fff", "width": 1}},
                name=plain(shown),
                meta=f"{panel}/{name}",
                legendgroup=str(t),
                showlegend=row == 1,
                hovertemplate=f"{plain(shown)} %{{customdata:.1%}}<extra></extra>",
                row=row,
                col=1,
            )
    known = [str(layer) if layer >= 0 else "–" for layer in layers["alone"]]
    figure.update_xaxes(**categories(known), showgrid=False, showticklabels=True)
    figure.update_xaxes(title_text=translate("figures.axis.layer", language), row=2)
    width = translate("figures.axis.layer_width", language)
    figure.update_yaxes(title_text=width, tickformat=".0%", range=[0, 1.06 * top])
    figure.update_annotations(font_size=13, x=0, xanchor="left")
    figure.update_layout(legend={"y": 1.07})
    rows = [
        [known[place], name, *(percent(list(layers[panel].values())[place][t]) for panel in PANELS)]
        for place in range(len(known))
        for t, name in enumerate(found.names)
    ]
    summary = _what_ribbons_say(found, own, layers, language)
    header = ("layer", "adapter", "alone", "merged")
    return drawing("lens_ribbons", language, figure, summary, header, rows, 560, label=label)


def attributions(label: str, found: Lens, language: str = "en") -> Drawing:
    """A row a token: what each adapter's update moved its logit by, stacked, and the change as it was measured."""
    figure, places = go.Figure(), list(range(len(found.attributions)))
    words = [_seen(attribution.token) for attribution in found.attributions]
    instead = [
        translate("figures.lens.instead", language, token=_seen(attribution.instead)) if attribution.differs else ""
        for attribution in found.attributions
    ]
    for t, name in enumerate(found.names):
        figure.add_bar(
            x=[attribution.parts[t] for attribution in found.attributions],
            y=places,
            orientation="h",
            marker={"color": task_mark(t)[0], "line": {"width": 0}},
            name=plain(name),
            meta=name,
            text=[plain(f"{word}{other}") for word, other in zip(words, instead, strict=True)],
            textposition="none",
            hovertemplate=f"%{{text}}<br>{plain(name)} %{{x:+.2f}}<extra></extra>",
        )
    figure.add_scatter(
        x=[attribution.moved for attribution in found.attributions],
        y=places,
        mode="markers",
        marker={"color": "#fff", "symbol": "diamond", "size": 9, "line": {"color": GREY, "width": 2}},
        name=translate("figures.lens.moved", language),
        meta="moved",
        text=[plain(f"{word}{other}") for word, other in zip(words, instead, strict=True)],
        hovertemplate="%{text}<br>%{x:+.2f}<extra></extra>",
    )
    figure.update_layout(barmode="relative", bargap=0.25)
    figure.update_xaxes(title_text=translate("figures.axis.logit", language))
    figure.update_yaxes(title_text=translate("figures.axis.token", language), showgrid=False)
    figure.update_yaxes(**categories(words, reverse=True))
    rows = [
        [
            f"{place + 1} {word}", _seen(attribution.instead), name,
            *(number(value, 3) for value in (attribution.parts[t], attribution.moved)), number(attribution.residual, 6),
        ]
        for place, (word, attribution) in enumerate(zip(words, found.attributions, strict=True))
        for t, name in enumerate(found.names)
    ]  # fmt: skip
    header = ("token", "instead", "adapter", "part", "moved", "residual")
    summary = _what_attributions_say(found, language)
    return drawing("attributions", language, figure, summary, header, rows, 130 + 26 * len(places), label=label)


def _by_layer(found: Lens, panel: str) -> dict[int, list[float]]:
    """layer -> of each adapter √Σ ‖dW x‖² over the layer's modules, as a share of √Σ ‖W x‖²."""
    widths: Mapping[str, Sequence[float]] = getattr(found, panel)
    layers: dict[int, list[str]] = {}
    for module, (layer, _) in layer_and_projection(widths).items():
        layers.setdefault(layer, []).append(module)
    return {
        layer: [
            (sum(widths[m][t] ** 2 for m in modules) / sum(found.base[m] ** 2 for m in modules)) ** 0.5
            for t in range(len(found.names))
        ]
        for layer, modules in sorted(layers.items())
    }


def _floors(widths: Sequence[float], gap: float) -> dict[int, float]:
    """Adapter -> where its ribbon begins: the widest at the bottom."""
    floors, height = {}, 0.0
    for t in sorted(range(len(widths)), key=lambda t: -widths[t]):
        floors[t] = height
        height += widths[t] + gap
    return floors


def _ribbon(edges: Sequence[tuple[float, float]], colour: str, own: bool) -> go.Scatter:
    """One closed outline; from layer to layer each edge goes by 3 s² − 2 s³, which begins and ends level."""
    x, low, high = [-0.5 + LEVEL], [edges[0][0]], [edges[0][1]]
    for place, (before, after) in enumerate(pairwise(edges)):
        for step in range(STEPS + 1):
            s = step / STEPS
            eased = s * s * (3 - 2 * s)
            x.append(place + LEVEL + s * (1 - 2 * LEVEL))
            low.append(before[0] + eased * (after[0] - before[0]))
            high.append(before[1] + eased * (after[1] - before[1]))
    x, low, high = [*x, len(edges) - 0.5 - LEVEL], [*low, edges[-1][0]], [*high, edges[-1][1]]
    return go.Scatter(
        x=x + x[::-1],
        y=high + low[::-1],
        mode="lines",
        fill="toself",
        line={"color": colour, "width": 1.5 if own else 0},
        fillcolor=colour,
        opacity=0.95 if own else 0.55,
        hoverinfo="skip",
        showlegend=False,
    )


def _what_ribbons_say(found: Lens, own: int, layers: Mapping[str, Mapping[int, list[float]]], language: str) -> str:
    """In how many layers the own update is the widest, and how wide all others together are beside it."""
    widest = {panel: sum(each[own] == max(each) for each in layers[panel].values()) for panel in PANELS}
    square = [[width**2 for width in each] for each in layers["merged"].values()]
    mine = sum(each[own] for each in square)
    others = sum(sum(each) for each in square) - mine
    return translate(
        "figures.lens_ribbons.summary",
        language,
        own=found.names[own],
        layers=len(layers["alone"]),
        ratio=number((others / mine) ** 0.5 if mine else None, 1),
        **widest,
    )


def _what_attributions_say(found: Lens, language: str) -> str:
    moved = [sum(abs(each.parts[t]) for each in found.attributions) for t in range(len(found.names))]
    whole = sum(moved)
    shares = zip(found.names, moved, strict=True)  # two adapters may have one name
    each = listed((f"{name} {percent(part / whole)}" for name, part in shares if whole), language)
    differing = sum(attribution.differs for attribution in found.attributions)
    residual = max(abs(attribution.residual) for attribution in found.attributions)
    said = translate(
        "figures.attributions.summary",
        language,
        answer=found.answer.strip(),
        differing=differing,
        tokens=len(found.attributions),
        each=each,
    )
    return sentences(
        [said, translate("figures.attributions.residual", language, residual=number(residual, 6))], language
    )


def _seen(token: str) -> str:
    return "".join(SEEN.get(letter, letter) for letter in token)
