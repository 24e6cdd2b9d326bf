"""learn(): which entries each method trains, under which A, and that a seed decides every bit."""

import pytest
import tiny
import torch

from lori_core.bases.attach import update_ratio
from lori_core.bases.load import target_modules
from lori_core.config import Method
from lori_core.errors import ConfigError
from lori_core.method.adapter import blank
from lori_core.training import fit as fitting
from lori_core.training.calibrate import calibrate
from lori_core.training.learn import Learned, config_of, fine_tune, fit, learn

pytestmark = pytest.mark.usefixtures("processor")

ADAPTED: tuple[Method, ...] = ("lora", "lori_d", "lori_s")


def learned(method: Method = "lori_s", config=tiny.CONFIG, base=None, training=None, **options) -> Learned:
    return learn(base or tiny.base(), tiny.task(), method, config, training or tiny.by_method(), **options)


def own_masks(**changes) -> dict[str, torch.Tensor]:
    """What calibrating alone gives."""
    base = tiny.base()
    start = tiny.start(base, config_of("lori_d", tiny.CONFIG))
    return calibrate(base, tiny.task(), start, tiny.CONFIG, tiny.settings(**changes)).masks


@pytest.mark.parametrize("redraw", [False, True])
def test_LoRI_S_is_calibration_then_a_training_from_zero_of_the_mask_s_entries(redraw):
    config = tiny.CONFIG.changed(redraw_projection=redraw)
    result = learned(config=config)
    masks = own_masks()
    base = tiny.base()
    start = blank("after", target_modules(base.model), config, masks)
    expected, _ = fit(base, tiny.task(), start, tiny.settings())
    assert tiny.same_tensors(result.adapter.masks, masks)
    assert tiny.same_bits(result.adapter, expected)
    entries = sum(mask.numel() for mask in masks.values())
    assert result.training.trained_parameters == result.adapter.trained_parameters == round(0.25 * entries)
    assert result.calibration is not None


def test_a_redrawn_projection_is_another_one_than_calibration_had():
    same, redrawn = learned(), learned(config=tiny.CONFIG.changed(redraw_projection=True))
    calibrated_under = tiny.start(tiny.base(), config_of("lori_d", tiny.CONFIG))
    assert tiny.same_tensors(same.adapter.masks, redrawn.adapter.masks)
    for module, factors in calibrated_under.factors.items():
        assert torch.equal(same.adapter.factors[module].A, factors.A)
        assert not torch.equal(redrawn.adapter.factors[module].A, factors.A)


def test_calibration_has_the_settings_of_LoRI_D_and_training_those_of_LoRI_S():
    training = tiny.by_method() | {"lori_d": tiny.settings(steps=6), "lori_s": tiny.settings(steps=3)}
    result = learned(training=training)
    assert result.calibration is not None
    assert (result.calibration.training.steps, result.training.steps) == (6, 3)
    assert tiny.same_tensors(result.adapter.masks, own_masks(steps=6))


def test_masks_made_earlier_are_used_as_they_are():
    base = tiny.base()
    masks = tiny.halves(base)
    result = learned(base=base, masks=masks)
    assert result.calibration is None
    assert tiny.same_tensors(result.adapter.masks, masks)


@pytest.mark.parametrize("method", ["lora", "lori_d"])
def test_LoRI_D_and_LoRA_keep_all_of_B_and_only_LoRA_moves_A(method):
    result = learned(method)
    drawn = tiny.start(tiny.base())
    assert result.calibration is None
    assert all(factors.mask.all() for factors in result.adapter.factors.values())
    for module, factors in result.adapter.factors.items():
        assert torch.equal(factors.A, drawn.factors[module].A) == (method == "lori_d")
        assert factors.values.any()
    assert result.training.trained_parameters == result.adapter.trained_parameters


@pytest.mark.parametrize("method", ADAPTED)
def test_the_same_seeds_give_the_same_bits_and_others_do_not(method):
    first = learned(method)
    torch.rand(5)
    assert tiny.same_bits(learned(method).adapter, first.adapter)
    assert not tiny.same_bits(learned(method, training=tiny.by_method(seed=1)).adapter, first.adapter)
    assert not tiny.same_bits(learned(method, tiny.CONFIG.changed(projection_seed=1)).adapter, first.adapter)


@pytest.mark.parametrize("method", ADAPTED)
def test_the_base_keeps_its_bits_and_the_record_names_it(method):
    base = tiny.base()
    before = tiny.weights(base.model)
    result = learned(method, base=base)
    assert tiny.same_tensors(tiny.weights(base.model), before)
    assert result.adapter.record["base"] == {"name": "tiny", "revision": None, "fingerprint": base.fingerprint}
    assert result.adapter.record["train"] == tiny.settings().model_dump()
    assert (result.adapter.record["task"], result.adapter.record["examples"]) == ("after", 16)
    assert result.update_ratio == update_ratio(base.model, result.adapter) > 0


def test_the_base_is_as_it_was_after_an_error_in_training(monkeypatch):
    base = tiny.base()
    before = tiny.weights(base.model)

    def failing(*arguments, **named):
        raise MemoryError

    monkeypatch.setattr(fitting, "train", failing)
    with pytest.raises(MemoryError):
        learned("lori_d", base=base)
    assert tiny.same_tensors(tiny.weights(base.model), before)


def test_a_rank_above_a_module_s_is_refused_before_anything_is_trained():
    with pytest.raises(ConfigError) as caught:
        learned(config=tiny.CONFIG.changed(rank=33))
    assert caught.value.key == "rank_too_large"


def test_full_fine_tuning_trains_a_fp32_copy_and_leaves_the_base_alone():
    base = tiny.base(tiny.llama().bfloat16())
    before = tiny.weights(base.model)
    tuned, report = fine_tune(base, tiny.task(), tiny.settings(learning_rate=1e-3))
    assert tiny.same_tensors(tiny.weights(base.model), before)
    parameters = list(tuned.model.parameters())
    assert {p.dtype for p in parameters} == {torch.float32}
    assert not any(p.requires_grad for p in parameters)
    assert report.trained_parameters == sum(p.numel() for p in parameters)
    assert not torch.equal(tuned.model.state_dict()["lm_head.weight"], before["lm_head.weight"].float())
    assert report.losses[-1] < report.losses[0]
