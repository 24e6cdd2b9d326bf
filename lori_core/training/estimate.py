"""Memory estimate of a training, from the base's config alone: no weights are loaded.

The model is built of torch's fake tensors, which have shapes and no content, the adapter's own layers are put in, and
one forward and backward pass is followed: every piece of memory that an operation takes counts while it lives. So the
figures are those of the code that trains, whatever the architecture.

Where a training may need less, the estimate is on the safe side: all tokens but the first are predicted (a response as
long as it can be), every batch is padded, and gradients are kept over micro-batches.
"""

import copy
import logging
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from lori_core.bases.layer import LoRILinear
from lori_core.bases.load import DTYPES, checked_device, default_attention
from lori_core.bases.quantize import packed_bytes
from lori_core.bases.sharded import shared_out
from lori_core.bases.targets import check_rank, linear_shape, linear_shapes, target_modules
from lori_core.config import AdapterConfig, Attention, Precision, Quantization
from lori_core.errors import ConfigError, ModelError
from lori_core.results import Memory
from lori_core.training.train import recompute_activations

GIB = 2**30
RESERVE = GIB  # for the driver, the libraries and gaps between blocks


def estimate(
    config: PreTrainedConfig,
    adapter: AdapterConfig,
    *,
    batch_size: int,
    length: int,
    precision: Precision = "bf16",
    device: str = "cuda",
    quantization: Quantization | None = None,
    attention: Attention | None = None,
    gradient_checkpointing: bool = False,
    processes: int = 1,
) -> Memory:
    """The most memory that one training stage takes at a time.

    Args:
        config: of the base, as bases/load.py reads it.
        adapter: sparsity 0 is the dense training, and the calibration of LoRI-S; with train_projection it is LoRA.
        batch_size: examples a forward pass. length: tokens of each, prompt and response.
        device: says how attention is computed: eager on a cpu.
        processes: how many share the base out, see bases/sharded.py; then of one of them.
    Raises:
        ConfigError: the length or the rank is too large. ModelError: the modules to adapt are unknown, the forward
            pass depends on what the tensors hold, or a quantised base is to be shared out.
    """
    if processes > 1 and quantization:
        raise ModelError("sharded_not_whole", name=config.name_or_path or config.model_type)
    _check_length(config, length)
    fake, dtype = FakeTensorMode(allow_non_fake_inputs=True), DTYPES[precision]
    how = attention or default_attention(device)
    how = "sdpa" if how == "flash_attention_2" else how  # it keeps the same, and sdpa runs everywhere
    config = copy.deepcopy(config)  # building a model from it sets its dtype
    with _refused(config):
        with fake:
            model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=how).requires_grad_(False)
        parameters, base, gathered = model.num_parameters(), _bytes(model), 0
        if processes > 1:
            base, gathered = shared_out(model, processes)
        shapes = target_modules(model, adapter.target_modules)
        check_rank(shapes, adapter.rank)
        linear = linear_shapes(model) if quantization else {}
        if quantization == "8bit":
            _keep_inputs(model, list(linear))
        layers = [_wrap(model, module, adapter, None if quantization else dtype, fake) for module in shapes]
        with fake:
            activations, peak = _follow(model, layers, batch_size, length, gradient_checkpointing)
    dense = [out_features * in_features * dtype.itemsize for out_features, in_features in linear.values()]
    packed = [packed_bytes(shape, quantization) for shape in linear.values() if quantization]
    trained = sum(parameter.numel() for layer in layers for parameter in layer.parameters(recurse=False))
    return Memory(
        base=base - sum(dense) + sum(packed),
        adapter=sum(_bytes(layer, recurse=False) for layer in layers),
        gradients=4 * trained,
        optimizer=8 * trained,  # AdamW's two moments
        activations=activations,
        # a packed weight is unpacked at its product
        working=peak - activations + max(dense, default=0) + gathered,
        parameters=parameters,
        trained=trained,
    )


@contextmanager
def _refused(config: PreTrainedConfig) -> Iterator[None]:
    """What torch and transformers say where a model cannot run without contents, as a ModelError."""
    logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)  # it would print the traceback first
    try:
        yield
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError("cannot_estimate", architecture=config.model_type, reason=reason) from error


