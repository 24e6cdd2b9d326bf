"""A against Philox written out in Python integers, golden checksums, and what the distributions promise."""

import hashlib
import json
import math
import struct

import pytest
import torch

from lori_core.config import AdapterConfig, Projection
from lori_core.errors import ConfigError
from lori_core.method.projection import checksum, draw, uniform

MODULE = "model.layers.0.self_attn.q_proj"
KINDS: tuple[Projection, ...] = ("kaiming_uniform", "gaussian", "sparse", "orthogonal")
DRAWN_BY_NAME: tuple[Projection, ...] = ("kaiming_uniform", "gaussian", "sparse")

# These guard that A has the same bits on every machine and with every version: adapters are stored without it.
GOLDEN = {
    "kaiming_uniform": "3013750b7a6dfc3621b8c8b6652d88ac5cb6756cd7329004d9f6315c5cb8cebc",
    "sparse": "32130522509235ce489adabfcc78f6b85b99b19a8112f852cd6d4485d9fafbbf",
}


def A_of(kind: Projection, rank: int = 8, d: int = 64, task: str = "math", module: str = MODULE, **changes):
    return draw(AdapterConfig(rank=rank, projection=kind, **changes), task, module, d)


# --- the same bits everywhere


@pytest.mark.parametrize("kind", GOLDEN)
def test_a_portable_draw_has_its_golden_checksum(kind):
    assert checksum(A_of(kind)) == GOLDEN[kind]


def philox_uint32(key: tuple[object, ...], count: int) -> list[int]:
    """Philox4x64-10 (Salmon et al. 2011) from counter 1 on, each 64-bit word as its low and its high half."""
    digest = hashlib.sha256(json.dumps(key).encode()).digest()
    k = struct.unpack("<2Q", digest[:16])
    words: list[int] = []
    for block in range(1, math.ceil(count / 8) + 1):
        words += _philox_block((block, 0, 0, 0), k)
    return [half for word in words for half in (word & 0xFFFFFFFF, word >> 32)][:count]


