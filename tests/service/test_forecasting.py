"""Before training: the forecasts of the dial's ends, what A reads of one module, what is refused."""

import json

import pytest

from lori_core import figures
from lori_core.errors import ConfigError, IncompatibleAdapters
from lori_core.results import PairMatrix, Spectrum, from_plain
from lori_core.service.base_cache import BaseCache
from lori_core.service.forecasting import BLENDS, Forecasting
from lori_core.service.shelf import Shelf
from lori_core.translate import LANGUAGES

TASKS, RANK = ["math", "safety"], 8


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> Forecasting:
    root = tmp_path_factory.mktemp("lab")
    for name in ("store", "runs", "exports"):
        (root / name).mkdir()
    return Forecasting(Shelf(root / "store", root / "runs", root / "exports"), BaseCache())


@pytest.fixture(scope="module")
def answer(asked):
    (found,) = asked.before_training(TASKS, RANK)
    return json.loads(json.dumps(found))


def test_from_random_to_conditioned_every_pair_lets_less_through(answer):
    forecasts = [from_plain(PairMatrix, each) for each in answer["forecasts"]]
    assert len(forecasts) == len(BLENDS)
    for s, t in ((0, 1), (1, 0)):
        random, *_, designed = [matrix.values[s][t] for matrix in forecasts]
        chance = forecasts[0].null_mean[s][t]
        assert random and designed and chance
        assert designed < random / 2
        assert 0.5 < random / chance < 2


def test_what_a_reads_of_one_module_moves_with_the_dial(asked, answer):
    module = answer["modules"][len(answer["modules"]) // 2]
    (found,) = asked.spectrum(TASKS, RANK, module, 0)
    spectra = [from_plain(Spectrum, json.loads(json.dumps(each))) for each in found["spectra"]]
    width = spectra[0].directions[-1][1]
    for each in spectra:
        assert [sum(each.own), sum(each.others)] == pytest.approx([1, 1], abs=1e-3)  # factors are of 16 bits
        read = [share * (last - first + 1) for share, (first, last) in zip(each.read, each.directions, strict=True)]
        assert sum(read) == pytest.approx(RANK) and all(0 <= share <= 1 + 1e-9 for share in each.read)
    random, *_, designed = spectra
    assert random.read_of_own < 6 * RANK / width  # a random A prefers nothing
    assert designed.read_of_own / designed.read_of_others > 4 * random.read_of_own / random.read_of_others
    for language in LANGUAGES:
        drawing = figures.spectrum(designed, language)
        assert len(drawing.rows) == len(designed.directions) and drawing.summary and drawing.limits
        assert drawing.rows[0][-1] == f"{designed.read[0]:.3f}"


def test_what_is_out_of_reach_or_not_there_is_refused(asked, answer, tmp_path):
    with pytest.raises(ConfigError) as out_of_reach:
        list(asked.before_training(["math", f"mine={tmp_path / 'rows.csv'}?prompt=q&response=a"], RANK))
    with pytest.raises(IncompatibleAdapters) as no_module:
        list(asked.spectrum(TASKS, RANK, "<script>", 0))
    with pytest.raises(ConfigError) as no_place:
        list(asked.spectrum(TASKS, RANK, answer["modules"][0], 2))
    keys = [each.value.key for each in (out_of_reach, no_module, no_place)]
    assert keys == ["path_out_of_reach", "footprint_without_module", "no_such_place"]
