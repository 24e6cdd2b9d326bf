"""Base cache: the one base that the service process holds in memory, until another is asked for."""

import torch

from lori_core.bases.load import Base, checked_device, device_name, open_base
from lori_core.config import BaseConfig


class BaseCache:
    """Nothing is attached to its base between two questions."""

    def __init__(self) -> None:
        self._config: BaseConfig | None = None
        self._base: Base | None = None

    def device(self) -> str:
        """Where a run computes that names no device: "cpu", "mps", or the model of the GPU."""
        return device_name(torch.device(checked_device(None)))

    def base(self, config: BaseConfig) -> Base:
        """The base that the config names."""
        if self._base is None or config != self._config:
            self._base = None  # first: two bases may not fit into memory
            self._base, self._config = open_base(config), config
        return self._base