def _philox_block(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    for round_ in range(10):
        k0, k1 = (key[0] + round_ * 0x9E3779B97F4A7C15) % 2**64, (key[1] + round_ * 0xBB67AE8584CAA73B) % 2**64
        first, second = 0xD2E7470EE14C6C93 * counter[0], 0xCA5A826395121157 * counter[2]
        counter = (second >> 64 ^ counter[1] ^ k0, second % 2**64, first >> 64 ^ counter[3] ^ k1, first % 2**64)
    return counter


def fp32(number: float) -> float:
    return struct.unpack("<f", struct.pack("<f", number))[0]


@pytest.mark.parametrize("d", [5, 64])
def test_uniform_draws_are_philox_integers_scaled_exactly(d):
    bits = philox_uint32((3, "math", MODULE, False), 3 * d)
    bound = fp32(1 / math.sqrt(d))
    expected = [fp32(((each >> 8) - 2**23) / 2**23 * bound) for each in bits]  # the product is exact in a double
    assert A_of("kaiming_uniform", rank=3, d=d, projection_seed=3).reshape(-1).tolist() == expected


def test_sparse_draws_are_the_lowest_and_the_highest_sixth_of_philox_integers():
    bits = philox_uint32((3, "math", MODULE, False), 3 * 64)
    signs = [(each < 2**32 // 6) - (each >= 2**32 - 2**32 // 6) for each in bits]
    assert set(signs) == {-1, 0, 1}
    got = A_of("sparse", rank=3, projection_seed=3).reshape(-1).tolist()
    assert got == [sign * fp32(1 / 8) for sign in signs]


def test_uniform_numbers_for_masks_come_from_their_own_key():
    bits = philox_uint32((7, "mask", MODULE), 15)
    assert uniform((3, 5), 7, "mask", MODULE).reshape(-1).tolist() == [(each >> 8) / 2**23 - 1 for each in bits]


def test_the_checksum_is_that_of_the_fp32_bytes_and_tells_one_changed_entry():
    A = A_of("gaussian")
    assert checksum(A) == hashlib.sha256(struct.pack(f"<{A.numel()}f", *A.reshape(-1).tolist())).hexdigest()
    assert checksum(A.T.contiguous().T) == checksum(A)
    changed = A.clone()
    changed[3, 5] = torch.nextafter(changed[3, 5], torch.tensor(1.0))
    assert checksum(changed) != checksum(A)


# --- distributions


@pytest.mark.parametrize("kind", DRAWN_BY_NAME)
def test_entries_have_mean_zero_and_variance_one_in_three_d(kind):
    d, rank = 1024, 256
    scaled = A_of(kind, rank=rank, d=d).double() * math.sqrt(3 * d)  # variance 1
    n = scaled.numel()
    fourth_moment = {"kaiming_uniform": 9 / 5, "gaussian": 3.0, "sparse": 3.0}[kind]
    assert abs(scaled.mean().item()) < 4 / math.sqrt(n)
    assert abs(scaled.square().mean().item() - 1) < 4 * math.sqrt((fourth_moment - 1) / n)


def test_uniform_entries_fill_their_bounds_and_stay_inside():
    d = 1024
    scaled = A_of("kaiming_uniform", rank=256, d=d) * math.sqrt(d)
    assert -1 <= scaled.min() < -0.9999 and 0.9999 < scaled.max() < 1
    in_tenths = torch.histc(scaled, 10, -1, 1) / scaled.numel()
    torch.testing.assert_close(in_tenths, torch.full((10,), 0.1), atol=0.003, rtol=0)


def test_two_thirds_of_sparse_entries_are_zero_and_the_signs_are_even():
    A = A_of("sparse", rank=256, d=1024)
    n = A.numel()
    assert set(A.unique().tolist()) == {-1 / 32, 0.0, 1 / 32}
    spread = 4 * math.sqrt(2 / 9 / n)
    assert abs((A == 0).double().mean().item() - 2 / 3) < spread
    assert abs((A > 0).double().mean().item() - 1 / 6) < spread


# --- what A depends on


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_task_and_module_give_the_same_bits(kind):
    assert torch.equal(A_of(kind), A_of(kind))
    assert A_of(kind).shape == (8, 64) and A_of(kind).dtype == torch.float32


@pytest.mark.parametrize("kind", DRAWN_BY_NAME)
@pytest.mark.parametrize("other", [{"task": "code"}, {"module": "model.layers.1.self_attn.q_proj"}])
def test_another_task_or_module_has_an_independent_A(kind, other):
    left, right = A_of(kind, rank=16, d=1024), A_of(kind, rank=16, d=1024, **other)
    cosine = torch.cosine_similarity(left.reshape(-1), right.reshape(-1), dim=0).item()
    assert abs(cosine) < 4 / math.sqrt(left.numel())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [{"projection_seed": 1}, {"redraw_projection": True}])
def test_another_seed_and_a_redraw_have_an_independent_A(kind, change):
    left, right = A_of(kind, rank=16, d=1024), A_of(kind, rank=16, d=1024, **change)
    cosine = torch.cosine_similarity(left.reshape(-1), right.reshape(-1), dim=0).item()
    assert abs(cosine) < 4 / math.sqrt(left.numel())


@pytest.mark.parametrize("kind", DRAWN_BY_NAME)
def test_a_shared_projection_is_the_same_for_all_tasks_but_not_for_all_modules(kind):
    shared = A_of(kind, shared_projection=True)
    assert torch.equal(shared, A_of(kind, shared_projection=True, task="code"))
    assert not torch.equal(shared, A_of(kind, shared_projection=True, module="other"))
    assert not torch.equal(shared, A_of(kind))


# --- orthogonal blocks


@pytest.mark.parametrize(("slots", "rank", "d"), [(4, 8, 64), (8, 8, 64), (3, 5, 16)])
def test_orthogonal_blocks_of_all_tasks_are_orthogonal_and_of_the_expected_row_length(slots, rank, d):
    blocks = [A_of("orthogonal", rank=rank, d=d, slot=slot, slots=slots) for slot in range(slots)]
    rows = torch.cat(blocks).double()
    torch.testing.assert_close(rows @ rows.T, torch.eye(slots * rank).double() / 3, atol=1e-6, rtol=0)


def test_orthogonal_rows_lean_to_no_side():
    """Uniform over the sphere: without Mezzadri's signs, QR would favour half of it."""
    first = torch.stack([A_of("orthogonal", rank=1, d=16, projection_seed=seed)[0] for seed in range(400)])
    assert (first.mean(0).abs() < 4 * math.sqrt(1 / 3 / 16 / 400)).all()


def test_a_shared_orthogonal_projection_gives_all_slots_the_first_block():
    first = A_of("orthogonal", slots=4, slot=0)
    assert torch.equal(A_of("orthogonal", slots=4, slot=2, shared_projection=True), first)
    assert not torch.equal(A_of("orthogonal", slots=4, slot=2), first)


def test_more_orthogonal_rows_than_in_features_are_refused():
    with pytest.raises(ConfigError) as caught:
        A_of("orthogonal", rank=8, d=64, slots=9)
    assert caught.value.key == "orthogonal_too_many"
    assert "9 x 8 > 64" in str(caught.value)


def test_a_slot_beyond_the_slots_is_refused():
    with pytest.raises(ConfigError) as caught:
        A_of("orthogonal", slot=2, slots=2)
    assert caught.value.key == "slot_outside"


def test_a_changed_block_leaves_later_draws_alone():
    A = A_of("orthogonal")
    kept = A.clone()
    A.zero_()
    assert torch.equal(A_of("orthogonal"), kept)
