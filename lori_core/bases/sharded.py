"""Sharded base: each process of a launch holds its share of every weight (FSDP2), and a layer is whole while it runs.

transformers reads the shares from the checkpoint's files, so that no process ever holds all of the base. What is
attached later belongs to none of its groups: adapters are small, and whole in every process.

https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

GATHERED = 4  # layers that are whole at a time, at most


def sharding(processes: int) -> dict[str, Any]:
    """The options of from_pretrained that share a model out."""
    from transformers.distributed.configuration_utils import DistributedConfig  # older versions have none

    return {"distributed_config": DistributedConfig(fsdp_size=processes)}


def shared_out(model: PreTrainedModel, processes: int) -> tuple[int, int]:
    """Bytes of what a process holds of a model, and of what is whole in it at most at a time.

    Rows are shared out; the last process may have fewer. Whole are the output head with the last norm, what no rule of
    the architecture's plan names, and around the layer that is computed others: the backward pass goes on to the next
    before this one is let go, and a third arrives in a buffer. Measured: test_processes.py.
    """
    groups, share, head = Counter[str](), 0, getattr(model.get_output_embeddings(), "weight", None)
    for name, parameter in model.named_parameters():
        rows = parameter.shape[0]
        share += math.ceil(rows / processes) * (parameter.nbytes // rows)
        groups["" if parameter is head else _layer(name, model.fsdp_plan)] += parameter.nbytes
    kept = groups.pop("", 0)
    return share + sum(buffer.nbytes for buffer in model.buffers()), kept + GATHERED * max(groups.values(), default=0)


def _layer(parameter: str, plan: Mapping[str, str]) -> str:
    """The module with which a parameter is gathered and let go; "" where it stays whole."""
    modules = accumulate(parameter.split("."), "{}.{}".format)
    return next((each for each in modules if plan.get(re.sub(r"\.\d+", ".*", each)) == "free_full_weight"), "")


def is_sharded(model: nn.Module) -> bool:
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def gathered(weight: Tensor) -> Tensor:
    """All of a weight; of a sharded one every process has to ask."""
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def make_room(model: nn.Module) -> None:
    """Makes the tensors that whole weights are gathered into; what scoring made, in inference mode, could not train."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.unshard()
                module.reshard()
