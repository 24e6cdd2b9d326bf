"""A student's functions at work: the mask that is trained, the merge that is scored, the step that trains.

Each takes the function from the notebook and gives what the library's own code gives (tests/lessons/test_by_hand.py),
so what a notebook goes on with is what its reader wrote.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lori_core.bases.attach import attach
from lori_core.bases.load import Base, target_modules
from lori_core.config import AdapterConfig, Method, TrainConfig
from lori_core.figures.means import Interval
from lori_core.method.adapter import Adapter, blank, dense_factors
from lori_core.method.footprint import Footprint
from lori_core.method.masks import Masks
from lori_core.method.merge_parts import dropped, trim
from lori_core.results import Loss
from lori_core.tasks.encode import Encoded, encode
from lori_core.tasks.task import Task
from lori_core.training.beside import learn_under

DRAWS = 1000  # of a bootstrap
IGNORED = -100  # a label that transformers leaves out of the loss


def column(tensors: Mapping[str, Tensor]) -> Tensor:
    """(entries, 1): those of all modules below each other, so that modules compete."""
    return torch.cat([each.reshape(-1, 1) for each in tensors.values()])


def by_module(entries: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The way back from column(): module -> its entries, in the shape that they have in `like`."""
    parts = entries.reshape(-1).split([each.numel() for each in like.values()])
    return {module: part.view(like[module].shape) for module, part in zip(like, parts, strict=True)}


def cosine_by(inner_product: Callable[..., Tensor], s: Adapter, t: Adapter) -> float:
    """Cosine of two adapters' updates over all modules; inner_product: (A_s, B_s, A_t, B_t) -> of one module."""

    def inner(one: Adapter, other: Adapter) -> float:
        pairs = [(f, other.factors[module]) for module, f in one.factors.items()]
        return sum(f.scaling * g.scaling * float(inner_product(f.A, f.B, g.A, g.B)) for f, g in pairs)

    return inner(s, t) / (inner(s, s) * inner(t, t)) ** 0.5


def merged_by(concat: Callable[..., tuple[Tensor, Tensor]], adapters: Sequence[Adapter], weight: float) -> Adapter:
    """All adapters in one, two at a time; concat: (A_s, B_s, A_t, B_t, weight) -> (A, B) of one module.

    The weight multiplies both sides of a step, so it comes with the last one, and 1 before.
    """
    factors = {}
    for module in adapters[0].factors:
        first, *others = [adapter.factors[module] for adapter in adapters]
        A, B = first.A, first.scaling * first.B
        for place, other in enumerate(others, start=2):
            A, B = concat(A, B, other.A, other.scaling * other.B, weight if place == len(adapters) else 1.0)
        factors[module] = dense_factors(A, B)
    return replace(adapters[0], name="merged", factors=factors)


def elected_by(ties: Callable[[Tensor], Tensor], adapters: Sequence[Adapter], weight: float, keep: float) -> Adapter:
    """TIES whose election is the student's; ties: (tasks, entries) -> (entries,).

    The dense result is written as B = dW under A = 1, whatever its rank.

    Args:
        keep: the share of each update that trimming leaves, within a module.
    """
    factors = {}
    for module, like in adapters[0].factors.items():
        trimmed = [weight * trim(module, adapter.factors[module].update, keep) for adapter in adapters]
        elected = ties(torch.stack([each.flatten() for each in trimmed]))
        factors[module] = dense_factors(torch.eye(like.shape[1]), elected.view(like.shape))
    return replace(adapters[0], name="merged", factors=factors)


def dropped_by(dare: Callable[..., Tensor], adapters: Sequence[Adapter], weight: float, drop: float) -> Adapter:
    """DARE whose dropping is the student's; dare: (update, dropped, drop) -> what goes into the sum.

    The dense result is written as B = dW under A = 1, whatever its rank.

    Args:
        drop: the share of each update's entries that is dropped at random.
    """
    factors = {}
    for module, like in adapters[0].factors.items():
        gone = [dropped(like.shape, drop, 0, each.name, module) for each in adapters]
        parts = [dare(each.factors[module].update, which, drop) for each, which in zip(adapters, gone, strict=True)]
        factors[module] = dense_factors(torch.eye(like.shape[1]), weight * torch.stack(parts).sum(dim=0))
    return replace(adapters[0], name="merged", factors=factors)


