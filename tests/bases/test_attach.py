"""attach, extract, detach: round trips, what is refused, and sparse training against dense B times mask."""

import copy

import pytest
import tiny
import torch
from torch import Tensor, nn

from lori_core.bases.attach import applied, attach, update_ratio
from lori_core.bases.layer import LoRILinear
from lori_core.config import AdapterConfig
from lori_core.errors import IncompatibleAdapters
from lori_core.method.adapter import Adapter, Factors

MODELS = {"llama": tiny.llama, "gpt2": tiny.gpt2}


def sparse_adapter(base, seed: int = 0, dtype: torch.dtype = torch.float32) -> Adapter:
    return tiny.filled(tiny.start(base, masks=tiny.halves(base, seed=seed)), seed, dtype)


def modules_of(model: nn.Module) -> dict[str, nn.Module]:
    return dict(model.named_modules())


def without(adapter: Adapter, module: str) -> dict[str, Tensor]:
    """The adapter's masks, but nothing kept in that module."""
    return adapter.masks | {module: torch.zeros_like(adapter.masks[module])}


# --- round trips


@pytest.mark.parametrize("architecture", MODELS)
def test_an_attached_adapter_adds_its_updates_and_a_detached_one_leaves_the_model_as_it_was(architecture):
    base = tiny.base(MODELS[architecture]())
    before, objects, plain = tiny.weights(base.model), modules_of(base.model), tiny.logits(base.model)
    adapter = sparse_adapter(base)
    merged = copy.deepcopy(base.model)
    for module, factors in adapter.factors.items():
        linear = merged.get_submodule(module)
        linear.weight.data += factors.update if isinstance(linear, nn.Linear) else factors.update.T  # type: ignore
    attached = attach(base.model, adapter)
    torch.testing.assert_close(tiny.logits(base.model), tiny.logits(merged), rtol=1e-4, atol=1e-5)
    assert (tiny.logits(base.model) - plain).abs().max() > 0.01
    assert tiny.same_bits(attached.extract(), adapter)
    attached.detach()
    assert tiny.same_tensors(tiny.weights(base.model), before)
    assert torch.equal(tiny.logits(base.model), plain)
    assert modules_of(base.model) == objects


def test_what_is_extracted_does_not_move_with_the_layers_that_go_on_training():
    base = tiny.base()
    attached = attach(base.model, tiny.start(base))
    taken = attached.extract()
    for parameter in base.model.parameters():
        if parameter.requires_grad:
            parameter.data += 1
    assert not any(factors.values.any() for factors in taken.factors.values())
    assert all((factors.values == 1).all() for factors in attached.extract().factors.values())


def test_applied_trains_nothing_and_detaches_also_after_an_error():
    base = tiny.base()
    plain = tiny.logits(base.model)
    with pytest.raises(KeyboardInterrupt), applied(base.model, sparse_adapter(base)) as model:
        assert not torch.equal(tiny.logits(base.model), plain)
        assert not any(parameter.requires_grad for parameter in model.parameters())
        raise KeyboardInterrupt
    assert torch.equal(tiny.logits(base.model), plain)


def test_a_module_whose_mask_keeps_nothing_stays_the_very_same_object():
    base = tiny.base()
    empty = "model.layers.1.mlp.up_proj"
    adapter = tiny.start(base)
    adapter = tiny.filled(adapter.with_masks(without(adapter, empty)))
    linear = base.model.get_submodule(empty)
    parameters = {name for name, _ in base.model.named_parameters()}
    attached = attach(base.model, adapter)
    assert base.model.get_submodule(empty) is linear
    assert empty not in attached.layers and len(attached.layers) == len(adapter.factors) - 1
    added = {name for name, _ in base.model.named_parameters() if name.endswith(".values")}
    assert added == {f"{module}.values" for module in adapter.factors if module != empty}
    assert len(list(base.model.parameters())) == len(parameters) + len(added)
    assert tiny.same_bits(attached.extract(), adapter)


def test_only_entries_that_may_move_require_a_gradient():
    base = tiny.base()
    base.model.requires_grad_(True)
    adapter = sparse_adapter(base)
    attach(base.model, adapter)
    trained = {name: p.numel() for name, p in base.model.named_parameters() if p.requires_grad}
    assert trained == {f"{module}.values": f.values.numel() for module, f in adapter.factors.items()}
    assert sum(trained.values()) == adapter.trained_parameters


