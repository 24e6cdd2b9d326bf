"""What a step takes, counted and not timed, so that a change that makes it slower or larger is seen on any machine.

The kernels of the adapted maps are those of a decoder layer beyond the floor (the frozen base alone), and the products
of the seven maps themselves.
"""

from dataclasses import replace

import pytest
import tiny
import torch

from benchmarks.counts import kept_bytes, kernels, moment_bytes
from benchmarks.memory import peak_bytes
from benchmarks.store import peft_bytes
from benchmarks.subjects import Subject, floor, lori, official, peft_lora, put_in, step
from lori_core.config import AdapterConfig
from lori_core.method.adapter import blank
from lori_core.method.masks import magnitude_masks, random_masks
from lori_core.storage.adapter_files import save_adapter

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is_gradient_checkpointing. is deprecated:FutureWarning"
)  # PEFT asks for it

RANK, MAPS, TOKENS = 4, 7, 24
DENSE = AdapterConfig(rank=RANK, sparsity=0)
SPARSE = AdapterConfig(rank=RANK, sparsity=0.9)
IDS = torch.arange(TOKENS).view(1, TOKENS)


def subject(model, name: str) -> Subject:
    makers = {
        "lori_s": lambda: lori(model, name, SPARSE),
        "lori_d": lambda: lori(model, name, DENSE),
        "peft": lambda: peft_lora(model, name, DENSE),
        "official": lambda: official(model, name, SPARSE),
    }
    return makers[name]()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_adapted_maps_of_a_layer_take_no_more_kernels_than_PEFT_s(dtype):
    model = tiny.llama().to(dtype).train()
    base = kernels(model, floor(), IDS)
    asked = {}
    for name in ("lori_s", "lori_d", "peft"):
        count = kernels(model, subject(model, name), IDS)
        asked[name] = count.total() - base.total() + 2 * MAPS
    casts = dtype == torch.bfloat16
    assert asked["lori_s"] <= (15 if casts else 12) * MAPS <= 108
    assert asked["lori_d"] <= (10 if casts else 7) * MAPS
    assert asked["lori_d"] < asked["lori_s"] <= asked["peft"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autograd_keeps_rank_numbers_a_token_and_map_beyond_the_floor(dtype):
    model = tiny.llama().to(dtype).train()
    base = kept_bytes(model, floor(), IDS)
    h = RANK * TOKENS * MAPS * len(model.model.layers) * dtype.itemsize
    for name in ("lori_s", "lori_d"):
        assert kept_bytes(model, subject(model, name), IDS) - base == h
    assert kept_bytes(model, subject(model, "peft"), IDS) - base > 4 * h


def test_the_optimizer_holds_two_moments_of_the_kept_entries_alone():
    model = tiny.llama().train()
    held = {}
    for name in ("lori_s", "lori_d", "official"):
        each = subject(model, name)
        with put_in(model, each):
            step(model, IDS, each.optimizer)
        held[name] = moment_bytes(each)
    entries = sum(layer.get_parameter("B").numel() for layer in subject(model, "official").layers.values())
    assert held["lori_d"] == held["official"] == 2 * 4 * entries
    assert held["lori_s"] == 2 * 4 * round(0.1 * entries)


def test_a_file_of_large_random_values_takes_a_twentieth_of_PEFT_s(tmp_path):
    """Two maps of 4096 x 4096: what a file says of itself does not weigh there."""
    shapes = {f"model.layers.0.self_attn.{letter}_proj": (4096, 4096) for letter in "qo"}
    start = blank(
        "t", shapes, AdapterConfig(rank=32), random_masks({m: (o, 32) for m, (o, _) in shapes.items()}, 0.9, 0)
    )
    generator = torch.Generator().manual_seed(0)
    factors = {m: replace(f, values=torch.randn(f.values.shape, generator=generator)) for m, f in start.factors.items()}
    adapter = replace(start, factors=factors)
    save_adapter(adapter, tmp_path / "ours")
    ours = sum(file.stat().st_size for file in (tmp_path / "ours").iterdir())
    assert ours <= 0.06 * peft_bytes(adapter, tmp_path / "peft.safetensors")


def test_the_threshold_needs_memory_for_one_module_and_not_for_all():
    B = {f"model.layers.{layer}.mlp.up_proj": torch.randn(1 << 15, 32) for layer in range(16)}
    entries = sum(each.numel() for each in B.values())
    magnitude_masks(B, 0.9)  # warm: libraries reserve memory of their own
    beyond = peak_bytes(lambda: magnitude_masks(B, 0.9)) - entries  # the masks themselves: a byte an entry
    assert beyond < 2 * entries  # half of what one copy of all magnitudes in fp32 takes
