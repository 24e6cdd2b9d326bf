"""LoRILinear against PEFT's LoRA with the same masked factors, against autograd, and for what autograd keeps."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from benchmarks.counts import kept_for_backward
from lori_core.bases.layer import LoRILinear

IN, OUT, RANK, SCALING = 12, 20, 4, 1.5
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
BASES = {
    "linear": lambda: nn.Linear(IN, OUT),
    "without bias": lambda: nn.Linear(IN, OUT, bias=False),
    "conv1d": lambda: Conv1D(OUT, IN),
}


def make_base(kind: str = "linear", dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    return BASES[kind]().to(dtype).requires_grad_(False)


def factors(dtype: torch.dtype = torch.float32, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A, B that is zero outside the mask, mask."""
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(RANK, IN, generator=generator, dtype=torch.float64)
    mask = torch.rand(OUT, RANK, generator=generator) < 0.3
    B = torch.randn(OUT, RANK, generator=generator, dtype=torch.float64) * mask
    return A.to(dtype), B.to(dtype), mask


def inputs(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


class Holder(nn.Module):
    """A model of one linear map, for PEFT to wrap."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def peft_layer(base: nn.Module, A: Tensor, B: Tensor) -> Any:
    conv = isinstance(base, Conv1D)
    config = LoraConfig(
        r=RANK, lora_alpha=int(SCALING * RANK), lora_dropout=0.0, target_modules=["linear"], fan_in_fan_out=conv
    )
    wrapped: Any = get_peft_model(Holder(base), config)  # type: ignore[reportArgumentType]
    layer = wrapped.base_model.model.linear
    with torch.no_grad():
        for linear, value in ((layer.lora_A.default, A), (layer.lora_B.default, B)):
            linear.weight.data = value.clone()
    return layer


# --- the same function as PEFT's


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [(5, IN), (2, 3, IN)])
@pytest.mark.parametrize("kind", BASES)
def test_output_and_gradients_are_those_of_PEFT_s_LoRA(kind, shape, dtype):
    A, B, mask = factors(dtype)
    ours = LoRILinear(make_base(kind, dtype), A, B, mask, SCALING)
    peft = peft_layer(make_base(kind, dtype), A, B)
    assert ours.values is not None
    x, x_peft = inputs(shape, dtype).requires_grad_(), inputs(shape, dtype).requires_grad_()
    y, y_peft = ours(x), peft(x_peft)
    weights = inputs((*shape[:-1], OUT), dtype)
    (y * weights).sum().backward()
    (y_peft * weights).sum().backward()
    tolerance: dict[str, Any] = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    assert (y - make_base(kind, dtype)(x)).abs().max() > 0.1  # the update is there
    torch.testing.assert_close(y, y_peft, **tolerance)
    torch.testing.assert_close(ours.values.grad, peft.lora_B.default.weight.grad[mask], **tolerance)
    torch.testing.assert_close(x.grad, x_peft.grad, **tolerance)


@pytest.mark.parametrize("kind", BASES)
def test_a_trained_projection_has_PEFT_s_gradient_of_A_too(kind):
    A, B, _ = factors(torch.float64)
    ours = LoRILinear(make_base(kind, torch.float64), A, B, torch.ones_like(B).bool(), SCALING, train_projection=True)
    peft = peft_layer(make_base(kind, torch.float64), A, B)
    x = inputs((2, 3, IN), torch.float64)
    ours(x).square().sum().backward()
    peft(x).square().sum().backward()
    assert isinstance(ours.A, nn.Parameter) and ours.values is not None
    torch.testing.assert_close(ours.A.grad, peft.lora_A.default.weight.grad, rtol=1e-10, atol=1e-10)
    expected = peft.lora_B.default.weight.grad.reshape(-1)
    torch.testing.assert_close(ours.values.grad, expected, rtol=1e-10, atol=1e-10)


# --- what moves


def test_the_gradient_of_values_is_that_of_finite_differences():
    A, B, mask = factors(torch.float64)
    frozen = B + inputs((OUT, RANK), torch.float64) * ~mask  # entries of an earlier task around the trained ones
    layer = LoRILinear(make_base(dtype=torch.float64), A, frozen, mask, SCALING)
    x = inputs((3, IN), torch.float64)

    def output(values: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"values": values}, (x,))

    assert layer.values is not None
    assert torch.autograd.gradcheck(output, (layer.values.detach().clone().requires_grad_(),))


def test_only_the_kept_values_are_a_parameter_and_only_the_base_is_in_the_state():
    A, B, mask = factors()
    layer = LoRILinear(make_base(), A, B, mask, SCALING)
    trained = {name: p.numel() for name, p in layer.named_parameters() if p.requires_grad}
    assert trained == {"values": int(mask.sum())}
    assert layer.state_dict().keys() == {"values", "base.weight", "base.bias"}


def test_dense_B_is_the_B_it_started_from_whichever_part_of_it_moves():
    A, B, mask = factors()
    some = mask & (inputs((OUT, RANK)) > 0)
    for moves in (None, torch.zeros_like(mask), some, mask, torch.ones_like(mask)):
        layer = LoRILinear(make_base(), A, B, moves, SCALING)
        torch.testing.assert_close(layer.B(), B, rtol=1e-7, atol=0)
        assert (layer.values is None) == (moves is None or not moves.any())


def test_a_layer_in_which_nothing_moves_has_the_same_output_and_no_parameter_of_its_own():
    A, B, mask = factors()
    still, moving = (LoRILinear(make_base(), A, B, moves, SCALING) for moves in (None, mask))
    x = inputs((2, 3, IN))
    torch.testing.assert_close(still(x), moving(x))
    assert {name for name, _ in still.named_parameters()} == {"base.weight", "base.bias"}


def test_B_is_fp32_in_a_bf16_layer_also_where_it_is_zero():
    A, B, mask = factors()
    base = make_base(dtype=torch.bfloat16)
    for moves, start in ((mask, B), (None, B), (None, torch.zeros_like(B))):
        assert LoRILinear(base, A.bfloat16(), start, moves, SCALING).B().dtype == torch.float32


@pytest.mark.filterwarnings("ignore:.*autograd.function.Function.* should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("kind", ["linear", "without bias"])
def test_it_compiles_as_one_graph_to_the_same_numbers(kind):
    A, B, mask = factors()
    layer = LoRILinear(make_base(kind), A, B, mask, SCALING)
    whole = torch.compile(layer, backend="aot_eager", fullgraph=True)  # no graph break; the C++ compiler is not needed
    found = []
    for way in (layer, whole):
        x = inputs((2, 3, IN)).requires_grad_()
        layer.zero_grad()
        y = way(x)
        y.square().sum().backward()
        assert layer.values is not None and layer.values.grad is not None
        found.append((y, x.grad, layer.values.grad))
    for eager, compiled in zip(*found, strict=True):
        torch.testing.assert_close(compiled, eager)


# --- memory


def bytes_of(tensors: list[Tensor], but: nn.Module) -> int:
    """Bytes of the different storages among them, without those of the module's own tensors."""
    own = {tensor.untyped_storage().data_ptr() for tensor in but.state_dict().values()}
    own |= {tensor.untyped_storage().data_ptr() for tensor in but.buffers()}
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(size for pointer, size in storages.items() if pointer not in own)


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("needs_gradient", [False, True])
def test_autograd_keeps_rank_numbers_a_token_and_no_copy_of_x(kind, needs_gradient):
    A, B, mask = factors()
    tokens = 1000
    layer = LoRILinear(make_base(kind), A, B, mask, SCALING)
    x = inputs((2, tokens // 2, IN)).requires_grad_(needs_gradient)
    with kept_for_backward() as kept:
        layer(x)
    h, dense_B = 4 * RANK * tokens, 4 * OUT * RANK
    scattered_again = kind != "conv1d"  # beside any other base autograd keeps the dense B
    assert h <= bytes_of(kept, layer) <= h + (0 if scattered_again else dense_B)
    trains_A = LoRILinear(make_base(kind), A, B, torch.ones_like(mask), SCALING, train_projection=True)
    with kept_for_backward() as kept:  # the control: LoRA has to keep x
        trains_A(x)
    assert bytes_of(kept, trains_A) >= h + x.nbytes


# --- precision


@pytest.mark.parametrize("kind", BASES)
def test_a_bf16_base_computes_in_bf16_near_the_fp32_output_and_trains_fp32_values(kind):
    A, B, mask = factors()
    exact = LoRILinear(make_base(kind), A, B, mask, SCALING)
    layer = LoRILinear(make_base(kind, torch.bfloat16), A.bfloat16(), B, mask, SCALING)
    x = inputs((2, 3, IN))
    y = layer(x.bfloat16())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), exact(x), rtol=0.02, atol=0.2)
    y.sum().backward()
    exact(x).sum().backward()
    assert layer.values is not None and exact.values is not None
    assert layer.values.grad is not None
    assert layer.values.dtype == layer.values.grad.dtype == torch.float32
    torch.testing.assert_close(layer.values.grad, exact.values.grad, rtol=0.05, atol=0.1)


@pytest.mark.parametrize("train_projection", [False, True])
@pytest.mark.parametrize("kind", BASES)
def test_under_autocast_a_fp32_base_computes_in_bf16(kind, train_projection):
    A, B, mask = factors()
    moves = torch.ones_like(mask) if train_projection else mask
    layer = LoRILinear(make_base(kind), A, B, moves, SCALING, train_projection)
    x = inputs((2, 3, IN)).requires_grad_()
    exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), exact, rtol=0.02, atol=0.2)
    y.float().sum().backward()
    assert layer.values is not None and layer.values.grad is not None
    assert layer.values.grad.dtype == x.grad.dtype == torch.float32  # type: ignore[reportOptionalMemberAccess]