def test_for_LoRA_A_is_a_parameter_too_and_is_extracted():
    base = tiny.base()
    adapter = tiny.start(base, AdapterConfig(rank=4, sparsity=0, train_projection=True))
    attached = attach(base.model, adapter)
    trained = [p for p in base.model.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == adapter.trained_parameters
    for parameter in trained:
        parameter.data += 1
    for module, factors in attached.extract().factors.items():
        torch.testing.assert_close(factors.A, adapter.factors[module].A + 1)
        assert (factors.values == 1).all()


@pytest.mark.parametrize("moves", [False, True])
def test_in_a_bf16_base_the_adapter_comes_back_in_the_fp32_bits_it_went_in(moves):
    base = tiny.base(tiny.llama().bfloat16())
    adapter = sparse_adapter(base)
    blank = tiny.start(base)
    trained = {module: mask & moves for module, mask in adapter.masks.items()}
    for each in (adapter, blank):
        attached = attach(base.model, each, trained)
        assert tiny.logits(base.model).dtype == torch.bfloat16
        back = attached.extract()
        attached.detach()
        assert tiny.same_bits(back, each)
        assert {factors.values.dtype for factors in back.factors.values()} == {torch.float32}


# --- what is refused


def test_a_second_adapter_is_refused_and_the_first_can_still_be_trained():
    base = tiny.base()
    adapter = sparse_adapter(base)
    attached = attach(base.model, adapter)
    with pytest.raises(IncompatibleAdapters) as caught:
        attach(base.model, adapter)
    assert caught.value.key == "already_attached"
    assert all(layer.values is not None and layer.values.requires_grad for layer in attached.layers.values())
    assert tiny.same_bits(attached.extract(), adapter)


@pytest.mark.parametrize("architecture", MODELS)
def test_an_adapter_of_another_base_is_refused_and_nothing_has_changed(architecture):
    base = tiny.base(MODELS[architecture]())
    fitting = sparse_adapter(base)
    last = list(fitting.factors)[-1]
    f = fitting.factors[last]
    wide = Factors(torch.zeros(4, 99), f.values, f.mask, f.scaling)
    high = Factors(f.A, torch.zeros(99 * 4), torch.ones(99, 4, dtype=torch.bool), f.scaling)
    for factors, key in [
        (dict(fitting.factors) | {last: wide}, "shape_differs"),
        (dict(fitting.factors) | {last: high}, "shape_differs"),
        (dict(fitting.factors) | {"model.layers.9.self_attn.q_proj": f}, "no_such_module"),
        (dict(fitting.factors) | {"": f}, "no_such_module"),
    ]:
        before, objects = tiny.weights(base.model), modules_of(base.model)
        base.model.requires_grad_(True)
        with pytest.raises(IncompatibleAdapters) as caught:
            attach(base.model, Adapter("math", tiny.CONFIG, factors))
        assert caught.value.key == key
        assert modules_of(base.model) == objects
        assert tiny.same_tensors(tiny.weights(base.model), before)
        assert all(parameter.requires_grad for parameter in base.model.parameters())


def test_training_an_entry_that_the_mask_does_not_keep_is_refused_and_nothing_has_changed():
    base = tiny.base()
    adapter = sparse_adapter(base)
    module = next(iter(adapter.factors))
    outside = adapter.masks[module].clone()
    outside.view(-1)[int((~outside).view(-1).nonzero()[0])] = True
    for trained in ({module: outside}, {module: outside[:1]}, {"model.elsewhere": outside}):
        objects = modules_of(base.model)
        with pytest.raises(IncompatibleAdapters) as caught:
            attach(base.model, adapter, trained)
        assert caught.value.key == "trained_not_kept"
        assert modules_of(base.model) == objects
    attach(base.model, adapter, {module: adapter.masks[module]})


# --- sparse training against the dense reference


class DenseReference(nn.Module):
    """y = W x + scaling · (B ⊙ mask) A x with all of B a parameter: what LoRILinear must follow step by step."""

    def __init__(self, base: nn.Module, factors: Factors) -> None:
        super().__init__()
        self.base, self.scaling = base, factors.scaling
        self.A, self.mask = factors.A, factors.mask
        self.B = nn.Parameter(factors.B)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.scaling * x @ self.A.T @ (self.B * self.mask).T


def masked_adamw(layers: list[DenseReference], state: dict, step: int, learning_rate: float) -> None:
    """One step of AdamW (Loshchilov & Hutter 2019) without weight decay, gradients masked, in place."""
    for layer in layers:
        assert layer.B.grad is not None
        gradient = layer.B.grad * layer.mask
        m, v = state.get(layer, (torch.zeros_like(gradient), torch.zeros_like(gradient)))
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        state[layer] = m, v
        mean, variance = m / (1 - 0.9**step), v / (1 - 0.999**step)
        layer.B.data -= learning_rate * mean / (variance.sqrt() + 1e-8)
        layer.B.grad = None


def batch_loss(model: nn.Module, step: int) -> Tensor:
    """Next-token loss on random tokens; each eight steps the same eight batches."""
    tokens = torch.randint(0, 257, (4, 12), generator=torch.Generator().manual_seed(step % 8))
    logits = model(tokens).logits
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("architecture", MODELS)
def test_fifty_steps_follow_dense_B_times_mask_with_masked_gradients(architecture, dtype, tolerance):
    base = tiny.base(MODELS[architecture]().to(dtype))
    adapter = sparse_adapter(base, dtype=dtype)
    reference = copy.deepcopy(base.model)
    dense = {m: DenseReference(reference.get_submodule(m), f) for m, f in adapter.factors.items()}
    for module, layer in dense.items():
        reference.set_submodule(module, layer)
    attached = attach(base.model, adapter)
    optimizer = torch.optim.AdamW([p for p in base.model.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.0)
    state: dict = {}
    for step in range(50):
        ours, theirs = batch_loss(base.model, step), batch_loss(reference, step)
        ours.backward()
        theirs.backward()
        optimizer.step()
        optimizer.zero_grad()
        masked_adamw(list(dense.values()), state, step + 1, 1e-3)
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=0)
    moved = 0.0
    for module, factors in attached.extract().factors.items():
        expected = (dense[module].B * dense[module].mask).detach()
        assert torch.linalg.norm(factors.B - expected) < tolerance * torch.linalg.norm(expected)
        assert not factors.B[~factors.mask].any()
        moved += torch.linalg.norm(factors.B - adapter.factors[module].B).item()
    assert moved > 1


@pytest.mark.parametrize("architecture", MODELS)
def test_entries_outside_the_trained_part_and_the_base_keep_their_bits(architecture):
    base = tiny.base(MODELS[architecture]())
    before = tiny.weights(base.model)
    adapter = sparse_adapter(base)
    trained = {module: mask & tiny.halves(base, seed=5)[module] for module, mask in adapter.masks.items()}
    nothing_moves = next(iter(trained))
    trained[nothing_moves] = torch.zeros_like(trained[nothing_moves])
    attached = attach(base.model, adapter, trained)
    parameters = [p for p in base.model.parameters() if p.requires_grad]
    assert sum(p.numel() for p in parameters) == sum(int(mask.sum()) for mask in trained.values())
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    for step in range(5):
        batch_loss(base.model, step).backward()
        optimizer.step()
        optimizer.zero_grad()
    after = attached.extract()
    attached.detach()
    assert tiny.same_tensors(tiny.weights(base.model), before)
    for module, factors in after.factors.items():
        start, moves = adapter.factors[module], trained[module]
        assert torch.equal(factors.B[~moves], start.B[~moves])
        assert (factors.B[moves] != start.B[moves]).all()
        assert not factors.B[~factors.mask].any()
        assert torch.equal(factors.A, start.A)


# --- the size of an update


@pytest.mark.parametrize("architecture", MODELS)
def test_the_update_ratio_is_that_of_the_dense_norms(architecture):
    base = tiny.base(MODELS[architecture]())
    adapter = sparse_adapter(base)
    update = torch.cat([factors.update.flatten() for factors in adapter.factors.values()])
    weight = torch.cat([base.model.get_submodule(module).weight.flatten() for module in adapter.factors])  # type: ignore
    expected = torch.linalg.norm(update.double()) / torch.linalg.norm(weight.double())
    assert update_ratio(base.model, adapter) == pytest.approx(expected.item(), rel=1e-6)


def test_every_module_of_an_adapter_is_wrapped_by_our_layer():
    base = tiny.base()
    adapter = sparse_adapter(base)
    attach(base.model, adapter)
    assert {n for n, m in base.model.named_modules() if isinstance(m, LoRILinear)} == adapter.factors.keys()
