"""Projection A, frozen: drawn from (seed, task name, module name), never trained.

    kaiming_uniform  U(-1/√d, 1/√d), d = in_features: the paper's (arXiv 2504.07448; kaiming_uniform_ with a = √5)
    gaussian         N(0, 1/(3d)), the same variance
    sparse           ±1/√d with probability 1/6 each, else 0 (Achlioptas 2003), the same variance
    conditioned      not drawn: made from footprints (conditioned.py)
    orthogonal       tasks take disjoint row blocks of one random orthogonal matrix per input width, so A_s A_tᵀ = 0
                     while slots · rank <= d; rows have the expected length of a kaiming_uniform row, √(1/3)

torch's random streams may change with version and device, so A comes from NumPy's Philox counter generator (Salmon et
al. 2011, a pinned algorithm) and exact integer-to-float steps: uniform and sparse draws have the same bits on every
machine. Gaussian and orthogonal draws go through the platform's libm and QR, so the store keeps A itself.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from lori_core.config import AdapterConfig, Portable, ProjectionSource
from lori_core.errors import ConfigError

PORTABLE = get_args(Portable)  # bit-identical everywhere: A need not be stored


def draw(config: AdapterConfig, task: str, module: str, in_features: int) -> Tensor:
    """A of one module, (rank, in_features) fp32 on the CPU.

    Args:
        task: left out of the seed where config.shared_projection is set.
    Raises:
        ConfigError: the orthogonal blocks do not fit into in_features, or the A is a conditioned one, which no seed
            gives: it is made from footprints.
    """
    shape = (config.rank, in_features)
    if config.projection == "conditioned":
        raise ConfigError("conditioned_needs_footprints", task=task)
    if config.projection == "orthogonal":
        return _orthogonal_block(config, shape)
    named = "" if config.shared_projection else task
    generator = _generator(config.projection_seed, named, module, config.redraw_projection)
    bound = np.float32(1 / np.sqrt(in_features))
    if config.projection == "gaussian":
        values = (
            np.random.Generator(generator).standard_normal(shape, dtype=np.float32) * bound / np.sqrt(np.float32(3))
        )
    elif config.projection == "sparse":
        values = _sparse_signs(_uint32(generator, shape)) * bound
    else:
        values = _symmetric_uniform(_uint32(generator, shape))
        values *= bound
    return torch.from_numpy(values)


def source_of(config: AdapterConfig, task: str) -> tuple[ProjectionSource, ...]:
    """What a task's A is drawn from; empty where it is trained, or where another machine might draw other bits."""
    if config.train_projection or config.projection not in PORTABLE:
        return ()
    fields = ProjectionSource.model_fields.keys() - {"task"}
    return (ProjectionSource(task=task, **{field: getattr(config, field) for field in fields}),)


def redraw(drawings: Sequence[ProjectionSource], module: str, in_features: int) -> Tensor:
    """(sum of the ranks, in_features) fp32: A of one module again, the rows of each drawing below each other."""
    settings = [(AdapterConfig(**each.model_dump(exclude={"task"})), each.task) for each in drawings]
    As = [draw(config, task, module, in_features) for config, task in settings]
    return As[0] if len(As) == 1 else torch.cat(As)


def checksum(A: Tensor) -> str:
    """sha256 of A's fp32 values, row by row, little endian."""
    values = A.detach().to("cpu", torch.float32).contiguous().numpy()
    return hashlib.sha256(values.astype("<f4", copy=False).data).hexdigest()


def uniform(shape: tuple[int, ...], *key: object) -> np.ndarray:
    """Portable U(-1, 1) fp32 numbers of that shape, the same for the same key; random masks are drawn with it."""
    return _symmetric_uniform(_uint32(_generator(*key), shape))


def _generator(*key: object) -> np.random.Philox:
    digest = hashlib.sha256(json.dumps(key).encode()).digest()
    return np.random.Philox(key=np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64))


def _uint32(generator: np.random.Philox, shape: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod(shape))
    raw = generator.random_raw((count + 1) // 2).astype("<u8", copy=False)
    return raw.view("<u4")[:count].reshape(shape)


def _symmetric_uniform(bits: np.ndarray) -> np.ndarray:
    """24 of 32 bits to a multiple of 2⁻²³ in [-1, 1): every step is exact in fp32."""
    values = (bits >> 8).astype(np.float32)
    values *= np.float32(2**-23)  # in place: the As of a large base are a hundred megabytes
    values -= np.float32(1)
    return values


def _sparse_signs(bits: np.ndarray) -> np.ndarray:
    sixth = np.uint32(2**32 // 6)
    return (bits < sixth).astype(np.float32) - (bits >= np.uint32(2**32 - 2**32 // 6)).astype(np.float32)


def _orthogonal_block(config: AdapterConfig, shape: tuple[int, int]) -> Tensor:
    rank, in_features = shape
    if config.slots * rank > in_features:
        raise ConfigError("orthogonal_too_many", slots=config.slots, rank=rank, in_features=in_features)
    if config.slot >= config.slots:
        raise ConfigError("slot_outside", slot=config.slot, slots=config.slots)
    slot = 0 if config.shared_projection else config.slot
    rows = _orthogonal_rows(config.projection_seed, config.redraw_projection, config.slots * rank, in_features)
    return rows[slot * rank : (slot + 1) * rank].clone()


@lru_cache(maxsize=16)
def _orthogonal_rows(seed: int, redraw: bool, count: int, in_features: int) -> Tensor:
    """(count, in_features), orthogonal rows of length √(1/3), uniformly distributed (QR of a gaussian matrix)."""
    generator = np.random.Generator(_generator(seed, "orthogonal", in_features, redraw))
    gaussian = generator.standard_normal((count, in_features))
    Q, R = np.linalg.qr(gaussian.T)
    Q *= np.sign(np.diag(R))  # without the signs, Q is not uniform over the orthogonal group (Mezzadri 2007)
    return torch.from_numpy(np.ascontiguousarray(Q.T / np.sqrt(3)).astype(np.float32))
