"""The mask is that of the dense run's B; how it settles is told truly; nothing is left on the model."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import tiny
import torch
import torch.nn.functional as F

from lori_core.bases.attach import attach
from lori_core.config import AdapterConfig
from lori_core.errors import AdapterError, Stopped
from lori_core.method.masks import jaccard, kept_fractions, magnitude_masks
from lori_core.training.calibrate import Calibrated, as_dense, calibrate, moved
from lori_core.training.hooks import Hooks
from lori_core.training.train import train

pytestmark = pytest.mark.usefixtures("processor")


def calibrated(steps: int = 20, config: AdapterConfig = tiny.CONFIG, start=None, **options) -> Calibrated:
    base = tiny.base()
    start = start or tiny.start(base)
    return calibrate(base, tiny.task(), start, config, tiny.settings(steps=steps, schedule="constant"), **options)


@pytest.mark.parametrize("granularity", ["model", "layer"])
def test_the_mask_is_of_the_largest_entries_of_the_dense_run_s_B(granularity):
    config = tiny.CONFIG.changed(granularity=granularity)
    base = tiny.base()
    attached = attach(base.model, tiny.start(base))
    settings = tiny.settings(steps=20, schedule="constant")
    report = train(base.model, base.tokenizer, tiny.task().examples("train"), settings)
    dense = attached.extract()
    result = calibrated(config=config)
    B = {module: factors.B for module, factors in dense.factors.items()}
    assert tiny.same_bits(result.dense, dense)
    assert tiny.same_tensors(result.masks, magnitude_masks(B, 0.75, granularity))
    assert result.report.training.losses == report.losses
    assert result.report.kept == kept_fractions(result.masks)
    assert (result.report.task, result.report.sparsity, result.report.stopped_early) == ("after", 0.75, False)


def test_from_a_B_that_is_not_zero_what_counts_is_how_far_entries_moved():
    start = tiny.filled(tiny.start(tiny.base()))
    result = calibrated(start=start)
    movement = {m: f.B - start.factors[m].B for m, f in result.dense.factors.items()}
    assert tiny.same_tensors(dict(result.movement), movement)
    assert tiny.same_tensors(result.masks, magnitude_masks(movement, 0.75))
    B = {module: factors.B for module, factors in result.dense.factors.items()}
    assert jaccard(result.masks, magnitude_masks(B, 0.75)) < 0.9


def test_every_five_steps_a_look_tells_the_mask_that_would_result_and_its_jaccard():
    events: list[dict] = []
    whole = calibrated(steps=17, hooks=Hooks(events.append))
    shorter = [calibrated(steps=steps).masks for steps in (5, 10, 15)]
    looks = whole.report.looks
    assert [look.step for look in looks] == [5, 10, 15]
    assert [look.jaccard for look in looks] == [
        None,
        *(jaccard(b, a) for a, b in pairwise(shorter)),
    ]
    assert [look.kept for look in looks] == [kept_fractions(masks) for masks in shorter]
    seen = [event for event in events if event["kind"] == "mask"]
    assert [(e["step"], e["jaccard"], e["kept"]) for e in seen] == [(k.step, k.jaccard, k.kept) for k in looks]


def test_a_mask_that_has_settled_ends_the_run_early_where_that_is_asked_for():
    full = calibrated(steps=200)
    early = calibrated(steps=200, stop_when_stable=True)
    jaccards = [look.jaccard or 0 for look in full.report.looks]
    settled = next(i for i in range(1, len(jaccards)) if jaccards[i - 1] >= 0.9 and jaccards[i] >= 0.9)
    assert early.report.stopped_early and not full.report.stopped_early
    assert early.report.looks == full.report.looks[: settled + 1]
    assert early.report.training.steps == 5 * (settled + 1) < 200


def test_excluded_entries_are_in_no_mask_and_no_look_counts_them():
    exclude = calibrated().masks
    result = calibrated(exclude=exclude)
    assert not any((result.masks[module] & exclude[module]).any() for module in exclude)
    assert result.report.looks[-1].kept == result.report.kept  # the last look is at the last step


SHORT = tiny.CONFIG.changed(calibration="one_pass")
EARLY = tiny.CONFIG.changed(calibration="early")


def test_one_pass_takes_the_largest_gradients_at_a_B_of_zero():
    """Reference: the loss's gradient of dW = scaling · B A is that of W, so B's is scaling · (dL / dW) Aᵀ."""
    base, examples = tiny.base(), tiny.task().examples("train")
    start = tiny.start(base, SHORT)
    settings = tiny.settings(steps=20, batch_size=len(examples))  # a twentieth is one step, on all of them
    result = calibrate(base, tiny.task(), start, SHORT, settings)

    model = base.model.requires_grad_(True)
    texts = [base.tokenizer(e.prompt + e.response)["input_ids"] + [tiny.END] for e in examples]
    prompts = [len(base.tokenizer(e.prompt)["input_ids"]) for e in examples]
    losses = [
        F.cross_entropy(
            model(torch.tensor([ids])).logits[0, prompt - 1 : -1], torch.tensor(ids[prompt:]), reduction="sum"
        )
        for ids, prompt in zip(texts, prompts, strict=True)
    ]
    (sum(losses) / sum(len(ids) - prompt for ids, prompt in zip(texts, prompts, strict=True))).backward()  # pyright: ignore
    by_hand = {m: f.scaling * model.get_submodule(m).weight.grad @ f.A.T for m, f in start.factors.items()}  # pyright: ignore
    assert jaccard(result.masks, magnitude_masks(by_hand, 0.75)) > 0.99  # but for ties in the last bits
    assert result.report.training.steps == 1 and not result.report.stopped_early
    assert max(float(f.B.abs().max()) for f in result.dense.factors.values()) < 1e-29


def test_early_takes_the_largest_products_of_B_and_gradient_in_a_twentieth_of_the_steps():
    base = tiny.base()
    settings = tiny.settings(steps=60, schedule="constant")
    result = calibrate(base, tiny.task(), tiny.start(base, EARLY), EARLY, settings)

    attached = attach(base.model, tiny.start(base, EARLY))
    sums = {module: torch.zeros(layer.shape) for module, layer in attached.layers.items()}

    class Sums:
        """What torch's own hooks see of the same three steps."""

        def before_step(self) -> None:
            self.gradients = {m: next(p for p in n.parameters() if p.requires_grad).grad.clone() for m, n in layers}  # pyright: ignore

        def after_step(self, step: int) -> bool:
            for module, layer in layers:
                sums[module] += (layer.B().detach() * self.gradients[module].view(layer.shape)).abs()
            return False

        def state(self) -> dict:
            return {}

        def restore(self, state: dict) -> None: ...

    layers = list(attached.layers.items())
    few = settings.changed(steps=3, warmup_steps=0)
    train(base.model, base.tokenizer, tiny.task().examples("train"), few, watcher=Sums())
    attached.detach()
    assert tiny.same_tensors(result.masks, magnitude_masks(sums, 0.75))
    assert [look.step for look in result.report.looks] == [1, 2, 3]
    assert result.report.looks[-1].kept == result.report.kept


