"""Published LoRI adapters, as the paper's authors wrote them, with their masks.

A folder is a PEFT adapter; LoRI-D folders also hold masks/0.9_mask.pt, the mask of a later LoRI-S run: a pickled dict
{"base_model.model.<module>.lora_B.default.weight": bool (out_features, rank)}. It is read without running what a pickle
may hold. LoRI-S folders that the official code saves under a PEFT of today hold their mask beside B (peft.py). Both are
published under juzhengz/ and tomg-group-umd/:
https://huggingface.co/collections/tomg-group-umd/lori-adapters-67f795549d792613e1290011
"""

import io
import pickletools
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lori_core.errors import AdapterError
from lori_core.files import read_file
from lori_core.method.adapter import Adapter
from lori_core.method.masks import Masks, sparsity_of
from lori_core.storage.peft import import_peft

_SUFFIX = "_mask.pt"
# All that a dict of masks needs; others that torch would call build a tensor or a text of any claimed size.
_NAMES = re.compile("torch._utils _rebuild_tensor_v2|collections OrderedDict|torch [A-Z][A-Za-z0-9]*Storage")


@dataclass(frozen=True, eq=False)
class Published:
    """An adapter of the paper's authors.

    Attributes:
        adapter: its A is frozen. LoRI-S (half of B or more is zero) keeps what is not zero, LoRI-D all of B.
        masks: sparsity, as the file's name has it -> module -> (out_features, rank) bool; mostly of a LoRI-D adapter,
            for LoRI-S training.
    """

    adapter: Adapter
    masks: Mapping[str, Masks]


def import_published(folder: str | Path, name: str | None = None) -> Published:
    """Adapter and masks in a folder.

    Args:
        name: of the adapter; None: the folder's.
    Raises:
        AdapterError: as import_peft has it, or a mask cannot be read safely or does not fit the adapter.
    """
    folder = Path(folder)
    dense = import_peft(folder, name)
    masks = {
        path.name.removesuffix(_SUFFIX): _read_mask(path, dense)
        for path in sorted((folder / "masks").glob(f"*{_SUFFIX}"))
    }
    return Published(as_lori(dense), masks)


def has_mask(adapter: Adapter) -> bool:
    """Whether a mask lay beside the B of an imported one."""
    return any(not bool(mask.all()) for mask in adapter.masks.values())


def as_lori(dense: Adapter) -> Adapter:
    """The imported adapter as LoRI trained it, with a frozen A; what a mask holds at zero is zero in one without it."""
    masks = dense.masks if has_mask(dense) else {module: factors.B != 0 for module, factors in dense.factors.items()}
    is_sparse = sparsity_of(masks) >= 0.5  # LoRI-D in bf16 may hold a zero here and there
    record = dense.record | {"imported": dense.record["imported"] | {"from": "lori"}}
    frozen = replace(dense, config=dense.config.changed(train_projection=False), record=record)
    return frozen.with_masks(masks) if is_sparse else frozen


def _read_mask(path: Path, adapter: Adapter) -> dict[str, Tensor]:
    try:
        data = read_file(path)
        _check_plain(data)
        found: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception:  # bytes that are no mask fail in as many ways as torch has readers
        raise AdapterError("published_unreadable", path=path) from None
    expected = {f"base_model.model.{m}.lora_B.default.weight": m for m in adapter.factors}
    if not isinstance(found, dict) or found.keys() != expected.keys():
        raise AdapterError("published_modules", path=path, modules=len(expected), got=type(found).__name__)
    masks = {}
    for key, module in expected.items():
        mask, shape = found[key], adapter.factors[module].mask.shape
        if not _is_mask(mask) or mask.shape != shape:
            raise AdapterError("published_shape", path=path, module=module, expected=tuple(shape))
        masks[module] = mask.contiguous()
    return masks


def _check_plain(data: bytes) -> None:
    """Raises where torch would unpack more bytes than are there, or the pickle names more than tensors need."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(each.compress_type != zipfile.ZIP_STORED or each.file_size > len(data) for each in archive.infolist()):
            raise ValueError("larger than it is")
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        for opcode, argument, _ in pickletools.genops(archive.read(pickled)):
            if opcode.name == "STACK_GLOBAL" or (opcode.name == "GLOBAL" and not _NAMES.fullmatch(str(argument))):
                raise ValueError(argument)


def _is_mask(value: Any) -> bool:
    """Entries in memory, not an empty shell of a tensor."""
    return isinstance(value, Tensor) and value.dtype == torch.bool and value.device.type == "cpu"
