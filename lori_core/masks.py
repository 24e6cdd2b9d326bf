"""Masks over B: exactly k = round((1 - sparsity) · N) entries of largest magnitude, chosen globally or within groups.

The paper ranks |B| after a dense run over all adapted matrices together ("model"), reported best; the other
granularities share the k over groups first. Ties are broken by position: module order, then row-major.

The threshold is found exactly by a radix histogram over the float bits, 16 high bits first and then the 16 low ones:
the bits of non-negative floats are ordered as the floats are. Three passes go module by module, so that beside the
masks no more than one module's numbers are in memory a second time, and nothing is sorted.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from lori_core.config import Granularity
from lori_core.errors import AdapterError
from lori_core.projection import uniform

Masks = Mapping[str, Tensor]  # module -> (out_features, rank) bool, True where B may move

_UP_TO_LAYER = re.compile(r".*\.\d+\.")  # what is left names the map: GPT-2 has a c_proj in attention and in the MLP
_ATTENTION = re.compile(r"attn|attention|query_key_value|(^|\.)[qkvo]_proj")

_INFINITE = 0x7F80  # the high half of infinity; NaNs lie above it

# Entries compete for being kept with the entries of every module that has the same key.
GROUP_KEY: dict[Granularity, Callable[[str], str]] = {
    "model": lambda module: "model",
    "kind": lambda module: "attention" if _ATTENTION.search(module) else "mlp",
    "projection": lambda module: _UP_TO_LAYER.sub("", module),
    "layer": lambda module: next((part for part in module.split(".") if part.isdigit()), "no layer"),
    "matrix": lambda module: module,
}


def kept_count(entries: int, sparsity: float) -> int:
    return round((1 - sparsity) * entries)


def magnitude_masks(
    B: Mapping[str, Tensor], sparsity: float, granularity: Granularity = "model", exclude: Masks | None = None
) -> dict[str, Tensor]:
    """True at the round((1 - sparsity) N) entries of largest |B|.

    Args:
        B: module -> (out_features, rank).
        exclude: module -> (out_features, rank) bool; these entries are never kept, the count stays the same.
    Raises:
        AdapterError: B holds NaN or infinity (a diverged run), nothing would be kept, or too little is left to keep.
    """
    groups: dict[str, list[str]] = {}
    for module in B:
        groups.setdefault(GROUP_KEY[granularity](module), []).append(module)
    sizes = [sum(B[module].numel() for module in modules) for modules in groups.values()]
    if kept_count(sum(sizes), sparsity) == 0:
        raise AdapterError("mask_keeps_nothing", sparsity=sparsity, entries=sum(sizes))
    keep: dict[str, Tensor] = {}
    for modules, k in zip(groups.values(), shares(kept_count(sum(sizes), sparsity), sizes), strict=True):
        keep |= _keep_largest({module: B[module] for module in modules}, exclude or {}, k)
    return {module: keep[module] for module in B}


def random_masks(shapes: Mapping[str, tuple[int, int]], sparsity: float, seed: int) -> dict[str, Tensor]:
    """The control: the same number of entries, anywhere. shapes: module -> (out_features, rank)."""
    scores = {module: torch.from_numpy(uniform(shape, seed, "mask", module)) for module, shape in shapes.items()}
    return magnitude_masks(scores, sparsity)


def shares(total: int, sizes: Sequence[int]) -> list[int]:
    """total shared out in proportion to sizes by largest remainder; equal remainders go to the earlier group."""
    whole = [total * size // sum(sizes) for size in sizes]
    by_remainder = sorted(range(len(sizes)), key=lambda i: -(total * sizes[i] % sum(sizes)))
    for i in by_remainder[: total - sum(whole)]:
        whole[i] += 1
    return whole


def kept_fractions(masks: Masks) -> dict[str, float]:
    """module -> share of its entries that the mask keeps."""
    return {module: mask.count_nonzero().item() / mask.numel() for module, mask in masks.items()}


def mask_bits(masks: Masks) -> np.ndarray:
    """One bit an entry, uint8: modules in order, each row-major from the lowest bit and padded to whole bytes."""
    rows = (np.packbits(mask.numpy().reshape(-1), bitorder="little") for mask in masks.values())
    return np.concatenate([np.zeros(0, dtype=np.uint8), *rows])


def mask_id(masks: Masks) -> str:
    """sha256 over modules, shapes and bits: equal exactly where the masks are."""
    shapes = [[module, *mask.shape] for module, mask in masks.items()]
    return hashlib.sha256(json.dumps(shapes).encode() + mask_bits(masks).tobytes()).hexdigest()


def pack(masks: Masks) -> np.ndarray:
    """mask_bits as uint64, padded with zeros: what bits are counted on."""
    bits = mask_bits(masks)
    return np.pad(bits, (0, -bits.size % 8)).view(np.uint64)


def overlap_counts(masks: Sequence[Masks]) -> np.ndarray:
    """(T, T) entries that both masks keep; the diagonal is each mask's own count. Same modules in the same order."""
    return packed_overlap([pack(each) for each in masks])


