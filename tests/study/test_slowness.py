"""The short measurement of a machine: what it took, over what the yardstick says that it takes."""

from types import SimpleNamespace

import pytest

from lori_core.study import slowness
from lori_core.study.specs import StudyConfig
from lori_core.study.yardstick import yardstick


def test_a_machine_on_which_steps_and_answers_take_three_times_as_long_is_three_times_as_slow(monkeypatch):
    measure = yardstick(StudyConfig())
    assert measure is not None
    trained = 3 * slowness.STEPS * measure.step["single-lora", "nlu"]
    scored = 3 * slowness.EXAMPLES * measure.example["single-lora", "nlu"]
    learn, evaluate = slowness.learn, slowness.evaluate
    asked = []

    def timed_learn(*given, **how):
        asked.append(how["training"]["lora"].steps)
        return SimpleNamespace(adapter=learn(*given, **how).adapter, training=SimpleNamespace(seconds=trained))

    def timed_evaluate(*given):
        asked.append(evaluate(*given).score.n)
        return SimpleNamespace(score=SimpleNamespace(seconds=scored))

    monkeypatch.setattr(slowness, "learn", timed_learn)
    monkeypatch.setattr(slowness, "evaluate", timed_evaluate)
    assert slowness.slowness() == pytest.approx(3)
    assert asked == [slowness.STEPS, slowness.EXAMPLES]
