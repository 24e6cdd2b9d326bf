"""Small folders laid out as the paper's authors published theirs."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from lori_core.errors import AdapterError
from lori_core.method.adapter import Adapter
from lori_core.method.masks import magnitude_masks
from lori_core.storage.peft import export_peft
from lori_core.storage.published import import_published


def key(module: str) -> str:
    return f"base_model.model.{module}.lora_B.default.weight"


def published(folder: Path, adapter: Adapter, masks: Any = None) -> Path:
    """The adapter as PEFT writes it; masks beside it as torch.save writes them."""
    export_peft(adapter, folder)
    if masks is not None:
        (folder / "masks").mkdir()
        torch.save(masks, folder / "masks" / "0.9_mask.pt")
    return folder


def lori_d() -> Adapter:
    base = tiny.base()
    return tiny.filled(tiny.start(base, tiny.CONFIG.changed(sparsity=0.0)))


def masks_of(adapter: Adapter) -> dict[str, Tensor]:
    return magnitude_masks({module: factors.B for module, factors in adapter.factors.items()}, 0.9)


def test_a_LoRI_D_folder_gives_all_of_B_and_the_mask_beside_it(tmp_path):
    dense = lori_d()
    masks = masks_of(dense)
    folder = published(tmp_path / "LoRI-D_code", dense, {key(module): mask for module, mask in masks.items()})
    found = import_published(folder)
    assert found.adapter.name == "LoRI-D_code"
    assert (found.adapter.config.sparsity, found.adapter.config.train_projection) == (0.0, False)
    assert found.masks.keys() == {"0.9"}
    for module, factors in found.adapter.factors.items():
        assert torch.equal(found.masks["0.9"][module], masks[module])
        assert factors.mask.all()
        assert torch.equal(factors.update, dense.factors[module].update)  # a scaling of 2 rounds nothing


def test_a_LoRI_S_folder_keeps_what_is_not_zero(tmp_path):
    dense = lori_d()
    sparse = dense.with_masks(masks_of(dense))
    found = import_published(published(tmp_path / "LoRI-S_code", sparse), name="code")
    assert found.masks == {}
    assert found.adapter.name == "code"
    assert found.adapter.config.sparsity == pytest.approx(0.9, abs=1e-3)
    assert found.adapter.trained_parameters == sparse.trained_parameters
    for module, factors in found.adapter.factors.items():
        assert torch.equal(factors.mask, sparse.factors[module].mask)
        assert torch.equal(factors.update, sparse.factors[module].update)


def refused(folder: Path, expected: str, *words: str) -> None:
    with pytest.raises(AdapterError) as caught:
        import_published(folder)
    assert caught.value.key == expected
    for word in ("0.9_mask.pt", *words):
        assert word in str(caught.value)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "executed")


def test_a_mask_with_code_inside_is_refused_and_the_code_does_not_run(tmp_path):
    trap = Trap(tmp_path / "trace")
    folder = published(tmp_path / "in", lori_d(), {"mask": trap})
    refused(folder, "published_unreadable")
    (folder / "masks" / "0.9_mask.pt").write_bytes(pickle.dumps(trap))
    refused(folder, "published_unreadable")
    assert not (tmp_path / "trace").exists()
    torch.save(trap, tmp_path / "file")
    torch.load(tmp_path / "file", weights_only=False)
    assert (tmp_path / "trace").exists()  # the trap works


def test_a_truncated_mask_is_refused(tmp_path):
    dense = lori_d()
    folder = published(tmp_path / "in", dense, {key(module): mask for module, mask in masks_of(dense).items()})
    path = folder / "masks" / "0.9_mask.pt"
    data = path.read_bytes()
    for length in (0, 1, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        refused(folder, "published_unreadable")


MODULE = "model.layers.0.self_attn.q_proj"


BAD_MASKS = {
    "floats": torch.ones(32, 4),
    "another rank": torch.ones(32, 5, dtype=torch.bool),
    "a few bytes that would be a terabyte once written to": torch.ones(1, dtype=torch.bool).expand(2**40),
    "a text": "all",
}


@pytest.mark.parametrize("bad", BAD_MASKS)
def test_what_is_no_mask_of_the_module_is_refused(bad, tmp_path):
    dense = lori_d()
    masks = {key(module): mask for module, mask in masks_of(dense).items()}
    refused(
        published(tmp_path / "in", dense, masks | {key(MODULE): BAD_MASKS[bad]}), "published_shape", MODULE, "(32, 4)"
    )


class Sized:
    """Asks for so many bytes when it is unpickled, by a name that is safe to call."""

    def __reduce__(self):
        return bytearray, (2**40,)


def test_a_mask_file_that_claims_more_than_it_holds_is_refused_unread(tmp_path):
    dense = lori_d()
    masks = {key(module): mask for module, mask in masks_of(dense).items()}
    refused(published(tmp_path / "sized", dense, {"mask": Sized()}), "published_unreadable")
    sparse = torch.ones(32, 4).to_sparse().bool()  # of any size in a few bytes
    refused(published(tmp_path / "sparse", dense, masks | {key(MODULE): sparse}), "published_unreadable")
    folder = published(tmp_path / "packed", dense, masks)
    path = folder / "masks" / "0.9_mask.pt"
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    assert torch.load(path, weights_only=True).keys() == masks.keys()  # which torch unpacks
    refused(folder, "published_unreadable")


def test_masks_of_other_modules_are_refused(tmp_path):
    dense = lori_d()
    masks = {key(module): mask for module, mask in masks_of(dense).items()}
    refused(
        published(tmp_path / "more", dense, masks | {"other": masks[key(MODULE)]}), "published_modules", "14 modules"
    )
    del masks[key(MODULE)]
    refused(published(tmp_path / "fewer", dense, masks), "published_modules", "14 modules")


def test_a_list_is_no_mask(tmp_path):
    refused(published(tmp_path / "in", lori_d(), [torch.ones(2)]), "published_modules", "list")
