"""Forecasts from footprints alone, and which footprints go with which adapters."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from moments import footprint, inputs, moments

from lori_core.config import AdapterConfig
from lori_core.errors import ConfigError, IncompatibleAdapters
from lori_core.method.adapter import Adapter, blank
from lori_core.method.conditioned import Conditions, conditioned
from lori_core.method.footprint import Footprint, Moments, check_footprints, distance, random_rows, through_each
from lori_core.method.forecast import forecast, forecast_before
from lori_core.method.merge import merge

FEATURES = 40
CONFIG = AdapterConfig(rank=4, sparsity=0.75)
CONDITIONED = CONFIG.changed(projection="conditioned")


def footprints(base: str = "f", features: int = FEATURES, directions: int | None = None) -> list[Footprint]:
    return [
        replace(
            footprint(name, {m: moments(inputs(400, features, 10 * seed + i), directions) for i, m in enumerate("mn")}),
            record={"base": {"name": f"base {base}", "fingerprint": base * 64}},
        )
        for seed, name in enumerate(("math", "code", "nlu"))
    ]


def adapters(base: str | None = "f", features: int = FEATURES) -> list[Adapter]:
    record = {"base": {"name": f"base {base}", "fingerprint": base * 64}} if base else {}
    shapes = {"m": (8, features), "n": (6, features)}
    return [replace(blank(name, shapes, CONFIG), record=record) for name in ("math", "code", "nlu")]


def test_before_training_and_without_the_base_it_is_the_forecast_of_the_blank_adapters():
    given = footprints()
    assert forecast_before(given, CONFIG) == forecast(adapters(), given)


def test_an_A_that_is_conditioned_on_its_own_task_and_all_others_lets_through_far_less_than_chance():
    given = footprints()
    found = forecast_before(given, CONDITIONED)
    As = [
        conditioned(Conditions(own, [each for each in given if each is not own]), "mn", 4, CONDITIONED.ridge)
        for own in given
    ]
    for s, A in enumerate(As):
        energies = [sum(each.of(m).through(A[m]) for m in "mn") for each in given]
        for t, (value, chance) in enumerate(zip(found.values[s], found.null_mean[s], strict=True)):
            own = sum(given[t].of(m).through(As[t][m]) for m in "mn")
            assert value == pytest.approx((energies[t] / own) ** 0.5)
            assert s == t or (value is not None and chance is not None and value < 0.7 * chance)


def test_an_orthogonal_A_has_a_block_of_rows_for_each_task():
    found = forecast_before(footprints(), CONFIG.changed(projection="orthogonal"))
    assert all(value is not None and value > 0 for row in found.values for value in row)


@pytest.mark.parametrize(
    ("config", "wrong", "key"),
    [
        (CONFIG, [], "no_adapters"),
        (CONDITIONED, footprints()[:1], "conditioned_on_nothing"),
        (CONDITIONED, [*footprints()[:2], footprints("e")[2]], "footprint_of_other_base"),
        (CONFIG, [*footprints()[:2], footprints("e")[2]], "footprint_of_other_base"),
        (CONDITIONED, [*footprints()[:2], footprints(directions=16)[2]], "footprints_differ"),
        (CONFIG, [*footprints()[:2], footprints(features=24)[2]], "shapes_differ"),
    ],
)
def test_footprints_that_do_not_go_together_are_refused(config, wrong, key):
    with pytest.raises((IncompatibleAdapters, ConfigError)) as caught:
        forecast_before(wrong, config)
    assert caught.value.key == key


USES: dict[str, Callable[[list[Adapter], list[Footprint]], Any]] = {
    "forecast": forecast,
    "removal": lambda given, beside: merge(given, "removal", [1.0] * 3, "merged", beside),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("beside", "key"),
    [
        (footprints()[:2], "footprints_count"),
        (footprints("e"), "footprint_of_other_base"),
        ([*footprints()[:2], footprints("e")[2]], "footprint_of_other_base"),
        (footprints(features=24), "footprint_width"),
        ([replace(each, inputs={"m": "m"}) for each in footprints()], "footprint_without_module"),
    ],
)
def test_footprints_that_do_not_go_with_the_adapters_are_refused(use, beside, key):
    with pytest.raises(IncompatibleAdapters) as caught:
        USES[use](adapters(), beside)
    assert caught.value.key == key
    assert caught.value.in_language("en") != caught.value.in_language("ja")


@pytest.mark.parametrize(
    ("measured", "learned", "key"),
    [(True, False, "footprint_in_chat"), (False, True, "footprint_without_chat")],
)
def test_footprints_of_another_kind_of_prompt_than_the_adapters_are_refused(measured, learned, key):
    def worded(each, chat):
        return replace(each, record=each.record | {"wording": {"chat": chat}})

    learned_so = [worded(each, learned) for each in adapters()]
    with pytest.raises(IncompatibleAdapters) as caught:
        check_footprints([worded(each, measured) for each in footprints()], learned_so)
    assert caught.value.key == key
    check_footprints([worded(each, learned) for each in footprints()], learned_so)
    check_footprints(footprints(), learned_so)


def test_where_no_base_is_known_footprints_are_taken_on_trust():
    check_footprints(footprints(), adapters(None))
    check_footprints([replace(each, record={}) for each in footprints()], adapters())


def test_removal_among_moments_of_other_sizes_is_refused_and_names_the_module():
    mixed = [*footprints()[:2], footprints(directions=16)[2]]
    with pytest.raises(ConfigError) as caught:
        merge(adapters(), "removal", [1.0] * 3, "merged", mixed)
    assert caught.value.key == "footprints_differ" and caught.value.values["module"] == "m"


def test_a_merge_by_removal_remembers_its_footprints_and_another_method_none():
    loaded = [replace(each, record=each.record | {"id": each.name * 2}) for each in footprints()]
    merged = merge(adapters(), "removal", [1.0] * 3, "merged", loaded)
    assert merged.record["merge"]["footprints"][0] == {"name": "math", "id": "mathmath"}
    assert "footprints" not in merge(adapters(), "concat", [1.0] * 3, "merged", loaded).record["merge"]


def test_the_distance_of_moments_is_relative_to_the_first():
    one, twice = moments(inputs(50, 8)), moments(2**0.5 * inputs(50, 8))
    assert distance(one, one) == 0
    assert distance(one, twice) == pytest.approx(1, rel=1e-3) and distance(twice, one) == pytest.approx(0.5, rel=1e-3)


def test_what_an_A_is_in_the_span_of_is_found_once_for_all_inputs_of_its_width(monkeypatch):
    given = [moments(inputs(200, FEATURES, seed), directions) for seed in range(3) for directions in (None, 8, 12)]
    A = random_rows(8, FEATURES)[:3] + 0.0  # in the span of 8 rows, and not of 12
    expected = [each.through(A) for each in given]
    asked, found = [], Moments.in_span
    monkeypatch.setattr(Moments, "in_span", lambda self, A: asked.append(len(self.factor)) or found(self, A))
    assert through_each(A, given) == expected and sorted(asked) == [8, 12, FEATURES]
