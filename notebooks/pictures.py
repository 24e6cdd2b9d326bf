"""Pictures of the slides and notebooks: SVG in the page's own colours, of what is done and never of what came out.

Texts inside are letters and numbers of formulas, the same in every language.
"""

from collections.abc import Callable, Iterator
from math import cos, pi, sin
from random import Random

CELL = 16
FROZEN, DRAWN, TRAINED, OFF = "#8a939c", "#e69f00", "#009e73", "#d5d9de"
FIRST, SECOND = "#0072b2", "#d55e00"


def svg(width: int, height: int, parts: Iterator[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-hidden="true">{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, colour: str = "currentColor") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="middle" fill="{colour}">{text}</text>'


def _cells(x: float, y: float, rows: int, columns: int, colour: Callable[[int], str]) -> Iterator[str]:
    """A matrix whose cells are coloured by their place, row by row."""
    for place in range(rows * columns):
        row, column = divmod(place, columns)
        at = f'x="{x + column * CELL:g}" y="{y + row * CELL:g}"'
        yield f'<rect {at} width="{CELL - 2}" height="{CELL - 2}" fill="{colour(place)}"/>'


def _arrow(x: float, y: float, angle: float, length: float, colour: str) -> str:
    ends = f'x1="{x:g}" y1="{y:g}" x2="{x + length * cos(angle):.1f}" y2="{y - length * sin(angle):.1f}"'
    tip = f'<circle cx="{x + length * cos(angle):.1f}" cy="{y - length * sin(angle):.1f}" r="5" fill="{colour}"/>'
    return f'<line {ends} stroke="{colour}" stroke-width="3"/>{tip}'


def _mask(kept: float) -> Callable[[int], str]:
    random = Random(1)
    colours = [TRAINED if random.random() < kept else OFF for _ in range(100)]
    return colours.__getitem__


def factors() -> str:
    """W, frozen, and beside it B under its mask, and A, drawn."""

    def parts() -> Iterator[str]:
        yield from _cells(10, 40, 8, 8, lambda _: FROZEN)
        yield _text(74, 28, "W")
        yield _text(168, 110, "+")
        yield from _cells(200, 40, 8, 3, _mask(0.3))
        yield _text(223, 28, "mask ⊙ B")
        yield from _cells(270, 80, 3, 8, lambda _: DRAWN)
        yield _text(334, 68, "A")

    return svg(420, 180, parts())


def directions() -> str:
    """Random directions in a narrow and in a wide space, which has more room: the angles' spread shrinks."""

    def parts() -> Iterator[str]:
        for x, name, spread in ((100, "d = 64", 0.55), (310, "d = 4096", 0.08)):
            yield _arrow(x, 150, 0, 85, FIRST)
            random = Random(3)
            for _ in range(9):
                yield _arrow(x, 150, pi / 2 + random.uniform(-spread, spread), 100, SECOND)
            yield _text(x, 178, name)

    return svg(420, 190, parts())


def mask() -> str:
    """B after a dense run, its largest entries, and those alone."""
    random = Random(2)
    size = [random.random() ** 3 for _ in range(72)]
    largest = sorted(range(72), key=lambda place: -size[place])[:10]

    def shade(place: int) -> str:
        return f"color-mix(in srgb, {TRAINED} {100 * size[place]:.0f}%, {OFF})"

    def parts() -> Iterator[str]:
        yield from _cells(40, 30, 12, 6, shade)
        yield _text(86, 20, "|B|")
        yield _text(210, 130, "→")
        yield from _cells(290, 30, 12, 6, lambda place: TRAINED if place in largest else OFF)
        yield _text(336, 20, "mask")

    return svg(420, 230, parts())


def right_angle() -> str:
    """Two updates at right angles."""

    def parts() -> Iterator[str]:
        yield _arrow(70, 160, 0, 110, FIRST)
        yield _arrow(70, 160, pi / 2, 110, SECOND)
        yield f'<path d="M70 145h15v15" fill="none" stroke="{FROZEN}"/>'
        yield _text(130, 185, "dW", FIRST)
        yield _text(40, 90, "dW", SECOND)

    return svg(420, 200, parts())


def concat() -> str:
    """The factors of two tasks side by side."""

    def parts() -> Iterator[str]:
        yield from _cells(60, 40, 8, 3, lambda _: FIRST)
        yield from _cells(60 + 3 * CELL, 40, 8, 3, lambda _: SECOND)
        yield _text(106, 28, "[ w B₁  w B₂ ]")
        yield from _cells(220, 58, 3, 9, lambda _: FIRST)
        yield from _cells(220, 58 + 3 * CELL, 3, 9, lambda _: SECOND)
        yield _text(292, 46, "[ A₁ ; A₂ ]")

    return svg(420, 180, parts())


def knobs() -> str:
    """Four things that may decide what is forgotten, numbered as the slide names them."""

    def parts() -> Iterator[str]:
        for place in range(4):
            x = 60 + 100 * place
            yield f'<circle cx="{x}" cy="80" r="34" fill="none" stroke="{FROZEN}" stroke-width="3"/>'
            yield _arrow(x, 80, pi / 2 - 0.6 * place, 24, DRAWN)
            yield _text(x, 140, str(place + 1))

    return svg(420, 160, parts())


PICTURES: dict[str, Callable[[], str]] = {
    "factors": factors,
    "directions": directions,
    "mask": mask,
    "right_angle": right_angle,
    "concat": concat,
    "knobs": knobs,
}


def as_file(name: str) -> bytes:
    """The picture as a file of its own, in its own size; texts in a colour that is read on white and on black."""
    drawn = PICTURES[name]().replace("currentColor", "#7d8790").replace(' role="img" aria-hidden="true"', "")
    width, height = drawn.split('viewBox="0 0 ')[1].split('"')[0].split()
    start = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
    return drawn.replace("<svg ", start, 1).encode()
