"""Small folders laid out as the paper's authors published theirs."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from lori_core.adapter import Adapter
from lori_core.errors import AdapterError
from lori_core.exchange import export_peft
from lori_core.masks import magnitude_masks
from lori_core.published import import_published


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
    refused(folder, "mask_unreadable")
    (folder / "masks" / "0.9_mask.pt").write_bytes(pickle.dumps(trap))
    refused(folder, "mask_unreadable")
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
        refused(folder, "mask_unreadable")


MODULE = "model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("change", "expected", "words"),
    [
        (lambda masks: masks.pop(key(MODULE)), "mask_modules", ["14 modules"]),
        (lambda masks: masks.update(other=torch.ones(1)), "mask_modules", []),
        (lambda masks: masks.update({key(MODULE): torch.ones(32, 5, dtype=torch.bool)}), "mask_shape", ["(32, 4)"]),
        (lambda masks: masks.update({key(MODULE): torch.ones(32, 4)}), "mask_shape", [MODULE]),
        (lambda masks: masks.update({key(MODULE): torch.ones(32, 4).to_sparse().bool()}), "mask_shape", [MODULE]),
        (lambda masks: masks.update({key(MODULE): "all"}), "mask_shape", [MODULE]),
        # a few bytes that would be terabytes once somebody wrote to them
        (lambda masks: masks.update({key(MODULE): torch.ones(1, dtype=torch.bool).expand(2**40)}), "mask_shape", []),
    ],
)
def test_a_mask_that_does_not_fit_the_adapter_is_refused(change, expected, words, tmp_path):
    dense = lori_d()
    masks: dict[str, Any] = {key(module): mask for module, mask in masks_of(dense).items()}
    change(masks)
    refused(published(tmp_path / "in", dense, masks), expected, *words)


def test_a_list_is_no_mask(tmp_path):
    refused(published(tmp_path / "in", lori_d(), [torch.ones(2)]), "mask_modules", "list")
