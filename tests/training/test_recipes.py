"""Recipes: which base has which, and the official one against its step written out here on a dense B."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

from lori_core.bases.attach import attach
from lori_core.bases.load import Base
from lori_core.config import AdapterConfig, Method
from lori_core.method.adapter import Adapter
from lori_core.tasks.task import Example
from lori_core.training.hooks import Hooks
from lori_core.training.recipes import training_for
from lori_core.training.train import train

pytestmark = pytest.mark.usefixtures("processor")

STEPS, BATCH = 50, 3
EXAMPLES = [
    Example("ab:", " c"),
    Example("what follows d?", " e, then f"),
    Example("g", " h i j k"),
    Example("say l and m:", " l m"),
    Example("n", "o"),
    Example("count:", "1 2 3 4 5 6 7 8 9"),
]


class OfficialStep:
    """B as a dense matrix a module, each with an optimizer of its own: mask the gradient, clip what is left, AdamW."""

    def __init__(self, base: Base, start: Adapter, rate: float) -> None:
        self.base, self.masks = base, start.masks
        self.B = {module: nn.Parameter(factors.B.clone()) for module, factors in start.factors.items()}
        self.optimizers = {
            module: torch.optim.AdamW([B], lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
            for module, B in self.B.items()
        }
        self.clipped = 0
        for module, factors in start.factors.items():
            A, B, scaling = factors.A, self.B[module], factors.scaling

            def add_update(_, inputs, output, A=A, B=B, scaling=scaling):
                return output + scaling * (inputs[0] @ A.to(output).T) @ B.to(output).T

            base.model.get_submodule(module).register_forward_hook(add_update)

    def loss(self, example: Example) -> Tensor:
        """-log p(response and end token | prompt), summed over the tokens, ()."""
        prompt = self.base.tokenizer(example.prompt).input_ids
        ids = torch.tensor([[*prompt, *self.base.tokenizer(example.response).input_ids, tiny.END]])
        log_likelihood = self.base.model(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        return -log_likelihood.gather(1, ids[0, len(prompt) :, None]).sum()

    def __call__(self, batch: Sequence[Example]) -> None:
        torch.stack([self.loss(example) for example in batch]).mean().backward()
        for module, B in self.B.items():
            assert B.grad is not None
            B.grad[~self.masks[module]] = 0
            self.clipped += bool(nn.utils.clip_grad_norm_([B], 1.0) > 1)
            self.optimizers[module].step()
            B.grad = None

    def kept(self) -> Tensor:
        """(kept entries of all modules,)"""
        return torch.cat([B.detach()[self.masks[module]] for module, B in self.B.items()])


def start_of(base: Base, method: Method) -> Adapter:
    """B at zero; LoRI-S: with random masks of half of the entries."""
    config = AdapterConfig(rank=4, sparsity=0.9 if method == "lori_s" else 0.0)
    return tiny.start(base, config, masks=tiny.halves(base, config) if method == "lori_s" else None)


def way(method: Method, **changes: Any) -> list[Tensor]:
    """The kept entries, as OfficialStep.kept has them, after each step of train() by the recipe."""
    base = large_base()
    attached = attach(base.model, start_of(base, method))
    steps: list[Tensor] = []

    def look(event: dict) -> None:
        steps.append(torch.cat([factors.values for factors in attached.extract().factors.values()]))

    settings = training_for("a large base")[method].changed(steps=STEPS, batch_size=BATCH, **changes)
    train(base.model, base.tokenizer, EXAMPLES, settings, hooks=Hooks(look))
    return steps


def large_base() -> Base:
    """Its weights are large enough for gradients of the size that models with billions of them have, near the clip."""
    return tiny.base(tiny.llama(spread=0.2).double())


def official_way(method: Method) -> tuple[list[Tensor], float]:
    """The same after each official step, and the share of gradients that were clipped."""
    base = large_base()
    step = OfficialStep(base, start_of(base, method), {"lori_d": 5e-5, "lori_s": 5e-4}[method])
    steps = []
    for batch in batches():
        step(batch)
        steps.append(step.kept())
    return steps, step.clipped / (STEPS * len(step.B))


def batches() -> Iterator[list[Example]]:
    """Those of train(): passes in an order of their own each."""
    for epoch in range(STEPS * BATCH // len(EXAMPLES)):
        order = np.random.default_rng([0, epoch]).permutation(len(EXAMPLES))
        for start in range(0, len(EXAMPLES), BATCH):
            yield [EXAMPLES[position] for position in order[start : start + BATCH]]


def off(ours: Tensor, theirs: Tensor) -> float:
    return (torch.linalg.norm(ours - theirs) / torch.linalg.norm(theirs)).item()


@pytest.mark.parametrize("method", ["lori_d", "lori_s"])
def test_the_official_recipe_goes_the_way_of_the_official_step_in_whole_and_micro_batches(method: Method):
    theirs, clipped = official_way(method)
    assert 0.5 < clipped < 0.95
    for micro_batch_size in (None, 2):
        ours = way(method, micro_batch_size=micro_batch_size)
        assert len(ours) == STEPS
        assert max(map(off, ours, theirs)) < 1e-5


@pytest.mark.parametrize("other", [{"loss_per": "token"}, {"clip_per": "model"}, {"clip": None}])
def test_each_setting_of_the_official_recipe_decides_where_it_goes(other):
    theirs, _ = official_way("lori_s")
    assert off(way("lori_s", **other)[-1], theirs[-1]) > 0.05


def test_the_embedded_base_has_its_own_recipe_every_other_the_official_one_and_a_name_asks_for_either():
    assert training_for("embedded") == training_for("org/model", recipe="embedded")
    assert training_for("org/model") == training_for("embedded", recipe="official")
    assert training_for("org/model")["lori_s"].clip_per == "matrix"
    own = tiny.settings()
    assert training_for("org/model", {"lori_s": own}) == training_for("org/model") | {"lori_s": own}