@pytest.mark.parametrize("config", [SHORT, EARLY], ids=lambda config: config.calibration)
def test_a_stopped_short_calibration_ends_in_the_same_mask(config, tmp_path: Path):
    def once(hooks: Hooks | None = None, checkpoints: Path | None = None) -> Calibrated:
        base, settings = tiny.base(), tiny.settings(steps=120, checkpoint_every=2)
        start = tiny.start(base, config)
        return calibrate(base, tiny.task(), start, config, settings, hooks=hooks, checkpoints=checkpoints)

    seen: list[dict] = []
    with pytest.raises(Stopped):
        once(Hooks(seen.append, lambda: len(seen) > 6), tmp_path)
    assert (tmp_path / "calibrate.pt").exists()
    resumed, whole = once(checkpoints=tmp_path), once()
    assert tiny.same_tensors(resumed.masks, whole.masks) and resumed.report.looks == whole.report.looks


def test_a_stopped_calibration_keeps_its_looks(tmp_path: Path):
    seen: list[dict] = []
    with pytest.raises(Stopped):
        calibrated(hooks=Hooks(seen.append, lambda: len(seen) > 14), checkpoints=tmp_path)
    assert (tmp_path / "calibrate.pt").exists()
    resumed, whole = calibrated(checkpoints=tmp_path), calibrated()
    assert len(whole.report.looks) == 4
    assert resumed.report.looks == whole.report.looks
    assert tiny.same_bits(resumed.dense, whole.dense)
    assert tiny.same_tensors(resumed.masks, whole.masks)


def test_the_model_is_as_it_was_after_success_and_after_an_error():
    base = tiny.base()
    before, plain = tiny.weights(base.model), tiny.logits(base.model)
    settings = tiny.settings(steps=5)
    calibrate(base, tiny.task(), tiny.start(base), tiny.CONFIG, settings)
    with pytest.raises(AdapterError) as caught:
        calibrate(base, tiny.task(), tiny.start(base), tiny.CONFIG.changed(sparsity=0.99999), settings)
    assert caught.value.key == "mask_keeps_nothing"
    assert tiny.same_tensors(tiny.weights(base.model), before)
    assert torch.equal(tiny.logits(base.model), plain)


def test_the_dense_adapter_says_of_which_task_and_base_it_is():
    record = calibrated(steps=5).dense.record
    assert record["task"] == "after" and record["base"] == tiny.base().record
    assert record["train"]["steps"] == 5 and record["data"]["fingerprint"]


def test_as_dense_is_the_same_update_with_all_entries_free():
    base = tiny.base()
    sparse = tiny.filled(tiny.start(base, masks=tiny.halves(base)))
    dense = as_dense(sparse)
    assert all(factors.mask.all() for factors in dense.factors.values())
    assert not any(difference.any() for difference in moved(dense, sparse).values())
    assert tiny.same_bits(replace(dense).with_masks(sparse.masks), sparse)
