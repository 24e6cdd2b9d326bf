"""Masks over B: exactly k = round((1 - sparsity) · N) entries of largest magnitude, chosen globally or within groups.

The paper ranks |B| after a dense run over all adapted matrices together ("model"), reported best; the other
granularities share the k over groups first. Ties are broken by position: module order, then row-major.

The threshold is found exactly in one pass, module by module: a sample says between which two magnitudes it lies; what
is above goes into the mask, what lies between is kept aside, and the threshold is found among that. Beside the masks no
more is in memory than one module's numbers and those aside, 12 bytes for each of some 0.7 % of all entries, more where
as many are equal.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from lori_core.config import Granularity
from lori_core.errors import AdapterError
from lori_core.method.projection import uniform

Masks = Mapping[str, Tensor]  # module -> (out_features, rank) bool, True where B may move

_UP_TO_LAYER = re.compile(r".*\.\d+\.")  # what is left names the map: GPT-2 has a c_proj in attention and in the MLP
_ATTENTION = re.compile(r"attn|attention|query_key_value|(^|\.)[qkvo]_proj")

_SAMPLE = 1 << 18  # entries that bracket the threshold

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


def sparsity_of(masks: Masks) -> float:
    """Fraction of all entries at zero; one at least counts as kept: a sparsity of 1 is no setting."""
    kept = sum(int(mask.sum()) for mask in masks.values())
    return 1 - max(kept, 1) / sum(mask.numel() for mask in masks.values())


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


def matched_masks(masks: Masks, seed: int) -> dict[str, Tensor]:
    """The control of positions: as many entries in each module as these masks keep, anywhere in it."""
    kept = {module: int(mask.count_nonzero()) for module, mask in masks.items()}
    scores = {m: torch.from_numpy(uniform(tuple(mask.shape), seed, "matched mask", m)) for m, mask in masks.items()}
    return {module: _keep_largest({module: score}, {}, kept[module])[module] for module, score in scores.items()}


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
    entries = sum(b.numel() for b in B.values())
    free = entries - sum(int(exclude[module].sum()) for module in B if module in exclude)
    if k > free:
        raise AdapterError("too_little_left", wanted=k, free=free)
    keep = np.empty(entries, dtype=np.bool_)
    for low, high in (_bracket(B, exclude, k / free if free else 0.0), (0.0, math.inf)):
        places, magnitudes = _compared(B, exclude, low, high, keep)
        wanted = k - int(np.count_nonzero(keep))  # of those between the two
        if 0 <= wanted <= magnitudes.size:
            break  # else the sample misled, and the second round looks at all
    if wanted:
        threshold = np.partition(magnitudes, -wanted)[-wanted]
        above = magnitudes > threshold
        keep[places[above]] = True
        ties = places[magnitudes == threshold]
        keep[ties[: wanted - int(np.count_nonzero(above))]] = True
    parts = torch.from_numpy(keep).split([b.numel() for b in B.values()])
    return {module: part.view(b.shape) for (module, b), part in zip(B.items(), parts, strict=True)}


def _bracket(B: Mapping[str, Tensor], exclude: Masks, fraction: float) -> tuple[float, float]:
    """Two magnitudes with the one that so large a fraction reaches almost certainly between them, from a sample."""
    random, entries = np.random.default_rng(0), sum(b.numel() for b in B.values())
    drawn = []
    for module, b in B.items():
        count = math.ceil(_SAMPLE * b.numel() / entries)
        places = torch.from_numpy((random.random(count) * b.numel()).astype(np.int64))
        if module in exclude:
            places = places[~exclude[module].reshape(-1)[places]]
        drawn.append(b.detach().reshape(-1)[places.to(b.device)].abs().to("cpu", torch.float32).numpy())
    sample = np.sort(np.concatenate(drawn))[::-1]
    rank, spread = fraction * sample.size, 6 * math.sqrt(fraction * (1 - fraction) * sample.size) + 1
    above, below = math.floor(rank - spread), math.ceil(rank + spread)
    return (
        float(sample[below]) if below < sample.size else 0.0,
        float(sample[above]) if above >= 0 else math.inf,
    )


def _compared(
    B: Mapping[str, Tensor], exclude: Masks, low: float, high: float, keep: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Writes into `keep` where |B| is above `high`; positions in it, and magnitudes, of those from `low` to `high`."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    end = 0
    for module, b in B.items():
        start, end = end, end + b.numel()
        magnitudes = np.abs(b.detach().to("cpu", torch.float32).contiguous().numpy().reshape(-1))
        if not magnitudes.max(initial=0.0) < math.inf:  # NaN is not either
            raise AdapterError("not_finite", module=module)
        if module in exclude:
            magnitudes[exclude[module].numpy().reshape(-1)] = -1
        above = np.greater(magnitudes, high, out=keep[start:end])
        between = np.flatnonzero((magnitudes >= low) != above)
        found.append((start + between, magnitudes[between]))
    places, magnitudes = zip(*found, strict=True)
    return np.concatenate(places), np.concatenate(magnitudes)
