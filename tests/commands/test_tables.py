"""Tables for the terminal."""

from dataclasses import replace
from io import StringIO

from rich.console import Console

from lori_core.commands.tables import score_table
from lori_core.results import Loss, Score

SCORE = Score("math", "test", "number", 0.625, 0.54, 0.7, 160, 1.0)


def shown(score: Score, language: str = "en") -> list[str]:
    screen = StringIO()
    Console(file=screen, width=200).print(score_table([score], language))
    return screen.getvalue().splitlines()


def test_the_held_out_loss_stands_beneath_its_score_with_its_interval():
    lines = shown(replace(SCORE, loss=Loss(1.234, 1.1, 1.4, 158, 900)))
    line = next(line for line in lines if "held-out loss" in line)
    assert "1.234" in line and "1.100 – 1.400" in line and "158" in line
    assert not any("held-out" in line for line in shown(SCORE))


def test_a_loss_of_one_example_has_no_interval():
    line = next(line for line in shown(replace(SCORE, loss=Loss(2.0, None, None, 1, 9)), "ja") if "2.000" in line)
    assert "–" not in line
