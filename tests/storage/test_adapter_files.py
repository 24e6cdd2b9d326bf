import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from moments import inputs, moments
from safetensors.torch import load_file, save_file

from lori_core.config import AdapterConfig
from lori_core.errors import AdapterError, ConfigError, StorageError
from lori_core.method.adapter import Adapter, Factors, blank, dense_factors
from lori_core.method.conditioned import Conditions, conditioned
from lori_core.method.footprint import Footprint
from lori_core.method.merge import merge
from lori_core.method.projection import draw
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.storage.packing import pack_masks, pack_values

SHAPES = {"model.layers.0.q_proj": (6, 8), "model.layers.0.down_proj": (5, 8), "model.layers.1.q_proj": (6, 8)}
RECORD = {"base": {"name": "embedded", "revision": None}, "losses": [2.5, float("inf")], "note": "計算"}


def trained(config: AdapterConfig, kept_fraction: float = 0.3, seed: int = 0) -> Adapter:
    """An adapter with random values where a random mask keeps them; a trained A where the config says so."""
    torch.manual_seed(seed)
    masks = {module: torch.rand(out, config.rank) < kept_fraction for module, (out, _) in SHAPES.items()}
    start = blank("math/../計算", SHAPES, config, masks)
    factors = {}
    for module, each in start.factors.items():
        A = torch.randn_like(each.A) if config.train_projection else each.A
        factors[module] = replace(each, A=A, values=torch.randn_like(each.values))
    return replace(start, factors=factors, record=RECORD)


def assert_same(got: Adapter, expected: Adapter) -> None:
    """Bit by bit."""
    assert (got.name, got.config, got.drawn_from) == (expected.name, expected.config, expected.drawn_from)
    assert got.record | {"id": ""} == expected.record | {"id": ""}
    assert list(got.factors) == list(expected.factors)
    for module, factors in got.factors.items():
        other = expected.factors[module]
        assert factors.scaling == other.scaling
        for one, two in [(factors.A, other.A), (factors.values, other.values), (factors.mask, other.mask)]:
            assert one.dtype == two.dtype
            assert torch.equal(one, two)


def rounded(adapter: Adapter) -> Adapter:
    """Values, and a trained A, rounded once to bf16."""

    def once(factors: Factors) -> Factors:
        A = factors.A.bfloat16().float() if adapter.config.train_projection else factors.A
        return replace(factors, A=A, values=factors.values.bfloat16().float())

    return replace(adapter, factors={module: once(factors) for module, factors in adapter.factors.items()})


configs = st.builds(
    AdapterConfig,
    rank=st.integers(1, 5),
    scaling=st.floats(0.1, 4),
    projection=st.sampled_from(["kaiming_uniform", "gaussian", "orthogonal", "sparse"]),
    projection_seed=st.integers(0, 9),
    shared_projection=st.booleans(),
    redraw_projection=st.booleans(),
    train_projection=st.booleans(),
)


@settings(deadline=None, max_examples=40)
@given(configs, st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 9))
def test_an_adapter_comes_back_bit_by_bit_with_values_rounded_once(config, kept_fraction, seed):
    adapter = trained(config, kept_fraction, seed)
    with tempfile.TemporaryDirectory() as folder:
        save_adapter(adapter, Path(folder, "fp32"), dtype="fp32")
        assert_same(load_adapter(Path(folder, "fp32")), adapter)
        save_adapter(adapter, Path(folder, "bf16"))
        assert_same(load_adapter(Path(folder, "bf16")), rounded(adapter))
        save_adapter(load_adapter(Path(folder, "bf16")), Path(folder, "again"))
        first, again = (Path(folder, name, "lori.safetensors").read_bytes() for name in ("bf16", "again"))
        assert first == again


def parts_in_file(adapter: Adapter, folder: Path) -> set[str]:
    save_adapter(adapter, folder)
    return {name.rsplit(".", 1)[-1] for name in load_file(folder / "lori.safetensors")}


def test_the_file_holds_no_more_than_it_must(tmp_path):
    sparse, dense = trained(AdapterConfig(rank=4)), trained(AdapterConfig(rank=4), kept_fraction=1.0)
    assert parts_in_file(sparse, tmp_path / "sparse") == {"exponents", "fractions", "masks"}
    assert parts_in_file(dense, tmp_path / "dense") == {"exponents", "fractions"}
    gaussian = trained(AdapterConfig(rank=4, projection="gaussian"))
    assert parts_in_file(gaussian, tmp_path / "gaussian") == {"exponents", "fractions", "masks", "A"}
    lora = trained(AdapterConfig(rank=4, train_projection=True), kept_fraction=1.0)
    assert parts_in_file(lora, tmp_path / "lora") == {"exponents", "fractions", "A"}


