"""What is packed comes back to the bit and is near its entropy; what is damaged is refused and takes no memory."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lori_core.config import Precision
from lori_core.errors import AdapterError
from lori_core.method.masks import mask_id
from lori_core.storage.packing import pack_masks, pack_values, unpack_masks, unpack_values


def random_masks(seed: int, kept_fraction: float = 0.1, modules: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = torch.randint(1, 40, (modules, 2), generator=generator).tolist()
    return {
        f"layers.{number}": torch.rand(shape, generator=generator) < kept_fraction
        for number, shape in enumerate(shapes)
    }


def shapes_of(masks: dict[str, torch.Tensor]) -> dict[str, tuple[int, int]]:
    return {module: (mask.shape[0], mask.shape[1]) for module, mask in masks.items()}


@settings(deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.integers(0, 4))
def test_masks_come_back(seed, kept_fraction, modules):
    masks = random_masks(seed, kept_fraction, modules)
    again = unpack_masks(pack_masks(masks), shapes_of(masks))
    assert list(again) == list(masks)
    assert all(torch.equal(again[module], mask) for module, mask in masks.items())


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=50), st.sampled_from(["bf16", "fp32"]))
def test_any_float_comes_back_with_the_bits_it_was_rounded_to(words: list[int], dtype: Precision):
    """Also infinities, subnormal numbers, and both zeros; of a NaN that it is one."""
    values = torch.from_numpy(np.array(words, dtype=np.uint32).view(np.float32))
    packed = pack_values(values, dtype)
    again = unpack_values(packed["exponents"], packed["fractions"], dtype)
    expected = values.bfloat16().float() if dtype == "bf16" else values
    numbers = ~expected.isnan()
    assert torch.equal(again[numbers].view(torch.int32), expected[numbers].view(torch.int32))
    assert torch.equal(again.isnan(), expected.isnan())


def test_a_mask_of_ten_percent_takes_little_more_than_its_entropy():
    masks = {"module": torch.rand(4096, 256, generator=torch.Generator().manual_seed(0)) < 0.1}
    entropy = -(0.1 * math.log2(0.1) + 0.9 * math.log2(0.9))
    assert entropy < 8 * len(pack_masks(masks)) / masks["module"].numel() < 1.03 * entropy


def test_normal_values_take_the_entropy_of_their_exponents_and_eight_bits():
    values = 0.01 * torch.randn(2**18, generator=torch.Generator().manual_seed(0))
    packed = pack_values(values, "bf16")
    exponents = (values.bfloat16().view(torch.int16).numpy().view(np.uint16) >> 7) & 0xFF
    share = np.bincount(exponents)[np.unique(exponents)] / len(values)
    entropy = -(share * np.log2(share)).sum()
    assert packed["fractions"].shape == (len(values), 1)
    assert entropy < 8 * len(packed["exponents"]) / len(values) < entropy + 0.1  # a code has whole bits


def test_the_same_masks_have_the_same_id_and_any_other_bit_shape_or_name_another():
    masks = random_masks(1)
    module, mask = next(iter(masks.items()))
    flipped = mask.clone()
    flipped[-1, -1] ^= True
    others = [masks | {module: flipped}, masks | {module: mask.reshape(1, -1)}, {"x": mask} | masks]
    ids = {mask_id(each) for each in [masks, *others]}
    assert mask_id({name: each.clone() for name, each in masks.items()}) == mask_id(masks)
    assert len(ids) == 4


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damaged_streams_are_refused_or_unpack_to_what_was_asked_for(data):
    masks = random_masks(2, modules=2)
    stream = bytearray(pack_masks(masks).numpy().tobytes())
    for _ in range(data.draw(st.integers(1, 3))):
        stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    cut = bytes(stream[: data.draw(st.integers(1, len(stream)))])
    try:
        again = unpack_masks(torch.frombuffer(bytearray(cut), dtype=torch.uint8), shapes_of(masks))
    except AdapterError:
        return
    assert shapes_of(again) == shapes_of(masks)


def test_a_stream_that_should_hold_more_than_it_can_is_refused_before_memory_is_taken():
    with pytest.raises(AdapterError) as caught:
        unpack_masks(pack_masks(random_masks(0)), {"module": (2**40, 2**20)})
    assert caught.value.key == "packed_size"


def test_a_stream_that_unpacks_to_more_than_was_asked_for_is_refused():
    masks = random_masks(0)
    module, shape = next(iter(shapes_of(masks).items()))
    with pytest.raises(AdapterError) as caught:
        unpack_masks(pack_masks(masks), {module: shape})
    assert caught.value.key == "packed_size"


def test_bits_behind_the_last_entry_are_refused():
    whole = pack_masks({"module": torch.ones(8, 1, dtype=torch.bool)})
    with pytest.raises(AdapterError) as caught:
        unpack_masks(whole, {"module": (7, 1)})
    assert caught.value.key == "packed_padding"
