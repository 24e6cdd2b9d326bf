"""Inputs as activations are, few directions strong, their moments, and footprints of them."""

import torch
from torch import Tensor

from lori_core.method.footprint import Footprint, Moments, moments_of, random_rows


def inputs(tokens: int, features: int, seed: int = 0) -> Tensor:
    """(tokens, features) fp64."""
    generator = torch.Generator().manual_seed(seed)
    scales = torch.logspace(1, -2, features, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(features, features, generator=generator, dtype=torch.float64)).Q
    return (torch.randn(tokens, features, generator=generator, dtype=torch.float64) * scales) @ turn


def moments(x: Tensor, directions: int | None = None) -> Moments:
    z = x if directions is None else x @ random_rows(directions, x.shape[1]).T
    return moments_of(z.T @ z / len(x), x.shape[1], x.square().sum().item() / len(x))


def footprint(name: str, by_module: dict[str, Moments]) -> Footprint:
    return Footprint(name, {module: module for module in by_module}, by_module, tokens=100)
