"""The benchmark of masks: what its cheap scores add up."""

import pytest
import tiny
import torch
import torch.nn.functional as F

from benchmarks import masks
from benchmarks.masks import CHEAP, KINDS, Gradients, together
from lori_core.bases.attach import Attached, attach
from lori_core.bases.load import target_modules
from lori_core.config import AdapterConfig, TrainConfig
from lori_core.method.adapter import blank
from lori_core.method.masks import kept_count, sparsity_of
from lori_core.tasks.encode import encode
from lori_core.training.fit import fit


def test_a_pass_at_zero_sums_the_gradients_that_autograd_gives():
    base, task = tiny.base(), tiny.task("after")
    start = blank("t", target_modules(base.model), AdapterConfig(rank=4, sparsity=0))
    examples = task.examples("train")[:6]
    config = TrainConfig(
        learning_rate=1e-12, steps=2, batch_size=6, max_length=64, warmup_steps=0, examples=6, clip=None
    )
    watches: list[Gradients] = []

    def watch(attached: Attached) -> Gradients:
        watches.append(Gradients(attached, "one_pass"))
        return watches[0]

    fit(base, task, start, config, watch=watch)
    attached = attach(base.model, start)
    try:
        encoded = [each for example in examples if (each := encode(base.tokenizer, example, 64))]
        tokens = sum(len(each.input_ids) - each.prompt_length for each in encoded)
        for each in encoded:
            ids = torch.tensor([each.input_ids])
            logits = base.model(input_ids=ids).logits[0, each.prompt_length - 1 : -1]
            (F.cross_entropy(logits, ids[0, each.prompt_length :], reduction="sum") / tokens).backward()
        expected = {
            module: next(p for p in layer.parameters() if p.requires_grad).grad
            for module, layer in attached.layers.items()
        }
    finally:
        attached.detach()
    for module, total in watches[0].sums.items():
        gradient = expected[module]
        assert gradient is not None
        torch.testing.assert_close(total, 2 * gradient.view_as(total).abs(), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("kind", CHEAP)
def test_a_cheap_mask_keeps_as_many_entries_as_the_own_one(kind: str):
    found = masks.cheap("math", 0, kind)
    entries = sum(mask.numel() for mask in found.values())
    assert sum(int(mask.sum()) for mask in found.values()) == kept_count(entries, 0.9)
    assert sparsity_of(found) == pytest.approx(0.9, abs=1e-4)


def test_the_parts_of_a_mask_s_gain_add_up_to_the_whole():
    scores = {kind: 0.9 - 0.01 * place for place, kind in enumerate(KINDS)}
    rows = {
        (task, seed, kind): {"score": scores[kind] + 0.001 * seed, "jaccard": 0.5}
        for task in masks.TASKS
        for seed in (0, 1)
        for kind in KINDS
    }
    gain = together(rows, (0, 1))["gain"]
    parts = gain["density"]["mean"] + gain["position"]["mean"]
    assert gain["whole"]["mean"] == pytest.approx(parts) == pytest.approx(scores["own"] - scores["random"])
