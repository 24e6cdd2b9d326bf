"""The band of the cosines by width is what chance gives, so that it can fail."""

import pytest
import torch

from lori_core import figures


def test_the_band_is_two_standard_deviations_of_two_tasks_with_one_random_B():
    rank, width, generator = 8, 64, torch.Generator().manual_seed(0)

    def cosine() -> float:
        B = torch.randn(512, rank, generator=generator)
        s, t = (B @ torch.randn(rank, width, generator=generator) for _ in range(2))
        return torch.nn.functional.cosine_similarity(s.flatten(), t.flatten(), dim=0).item()

    cosines = [cosine() for _ in range(300)]
    drawn = figures.cosines_by_width({"own": {width: cosines}}, rank).figure
    (band,) = [each for each in drawn.data if each.meta == "band"]
    spread = (sum(each**2 for each in cosines) / len(cosines)) ** 0.5
    assert max(band.y) == pytest.approx(2 * spread, rel=0.12)
