"""Packing of masks and values into few bytes, without loss; docs/format.md says which byte is what.

    mask     one bit an entry, the bytes Huffman-coded: 0.478 bit an entry at 90 % sparsity, where the entropy is 0.469
    values   exponents a byte each, Huffman-coded; sign and fraction, which look random, in whole bytes beside them

Huffman codes alone (deflate without matches): of bits without repetition a search for matches makes more bytes, in more
time. No code is shorter than a bit, so nothing unpacks to more than eight times its size.
"""

import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from lori_core.config import Precision
from lori_core.errors import AdapterError
from lori_core.method.masks import Masks, mask_bits

_RAW = -15  # deflate without zlib's header and checksum: the adapter's own covers every byte
_FRACTION_BITS: dict[Precision, int] = {"bf16": 7, "fp32": 23}  # both have 8 bits of exponent and one of sign
_WORDS: dict[Precision, tuple[torch.dtype, torch.dtype, str]] = {
    "bf16": (torch.bfloat16, torch.uint16, "<u2"),
    "fp32": (torch.float32, torch.uint32, "<u4"),
}


def pack_masks(masks: Masks) -> Tensor:
    """(bytes,) uint8, all modules in one stream."""
    return _deflated(mask_bits(masks))


def unpack_masks(stream: Tensor, shapes: Mapping[str, tuple[int, int]]) -> dict[str, Tensor]:
    """module -> (out_features, rank) bool, from what pack_masks made of masks of these shapes.

    Raises:
        AdapterError: the stream is damaged, or was made of other shapes.
    """
    sizes = [-(-out_features * rank // 8) for out_features, rank in shapes.values()]
    rows = np.split(_inflated(stream, sum(sizes)), np.cumsum(sizes))
    masks = {}
    for (module, shape), row in zip(shapes.items(), rows, strict=False):  # behind the last one comes an empty row
        entries = np.unpackbits(row, bitorder="little").view(bool)
        if entries[shape[0] * shape[1] :].any():
            raise AdapterError("packed_padding", module=module)
        masks[module] = torch.from_numpy(entries[: shape[0] * shape[1]]).view(shape)
    return masks


def pack_values(values: Tensor, dtype: Precision) -> dict[str, Tensor]:
    """Of (n,) floats: "exponents" (bytes,) uint8, a stream; "fractions" (n, 1 | 3) uint8, the sign in the top bit.

    Args:
        dtype: what the values are rounded to.
    """
    torch_dtype, torch_word, word = _WORDS[dtype]
    bits = _FRACTION_BITS[dtype]
    words = values.to(torch_dtype).view(torch_word).numpy()
    signed = (words >> 8 & 1 << bits) | (words & (1 << bits) - 1)
    fractions = signed.astype(word).view(np.uint8).reshape(len(words), words.itemsize)[:, : (bits + 1) // 8]
    return {
        "exponents": _deflated((words >> bits).astype(np.uint8)),
        "fractions": torch.from_numpy(np.ascontiguousarray(fractions)),
    }


def unpack_values(exponents: Tensor, fractions: Tensor, dtype: Precision) -> Tensor:
    """(n,) fp32, from what pack_values made.

    Raises:
        AdapterError: the two do not belong together, or are damaged.
    """
    bits, word = _FRACTION_BITS[dtype], np.dtype(_WORDS[dtype][2])
    if fractions.dtype != torch.uint8 or fractions.ndim != 2 or fractions.shape[1] != (bits + 1) // 8:
        raise AdapterError("packed_fractions", got=tuple(fractions.shape), expected=(bits + 1) // 8)
    padded = np.zeros((len(fractions), word.itemsize), dtype=np.uint8)
    padded[:, : fractions.shape[1]] = fractions.numpy()
    signed = padded.view(word)[:, 0]
    words = _inflated(exponents, len(fractions)).astype(word) << bits
    words |= (signed & 1 << bits) << 8 | signed & (1 << bits) - 1
    return torch.from_numpy((words.astype(np.uint32) << 23 - bits).view(np.float32))  # a bf16 is the upper half


def _deflated(data: np.ndarray) -> Tensor:
    coder = zlib.compressobj(1, zlib.DEFLATED, _RAW, 9, zlib.Z_HUFFMAN_ONLY)
    return torch.frombuffer(bytearray(coder.compress(data.data) + coder.flush()), dtype=torch.uint8)


def _inflated(stream: Tensor, size: int) -> np.ndarray:
    """(size,) uint8; what claims to be more than its stream can hold is refused before memory is taken for it."""
    if stream.dtype != torch.uint8 or stream.ndim != 1 or size > 8 * stream.numel():
        raise AdapterError("packed_size", got=tuple(stream.shape), expected=size)
    coder = zlib.decompressobj(_RAW)
    try:
        data = coder.decompress(stream.numpy().data, size + 1)
    except zlib.error as error:
        raise AdapterError("packed_damaged", reason=error) from None
    if len(data) != size or not coder.eof or coder.unused_data:
        raise AdapterError("packed_size", got=len(data), expected=size)
    return np.frombuffer(data, dtype=np.uint8)
