"""Moving picture of the method, an SVG: two tasks' adapters beside one base, and how wide each runs on one prompt.

In four stages, which assets/app/style.css moves through: all of B is trained; the mask keeps its largest entries; a
prompt runs through both adapters, under a random A and under a conditioned one. Who asks for less motion sees the third
stage, still. The widths are WIDTHS.
"""

from collections.abc import Iterator
from html import escape
from random import Random

from app.lab import Context

TASKS = ("nlu", "safety")
# Cross-talk of the LoRI-S adapters that ship, as evaluation/probe.py measures it: on prompts of the first task, what
# the second one's adapter adds against what the first one's own does.
WIDTHS = {"random": 1.04, "conditioned": 0.17}
STAGES = ("dense", "mask", "random", "conditioned")  # of the list below the picture
OWN = 12.0  # pixels that the ribbon of the own adapter is wide
CELL, GAP = 8, 1
RANK, INPUTS, OUTPUTS = 3, 9, 9  # of the drawn A and B
KEPT = 4  # entries of a drawn B that its mask keeps
LANES = (62, 238)  # heights of the two adapters
MIDDLE = 150  # of the base


def method_picture(page: Context) -> str:
    """HTML: the picture, and in words below it the stage that it shows."""
    stages = "".join(
        f'<li class="stage-{stage}">{escape(page.say(f"picture.{stage}", **_said(stage)))}</li>' for stage in STAGES
    )
    lanes = "".join(part for place in range(len(TASKS)) for part in _lane(page, place))
    label = escape(page.say("picture.label"))
    return (
        f'<figure class="method"><svg viewBox="0 0 400 290" role="img" aria-label="{label}">'
        f'<path class="wire" d="M70 {MIDDLE}H330"/>{lanes}'
        f'<rect class="base" x="168" y="{MIDDLE - 20}" width="64" height="40" rx="4"/>'
        f'<text x="200" y="{MIDDLE + 5}" text-anchor="middle">W</text>'
        f'<text x="4" y="{MIDDLE - 8}">{escape(page.say("picture.prompt"))}</text>'
        f'<text x="4" y="{MIDDLE + 12}" class="task-0">{TASKS[0]}</text>'
        f'<circle class="sum" cx="344" cy="{MIDDLE}" r="13"/>'
        f'<text x="344" y="{MIDDLE + 5}" text-anchor="middle">+</text></svg><ol>{stages}</ol>'
        f'<label class="pause"><input type="checkbox"> {escape(page.say("picture.pause"))}</label></figure>'
    )


def _said(stage: str) -> dict[str, str]:
    """Values of the stage's sentence."""
    first, second = TASKS
    width = f"{100 * WIDTHS[stage]:.0f}" if stage in WIDTHS else ""
    return {"first": first, "second": second, "width": width}


def _lane(page: Context, place: int) -> Iterator[str]:
    """The adapter of one task."""
    y = LANES[place]
    yield f'<path class="wire" d="M70 {MIDDLE}C96 {MIDDLE} 84 {y} 108 {y}H232"/>'
    for stage, width in WIDTHS.items():
        wide = OWN * (width if place else 1)
        to = f"M252 {y}H276C316 {y} 300 {MIDDLE} 330 {MIDDLE}"
        yield f'<path class="ribbon task-{place} stage-{stage}" stroke-width="{wide:.1f}" d="{to}"/>'
    random = Random(TASKS[place])
    yield f'<g class="frozen">{_cells(108, y - RANK * (CELL + GAP) / 2, INPUTS, RANK, [""] * INPUTS * RANK)}</g>'
    kept = random.sample(range(OUTPUTS * RANK), KEPT)
    kinds = ["kept" if cell in kept else "" for cell in range(OUTPUTS * RANK)]
    yield f'<g class="task-{place}">{_cells(224, y - OUTPUTS * (CELL + GAP) / 2, RANK, OUTPUTS, kinds)}</g>'
    above = y - OUTPUTS * (CELL + GAP) / 2 - 6
    yield f'<text x="148" y="{y - 22}" text-anchor="middle">A</text>'
    yield f'<text x="148" y="{y + 30}" text-anchor="middle" class="note">{escape(page.say("picture.frozen"))}</text>'
    yield f'<text x="237" y="{above}" text-anchor="middle">B</text>'
    name_at = y + 36 if place else y - 28  # the ribbon leaves on the other side
    yield f'<text x="262" y="{name_at}" class="task-{place}">{TASKS[place]}</text>'


def _cells(x: float, y: float, across: int, down: int, kinds: list[str]) -> str:
    """A matrix of squares, row by row."""
    return "".join(
        f'<rect class="{kind}" x="{x + column * (CELL + GAP):g}" y="{y + row * (CELL + GAP):g}" '
        f'width="{CELL}" height="{CELL}"/>'
        for row in range(down)
        for column, kind in enumerate(kinds[row * across : (row + 1) * across])
    )