def test_an_adapter_whose_factors_are_not_those_of_its_config_keeps_them(tmp_path):
    """As a merge makes them: another rank in each module, an A that no draw gives, shared by two modules."""
    shared = torch.randn(3, 8)
    A = {"small": torch.randn(1, 8), "query": shared, "key": shared}
    factors = {module: dense_factors(a, torch.randn(6, len(a)).bfloat16().float()) for module, a in A.items()}
    merged = Adapter("merged", AdapterConfig(rank=3, scaling=1.0), factors, {"parents": []})
    save_adapter(merged, tmp_path / "merged")
    assert_same(load_adapter(tmp_path / "merged"), merged)


def test_a_renamed_adapter_draws_the_a_of_its_old_name(tmp_path):
    renamed = replace(trained(AdapterConfig(rank=2)), name="another")
    assert parts_in_file(renamed, tmp_path / "renamed") == {"exponents", "fractions", "masks"}
    assert_same(load_adapter(tmp_path / "renamed"), rounded(renamed))


def test_a_concatenation_draws_the_a_of_its_parts(tmp_path):
    parts = [trained(AdapterConfig(rank=rank, projection_seed=rank)) for rank in (2, 3)]
    merged = merge(parts, "concat", [0.5, 0.5], "both")
    assert parts_in_file(merged, tmp_path / "merged") == {"exponents", "fractions", "masks"}
    assert_same(load_adapter(tmp_path / "merged"), rounded(merged))
    linear = merge([parts[0], parts[0]], "linear", [0.5, 0.5], "mean")
    assert "A" in parts_in_file(linear, tmp_path / "linear")


def test_an_a_that_is_not_what_was_drawn_is_stored(tmp_path):
    adapter = trained(AdapterConfig(rank=2))
    changed = replace(
        adapter, factors={module: replace(each, A=each.A + 1) for module, each in adapter.factors.items()}
    )
    save_adapter(changed, tmp_path / "changed", dtype="fp32")
    assert_same(load_adapter(tmp_path / "changed"), changed)


@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_an_adapter_saved_by_format_version_1_opens_and_is_saved_as_version_2(tmp_path, kind):
    old = Path(__file__).parent / "saved_as_1" / kind
    raw = load_file(old / "lori.safetensors")
    adapter = load_adapter(old)
    for module, factors in adapter.factors.items():
        assert torch.equal(factors.values, raw[f"{module}.values"].float())
        if kind == "sparse":
            bits = np.unpackbits(raw[f"{module}.mask"].numpy(), count=factors.mask.numel(), bitorder="little")
            assert factors.mask.numpy().reshape(-1).tolist() == bits.astype(bool).tolist()
        A = draw(adapter.config, "math", module, 8) if kind == "sparse" else raw[f"{module}.A"]
        assert torch.equal(factors.A, A)
    save_adapter(adapter, tmp_path / "new")
    assert_same(load_adapter(tmp_path / "new"), adapter)


def test_a_saved_adapter_is_never_replaced(tmp_path):
    first, second = (trained(AdapterConfig(rank=2), seed=seed) for seed in (0, 1))
    save_adapter(first, tmp_path / "adapter", dtype="fp32")
    with pytest.raises(StorageError) as caught:
        save_adapter(second, tmp_path / "adapter")
    assert caught.value.key == "path_taken"
    assert_same(load_adapter(tmp_path / "adapter"), first)


# --- damage