def device_memory(device: str | None) -> int:
    """Bytes of memory that a device has in all; raises ConfigError where it is not here."""
    try:
        device = checked_device(device)
    except ConfigError as error:
        raise ConfigError("memory_unknown", device=device) from error
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return torch.mps.recommended_max_memory() if kind == "mps" else psutil.virtual_memory().total


def _check_length(config: PreTrainedConfig, length: int) -> None:
    positions = getattr(config, "max_position_embeddings", None)
    if positions and length > positions:
        raise ConfigError("too_long_for_base", length=length, positions=positions, architecture=config.model_type)


def _wrap(
    model: PreTrainedModel, module: str, adapter: AdapterConfig, dtype: torch.dtype | None, fake: FakeTensorMode
) -> LoRILinear:
    """As bases/attach.py puts a layer in. What it holds does not count, so the first entries are those kept.

    Args:
        dtype: of a frozen A; None: fp32, as in a quantised base.
    """
    base = model.get_submodule(module)
    out_features, in_features = linear_shape(base) or (0, 0)
    mask = torch.zeros(out_features, adapter.rank, dtype=torch.bool)
    mask.view(-1)[: round((1 - adapter.sparsity) * mask.numel())] = True
    A = torch.zeros(adapter.rank, in_features, dtype=None if adapter.train_projection else dtype)
    layer = LoRILinear(nn.Identity(), A, torch.zeros(mask.shape), mask, adapter.scaling, adapter.train_projection)
    with fake:
        layer.to_empty(device="cpu")
    layer.base = base
    model.set_submodule(module, layer)
    return layer


def _bytes(module: nn.Module, recurse: bool = True) -> int:
    """Of parameters and buffers; what is tied counts once."""
    tensors = [*module.parameters(recurse), *module.buffers(recurse)]
    return sum({tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}.values())


# --- one step, followed


class _Live(TorchDispatchMode):
    """Bytes of what operations have made and what is still alive: now, and at most."""

    def __init__(self, before: Sequence[Tensor]) -> None:
        """before: what is there already, and does not count."""
        super().__init__()
        self.now = self.most = 0
        self.known = {tensor.untyped_storage()._cdata for tensor in before}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._grouped_mm.default:
            made = _product_of_experts(*args[:2])
        else:
            made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in self.known:
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        self.known.add(storage._cdata)
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, storage: int, size: int) -> None:
        self.known.discard(storage)
        self.now -= size


def _product_of_experts(rows: Tensor, weights: Tensor) -> Tensor:
    """(tokens, in), (experts, in, out) -> (tokens, out). torch's fake product refuses fp32, its real one does not."""
    return rows.new_empty(rows.shape[0], weights.shape[-1])


def _follow(
    model: PreTrainedModel, layers: Sequence[LoRILinear], batch_size: int, length: int, gradient_checkpointing: bool
) -> tuple[int, int]:
    """(bytes that autograd keeps from the forward to the backward pass, the most that lives in either)."""
    model.train()
    if gradient_checkpointing:
        recompute_activations(model, "enable")
    gradients = []
    for parameter in (parameter for layer in layers for parameter in layer.parameters(recurse=False)):
        parameter.grad = torch.zeros_like(parameter)  # of earlier micro-batches; estimate() counts it apart
        gradients.append(parameter.grad)
    with _Live([*model.parameters(), *model.buffers(), *gradients]) as live:
        loss = _loss(model, batch_size, length)
        kept = live.now
        loss.backward()
    return kept, live.most


def _loss(model: PreTrainedModel, batch_size: int, length: int) -> Tensor:
    """As train computes it, of a batch in which every token but the first is predicted."""
    ids = torch.zeros(batch_size, length, dtype=torch.long)
    row, position = torch.zeros(2, batch_size * (length - 1), dtype=torch.long)
    output = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    predicted = output.logits[:, :-1][row, position].float()
    return F.cross_entropy(predicted, ids[row, position], reduction="sum")


class _Keep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.kept = x
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient


def _keep_inputs(model: PreTrainedModel, modules: Sequence[str]) -> None:
    """bitsandbytes' product in 8 bits keeps its input to the backward pass, unlike any other frozen linear map."""
    for module in modules:
        model.get_submodule(module).register_forward_pre_hook(lambda _, inputs: (_Keep.apply(inputs[0]),))