def gains_by(
    kept_gain: Callable[[float, float, float], float],
    bare: Mapping[str, Loss],
    alone: Mapping[str, Loss],
    merged: Mapping[str, Loss],
) -> dict[str, Interval]:
    """Task -> the share of a single adapter's gain that a merge keeps, with its 95 % interval over the examples.

    A bootstrap draws examples, and each draw has one set of them for all three losses.

    Args:
        kept_gain: (loss of the bare base, of the single adapter, of the merge) -> the share.
    """
    found = {}
    for task, loss in bare.items():
        losses = (loss, alone[task], merged[task])
        nats, lengths = torch.tensor([each.nats for each in losses]), torch.tensor(loss.lengths)
        drawn = torch.randint(len(lengths), (DRAWS, len(lengths)), generator=torch.Generator().manual_seed(0))
        means = (nats[:, drawn].sum(-1) / lengths[drawn].sum(-1)).T.tolist()
        low, high = torch.tensor([kept_gain(*each) for each in means]).quantile(torch.tensor([0.025, 0.975])).tolist()
        found[task] = Interval(kept_gain(*(each.value for each in losses)), low, high)
    return found


def cross_talk_by(
    energy: Callable[[Tensor, Tensor], Tensor], adapters: Sequence[Adapter], footprints: Sequence[Footprint]
) -> list[list[float]]:
    """[s][t]: the change of adapter s on task t's inputs, as a multiple of t's own, without a forward pass.

    Args:
        energy: (dW, moments) -> E‖dW x‖² of one module, moments being E[x xᵀ] (in_features, in_features).
        footprints: of the adapters' tasks, in their order, with the whole moments of every input.
    """
    totals = [
        [sum(float(energy(f.update, each.of(m).matrix.float())) for m, f in s.factors.items()) for each in footprints]
        for s in adapters
    ]
    return [[(total / totals[t][t]) ** 0.5 for t, total in enumerate(row)] for row in totals]


def learned_by(
    blind: Callable[[Tensor, Tensor], Tensor],
    base: Base,
    task: Task,
    earlier: Adapter,
    seen: Footprint,
    directions: int,
    config: AdapterConfig,
    training: Mapping[Method, TrainConfig],
) -> Adapter:
    """LoRI-S of one more task beside an earlier adapter, under a random A that the student's function has changed.

    Args:
        blind: (A, seen) -> A of one module; seen (directions, in_features): orthonormal rows, along which the earlier
            task's inputs are largest.
        seen: the earlier task's footprint, with the whole moments of every input.
    """
    random = blank(task.name, target_modules(base.model), config.changed(sparsity=0.0))
    projections = {}
    for module, factors in random.factors.items():
        leading = torch.linalg.eigh(seen.of(module).matrix).eigenvectors[:, -directions:].T
        projections[module] = blind(factors.A, leading.float()).contiguous()
    return learn_under(base, task, earlier, projections, "lori_s", config, training)


def trained_by(
    masked_step: Callable[..., Tensor], base: Base, task: Task, start: Adapter, masks: Masks, rate: float, steps: int
) -> Adapter:
    """An adapter after `steps` steps of the student's, each on the next eight examples.

    Args:
        masked_step: (B, gradient, mask, learning_rate) -> B of one module after the step.
        start: an adapter all of whose B may move: only the student's function keeps entries where they are.
    """
    attached = attach(base.model, start)
    examples = iter(task.examples("train"))
    try:
        for _ in range(steps):
            _mean_loss(base, [encode(base.tokenizer, next(examples), 512) for _ in range(8)]).backward()
            for module, layer in attached.layers.items():
                values = layer.values
                assert values is not None and values.grad is not None  # all of B may move
                after = masked_step(layer.B().detach(), values.grad.view(layer.shape), masks[module], rate)
                values.data, values.grad = after.reshape(-1).contiguous(), None
        return attached.extract()
    finally:
        attached.detach()


def _mean_loss(base: Base, batch: Sequence[Encoded | None]) -> Tensor:
    """Cross-entropy, the mean over the responses' tokens, ()."""
    rows = [each for each in batch if each is not None]
    ids = [torch.tensor(each.input_ids) for each in rows]
    labels = [row.clone() for row in ids]
    for row, each in zip(labels, rows, strict=True):
        row[: each.prompt_length] = IGNORED
    padded = pad_sequence(ids, batch_first=True)  # 0: whatever it is, it is neither attended to nor predicted
    attention = pad_sequence([torch.ones_like(row) for row in ids], batch_first=True)
    targets = pad_sequence(labels, batch_first=True, padding_value=IGNORED)
    return base.model(input_ids=padded, attention_mask=attention, labels=targets).loss