def refused(folder: Path, key: str) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        load_adapter(folder)
    assert caught.value.key == key, caught.value
    assert str(folder) in str(caught.value)
    return caught.value


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A folder that tests copy from and never change."""
    folder = tmp_path_factory.mktemp("saved") / "adapter"
    save_adapter(trained(AdapterConfig(rank=3)), folder)
    return folder


def copy_with(saved: Path, folder: Path, name: str, data: bytes) -> None:
    folder.mkdir()
    for each in ("adapter.json", "lori.safetensors"):
        (folder / each).write_bytes(data if each == name else (saved / each).read_bytes())


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_changed_byte_of_the_tensors_is_refused(saved, where, change):
    data = bytearray((saved / "lori.safetensors").read_bytes())
    data[int(where * len(data))] ^= change
    with tempfile.TemporaryDirectory() as folder:
        copy_with(saved, Path(folder, "adapter"), "lori.safetensors", bytes(data))
        refused(Path(folder, "adapter"), "adapter_changed")


@settings(deadline=None, max_examples=150)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_changed_byte_of_the_description_is_refused(saved, where, change):
    data = bytearray((saved / "adapter.json").read_bytes())
    data[int(where * len(data))] ^= change
    with tempfile.TemporaryDirectory() as folder:
        copy_with(saved, Path(folder, "adapter"), "adapter.json", bytes(data))
        with pytest.raises(AdapterError):
            load_adapter(Path(folder, "adapter"))


@settings(deadline=None)
@given(st.sampled_from(["adapter.json", "lori.safetensors"]), st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(saved, name, where):
    data = (saved / name).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        copy_with(saved, Path(folder, "adapter"), name, data[: int(where * len(data))])
        refused(Path(folder, "adapter"), "adapter_unreadable" if name == "adapter.json" else "adapter_changed")


@pytest.mark.parametrize("name", ["adapter.json", "lori.safetensors"])
def test_a_folder_that_lacks_a_file_is_no_adapter(saved, tmp_path, name):
    copy_with(saved, tmp_path / "adapter", "", b"")
    (tmp_path / "adapter" / name).unlink()
    refused(tmp_path / "adapter", "no_adapter")
    refused(tmp_path / "nowhere", "no_adapter")


def forge(
    saved: Path,
    folder: Path,
    header: Callable[[dict[str, Any]], Any] = lambda header: None,
    tensors: Callable[[dict[str, torch.Tensor]], Any] = lambda tensors: None,
) -> Path:
    """A copy changed by somebody who makes the checksums anew."""
    folder.mkdir()
    found, content = load_file(saved / "lori.safetensors"), json.loads((saved / "adapter.json").read_bytes())
    tensors(found)
    save_file(found, folder / "lori.safetensors")
    content["tensors"] = hashlib.sha256((folder / "lori.safetensors").read_bytes()).hexdigest()
    del content["checksum"]
    header(content)
    content["checksum"] = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    (folder / "adapter.json").write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    return folder


MODULE = "model.layers.0.q_proj"


def test_a_forger_who_changes_nothing_is_believed(saved, tmp_path):
    assert_same(load_adapter(forge(saved, tmp_path / "same")), load_adapter(saved))


def other_masks(kept_fraction: float) -> torch.Tensor:
    return pack_masks(trained(AdapterConfig(rank=3), kept_fraction).masks)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda t: t.update(foreign=torch.zeros(1)), "adapter_tensors"),
        (lambda t: t.pop("exponents"), "adapter_tensors"),
        (lambda t: t.pop("masks"), "adapter_tensors"),
        (lambda t: t.update({f"{MODULE}.A": torch.zeros(3, 8)}), "adapter_tensors"),
        (lambda t: t.update(fractions=t["fractions"][:-1].clone()), "adapter_unreadable"),
        (lambda t: t.update(fractions=t["fractions"].float()), "adapter_unreadable"),
        (lambda t: t.update(fractions=torch.zeros(7, 3, dtype=torch.uint8)), "adapter_unreadable"),
        (lambda t: t.update(fractions=torch.tensor(1, dtype=torch.uint8)), "adapter_unreadable"),
        (lambda t: t.update(exponents=t["exponents"][:-1].clone()), "adapter_unreadable"),
        (lambda t: t.update(exponents=torch.cat([t["exponents"], t["exponents"]])), "adapter_unreadable"),
        (lambda t: t.update(masks=torch.zeros(2, dtype=torch.uint8)), "adapter_unreadable"),
        (lambda t: t.update(masks=torch.full((200,), 255, dtype=torch.uint8)), "adapter_unreadable"),
        (lambda t: t.update(masks=other_masks(0.9)), "adapter_mask"),
    ],
)
def test_tensors_that_do_not_fit_the_description_are_refused(saved, tmp_path, change, key):
    refused(forge(saved, tmp_path / "forged", tensors=change), key)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda h: h.update(version=4), "unknown_adapter_version"),
        (lambda h: h.pop("version"), "adapter_unreadable"),
        (lambda h: h.update(foreign=1), "adapter_unreadable"),
        (lambda h: h.update(mask="0" * 64), "adapter_mask_id"),
        (lambda h: h.update(mask=None), "adapter_mask_id"),
        (lambda h: h.update(drawn_from=[]), "adapter_projection"),
        (lambda h: h["config"].update(rank=0), "adapter_unreadable"),
        (lambda h: h["drawn_from"][0].update(projection_seed=1), "adapter_projection"),
        (lambda h: h["drawn_from"][0].update(rank=2), "adapter_projection"),
        (lambda h: h["drawn_from"][0].update(task="another task"), "adapter_projection"),
        (lambda h: h["drawn_from"][0].update(projection="orthogonal"), "adapter_unreadable"),
        (lambda h: h["modules"][MODULE].update(checksum="0" * 64), "adapter_projection"),
        (lambda h: h["modules"][MODULE].update(in_features=9), "adapter_projection"),
        (lambda h: h["modules"][MODULE].update(in_features=10**12), "adapter_claims"),
        (lambda h: h["modules"][MODULE].update(out_features=10**7, rank=10), "adapter_unreadable"),
        (lambda h: h["modules"][MODULE].update(out_features=10**12, kept=10**12), "adapter_unreadable"),
        (lambda h: h["modules"][MODULE].update(out_features=9, rank=2), "adapter_mask_id"),  # shapes are in the id
        (lambda h: h["modules"][MODULE].update(kept=10**6), "adapter_unreadable"),
        (lambda h: h["modules"][MODULE].update(kept=18), "adapter_unreadable"),
        (lambda h: h["modules"].pop(MODULE), "adapter_unreadable"),
    ],
)
def test_a_description_that_does_not_fit_the_tensors_is_refused(saved, tmp_path, change, key):
    refused(forge(saved, tmp_path / "forged", header=change), key)


def test_an_adapter_of_no_modules_is_neither_saved_nor_opened(saved, tmp_path):
    with pytest.raises(ConfigError, match="modules"):
        save_adapter(Adapter("nothing", AdapterConfig(sparsity=0.0), {}), tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()

    def nothing_left(tensors: dict[str, torch.Tensor]) -> None:
        tensors.clear()
        tensors |= pack_values(torch.zeros(0), "bf16")

    emptied = forge(saved, tmp_path / "forged", lambda h: h.update(modules={}, mask=None), nothing_left)
    assert "modules" in str(refused(emptied, "adapter_unreadable"))


def test_a_stored_a_is_checked_too(tmp_path):
    save_adapter(trained(AdapterConfig(rank=3, projection="gaussian")), tmp_path / "adapter")
    changed = forge(tmp_path / "adapter", tmp_path / "forged", tensors=lambda t: t[f"{MODULE}.A"].add_(1))
    assert refused(changed, "adapter_projection").values["module"] == MODULE


@pytest.mark.parametrize("text", ["[]", "1", '"text"', "null", "{}", "[" * 10**5, '{"version": 2, "checksum": ""}'])
def test_a_description_that_is_no_description_is_refused(saved, tmp_path, text):
    copy_with(saved, tmp_path / "adapter", "adapter.json", text.encode())
    refused(tmp_path / "adapter", "adapter_changed" if "checksum" in text else "adapter_unreadable")


def test_an_older_adapter_whose_config_names_another_sparsity_than_its_masks_have_still_opens(tmp_path):
    adapter = trained(AdapterConfig(rank=4))
    older = replace(adapter, config=adapter.config.changed(sparsity=0.9))
    save_adapter(older, tmp_path / "older", "fp32")
    opened = load_adapter(tmp_path / "older")
    assert_same(opened, older)
    assert opened.with_masks(opened.masks).config.sparsity == pytest.approx(adapter.config.sparsity)


# --- what is claimed, and what is there


def test_a_description_that_claims_millions_of_columns_is_refused_before_they_are_drawn(saved, tmp_path):
    forged = forge(saved, tmp_path / "forged", header=lambda h: h["modules"][MODULE].update(in_features=2**28))
    assert f"{3 * 2**28 + 2 * 3 * 8:,} numbers" in str(refused(forged, "adapter_claims"))


def test_an_adapter_whose_A_is_large_beside_what_it_keeps_comes_back_whole(tmp_path):
    """4 bytes of mask to 2^23 entries of A: those go into the file, so that what is drawn stays in proportion."""
    mask = torch.zeros(8, 4, dtype=torch.bool)
    adapter = blank("wide", {"router": (8, 2**21)}, AdapterConfig(rank=4), {"router": mask})
    assert parts_in_file(adapter, tmp_path / "wide") == {"exponents", "fractions", "masks", "A"}
    assert_same(load_adapter(tmp_path / "wide"), adapter)


@pytest.mark.parametrize("scaling", [1e308, -1e308, float("inf"), float("nan")])
def test_a_scaling_that_leaves_the_numbers_is_refused(saved, tmp_path, scaling):
    forged = forge(saved, tmp_path / "forged", header=lambda h: h["modules"][MODULE].update(scaling=scaling))
    refused(forged, "adapter_unreadable")


def test_a_field_called_self_is_refused_as_any_other(saved, tmp_path):
    refused(forge(saved, tmp_path / "forged", header=lambda h: h["config"].update(self=1)), "adapter_unreadable")


@pytest.mark.parametrize("name", ["adapter.json", "lori.safetensors"])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_plain_file_is_not_opened(saved, tmp_path, name, make):
    copy_with(saved, tmp_path / "adapter", "", b"")
    (tmp_path / "adapter" / name).unlink()
    make(tmp_path / "adapter" / name)
    refused(tmp_path / "adapter", "adapter_unreadable")


def test_a_linked_file_is_opened(saved, tmp_path):
    (tmp_path / "adapter").mkdir()
    for name in ("adapter.json", "lori.safetensors"):
        (tmp_path / "adapter" / name).symlink_to(saved / name)
    assert_same(load_adapter(tmp_path / "adapter"), load_adapter(saved))


def test_a_description_of_300_megabytes_is_not_read(saved, tmp_path):
    copy_with(saved, tmp_path / "adapter", "", b"")
    with open(tmp_path / "adapter" / "adapter.json", "r+b") as file:
        file.truncate(300_000_000)
    assert "300,000,000 bytes" in str(refused(tmp_path / "adapter", "adapter_unreadable"))


# --- a conditioned A


def conditioned_adapter(directions: int | None = None) -> Adapter:
    """The two q_proj share an A; values random under a random mask."""
    config = AdapterConfig(rank=4, sparsity=0.5, projection="conditioned", directions=directions or 256)
    shared = {module: "model.layers.0.q_proj" if "q_proj" in module else module for module in SHAPES}
    sources = list(dict.fromkeys(shared.values()))

    def measured(name: str, seed: int) -> Footprint:
        each = {source: moments(inputs(50, 8, seed + 10 * i), directions) for i, source in enumerate(sources)}
        return Footprint(name, shared, each, 50)

    prints = [measured("own", 0), measured("other", 1)]
    As = conditioned(Conditions(prints[0], prints[1:]), SHAPES, 4, 0.01)
    masks = {module: torch.rand(out, 4) < 0.5 for module, (out, _) in SHAPES.items()}
    start = blank("math", SHAPES, config, masks, As)
    factors = {m: replace(each, values=torch.randn_like(each.values)) for m, each in start.factors.items()}
    return replace(start, factors=factors, record=RECORD)


@pytest.mark.parametrize("directions", [None, 6])
def test_a_conditioned_A_is_stored_as_its_integers_once_for_all_modules_that_share_it(tmp_path, directions):
    adapter = conditioned_adapter(directions)
    save_adapter(adapter, tmp_path / "a", "fp32")
    assert_same(load_adapter(tmp_path / "a"), adapter)
    tensors = load_file(tmp_path / "a" / "lori.safetensors")
    rows = {name: tuple(tensor.shape) for name, tensor in tensors.items() if name.endswith(".W")}
    assert rows == {"model.layers.0.q_proj.W": (4, directions or 8), "model.layers.0.down_proj.W": (4, directions or 8)}
    assert not any(name.endswith(".A") for name in tensors)


def test_a_merge_of_conditioned_adapters_comes_back_to_the_bit(tmp_path):
    merged = merge([conditioned_adapter(), conditioned_adapter()], "concat", [1.0, 0.5], "merged")
    save_adapter(merged, tmp_path / "m", "fp32")
    assert_same(load_adapter(tmp_path / "m"), merged)


def test_a_conditioned_A_beside_drawn_ones_is_stored_whole(tmp_path):
    drawn = blank("code", SHAPES, AdapterConfig(rank=4, sparsity=0.0))
    merged = merge([drawn, conditioned_adapter()], "concat", [1.0, 1.0], "merged")
    save_adapter(merged, tmp_path / "m", "fp32")
    assert_same(load_adapter(tmp_path / "m"), merged)


@pytest.mark.parametrize("tensor", [f"{MODULE}.W", f"{MODULE}.e"])
def test_rows_of_another_shape_or_type_are_refused(tmp_path, tensor):
    save_adapter(conditioned_adapter(), tmp_path / "a", "fp32")
    for i, wrong in enumerate((torch.zeros(3, 8, dtype=torch.int16), torch.zeros(4, 8), torch.zeros(4, 9).short())):
        refused(
            forge(tmp_path / "a", tmp_path / str(i), tensors=lambda t, w=wrong: t.update({tensor: w})), "adapter_tensor"
        )


def test_other_rows_are_not_the_A_that_was_saved(tmp_path):
    save_adapter(conditioned_adapter(), tmp_path / "a", "fp32")
    forged = forge(tmp_path / "a", tmp_path / "b", tensors=lambda t: t.update({f"{MODULE}.W": t[f"{MODULE}.W"] + 1}))
    refused(forged, "adapter_projection")