def packed_overlap(packed: Sequence[np.ndarray]) -> np.ndarray:
    """overlap_counts of masks that are packed already."""
    counts = np.zeros((len(packed), len(packed)), dtype=np.int64)
    for s in range(len(packed)):
        for t in range(s, len(packed)):
            counts[s, t] = counts[t, s] = np.bitwise_count(packed[s] & packed[t]).sum()
    return counts


def jaccard(s: Masks, t: Masks) -> float:
    """|both| / |either|; 1 for two empty masks."""
    (own_s, both), (_, own_t) = overlap_counts([s, t]).tolist()
    return both / (own_s + own_t - both) if own_s + own_t else 1.0


def _keep_largest(B: Mapping[str, Tensor], exclude: Masks, k: int) -> dict[str, Tensor]:
    """module -> bool as B, True at the k largest of all modules together that are not excluded, ties by position."""
    histogram = np.zeros(1 << 15, dtype=np.int64)
    for module, b in B.items():
        counted = _halves_counted(_numbers(b, exclude.get(module)))
        if counted[_INFINITE:].any():
            raise AdapterError("not_finite", module=module)
        histogram += counted
    if k > (free := int(histogram.sum())):
        raise AdapterError("too_little_left", wanted=k, free=free)
    if k == 0:
        return {module: torch.zeros(b.shape, dtype=torch.bool) for module, b in B.items()}
    high, above = _digit(histogram, k)
    histogram = np.zeros(1 << 16, dtype=np.int64)
    for module, b in B.items():
        histogram += _low_counted(_numbers(b, exclude.get(module)), high)
    low, above_low = _digit(histogram, k - above)
    threshold = np.array(high << 16 | low, dtype=np.uint32).view(np.float32)
    surplus = int(histogram[low]) - (k - above - above_low)  # so many at the threshold itself are too many
    keep = {}
    for module in reversed(list(B)):  # the last ones go first
        magnitudes = np.abs(_numbers(B[module]))
        kept = magnitudes >= threshold
        if module in exclude:
            kept &= ~exclude[module].numpy().reshape(-1)
        if surplus:
            ties = np.flatnonzero(kept & (magnitudes == threshold))[-surplus:]
            kept[ties] = False
            surplus -= ties.size
        keep[module] = torch.from_numpy(kept).view(B[module].shape)
    return keep


def _numbers(B: Tensor, exclude: Tensor | None = None) -> np.ndarray:
    """(N,) fp32, row by row, without those excluded; a fp32 B on the CPU is read where it is."""
    numbers = B.detach().to("cpu", torch.float32).contiguous().numpy().reshape(-1)
    return numbers if exclude is None else numbers[~exclude.numpy().reshape(-1)]


def _halves_counted(numbers: np.ndarray) -> np.ndarray:
    """(32768,) how many of |numbers| have which high half."""
    with_sign = np.bincount(numbers.view(np.uint16)[1::2], minlength=1 << 16)  # little-endian: low, high, low ...
    return with_sign[: 1 << 15] + with_sign[1 << 15 :]


def _low_counted(numbers: np.ndarray, high: int) -> np.ndarray:
    """(65536,) how many of the |numbers| with that high half have which low half."""
    halves = numbers.view(np.uint16)
    with_it = np.flatnonzero((halves[1::2] & 0x7FFF) == high)
    return np.bincount(halves[0::2][with_it], minlength=1 << 16)


def _digit(histogram: np.ndarray, k: int) -> tuple[int, int]:
    """The digit at which the k-th largest number lies, and how many numbers have a larger digit.

    histogram: digit -> how many numbers have it.
    """
    at_least = histogram[::-1].cumsum()[::-1]  # how many numbers have this digit or a larger one
    digit = int(np.searchsorted(-at_least, -k, side="right")) - 1
    return digit, int(at_least[digit] - histogram[digit])
