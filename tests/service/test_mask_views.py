"""Looking into masks, against counts made entry by entry from the whole masks."""

import random
import shutil
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from example_results import calibration

from lori_core import figures
from lori_core.embedded.ready_made import READY_MADE
from lori_core.errors import AdapterError, IncompatibleAdapters
from lori_core.method.adapter import Adapter
from lori_core.method.masks import magnitude_masks
from lori_core.results import Calibration, Magnitudes, MaskGrid, MaskLayout, MaskPair, from_plain, to_json
from lori_core.service.mask_views import BINS, MaskViews, dense_beside
from lori_core.service.shelf import Shelf
from lori_core.storage.adapter_files import load_adapter, load_entries, save_adapter
from lori_core.storage.mask_files import load_mask
from lori_core.study.runs import Run
from lori_core.translate import LANGUAGES

MODULE = "model.layers.1.self_attn.v_proj"
LEFT, RIGHT = "ready/math/lori_s", "ready/code/lori_s"


@pytest.fixture
def looks(tmp_path) -> MaskViews:
    for name in ("store", "runs", "exports"):
        (tmp_path / name).mkdir()
    return MaskViews(Shelf(tmp_path / "store", tmp_path / "runs", tmp_path / "exports"))


def tall(outputs: int, rank: int = 3) -> Adapter:
    """One module whose B is longer than there are bins."""
    made = tiny.filled(tiny.start(tiny.base(), masks=tiny.halves(tiny.base())))
    factors = next(iter(made.factors.values()))
    mask = torch.rand(outputs, rank, generator=torch.Generator().manual_seed(0)) < 0.3
    one = replace(factors, A=factors.A[:rank].contiguous(), values=torch.ones(int(mask.sum())), mask=mask)
    return replace(made, factors={"m": one}, drawn_from=())


def test_B_is_read_without_A_as_it_is_with_A():
    folder = READY_MADE / "math" / "lori_s"
    masks, values = load_entries(folder)
    whole = load_adapter(folder)
    assert list(masks) == list(whole.factors)
    for module, factors in whole.factors.items():
        assert torch.equal(masks[module], factors.mask) and torch.equal(values[module], factors.values)


def test_the_layout_has_the_kept_fraction_of_each_module(looks):
    layout = from_plain(MaskLayout, looks.mask_layout(LEFT))
    masks = load_adapter(READY_MADE / "math" / "lori_s").masks
    assert layout.kept == pytest.approx({module: mask.float().mean().item() for module, mask in masks.items()})
    everywhere = torch.cat([mask.flatten() for mask in masks.values()])
    assert layout.sparsity == pytest.approx(1 - everywhere.float().mean().item())
    assert layout.outputs == {module: len(mask) for module, mask in masks.items()} and layout.calibrated


@pytest.mark.parametrize("sparsity", [0.5, 0.97])
def test_another_sparsity_is_the_mask_of_the_same_dense_run(looks, sparsity):
    dense = load_adapter(READY_MADE / "math" / "lori_d")
    masks = magnitude_masks({module: factors.B for module, factors in dense.factors.items()}, sparsity)
    layout = from_plain(MaskLayout, looks.mask_layout(LEFT, sparsity))
    assert layout.kept == pytest.approx({module: mask.float().mean().item() for module, mask in masks.items()})
    file = load_mask(looks.mask_file(LEFT, sparsity))
    assert all(torch.equal(file.masks[module], mask) for module, mask in masks.items())


def test_the_file_of_a_mask_holds_the_trained_bits(looks):
    first, path = looks.mask_file(LEFT), looks.mask_file(LEFT)  # asked for again, it is made again
    assert first == path
    masks = load_adapter(READY_MADE / "math" / "lori_s").masks
    assert all(torch.equal(mask, masks[module]) for module, mask in load_mask(path).masks.items())
    assert [each.name for each in looks.shelf.exports.iterdir()] == ["math-lori_s-0.900-mask.safetensors"]


def test_the_slider_at_the_trained_sparsity_shows_the_trained_mask(looks):
    """The dense run was rounded when it was kept, so that a mask made from it again would differ at the threshold."""
    assert looks.mask_layout(LEFT, 0.9) == looks.mask_layout(LEFT)
    assert looks.mask_grid([LEFT], MODULE, 0.9) == looks.mask_grid([LEFT], MODULE)
    assert looks.mask_layout(LEFT, 0.89) != looks.mask_layout(LEFT)


def test_the_bits_come_as_arrays_for_numpy_too(looks):
    masks = load_adapter(READY_MADE / "math" / "lori_s").masks
    with np.load(looks.mask_file(LEFT, form="npz")) as found:
        assert set(found) == set(masks)
        assert all(
            found[module].dtype == bool and (found[module] == mask.numpy()).all() for module, mask in masks.items()
        )


def test_two_masks_share_what_both_keep(looks):
    pair = from_plain(MaskPair, looks.mask_pair([LEFT, RIGHT]))
    left, right = (load_adapter(READY_MADE / task / "lori_s").masks for task in ("math", "code"))
    for module, mask in left.items():
        rows = zip(mask.flatten().tolist(), right[module].flatten().tolist(), strict=True)
        counted = [(a and b, a and not b, b and not a) for a, b in rows]
        expected = [sum(column) for column in zip(*counted, strict=True)]
        assert [pair.shared[module], pair.left[module], pair.right[module]] == expected
        assert pair.entries[module] == mask.numel()


def test_two_masks_of_one_task_are_told_apart(looks):
    looks.shelf.store.save(load_adapter(READY_MADE / "math" / "lori_s"), "math")
    references = [LEFT, "store/math@1"]
    pair = from_plain(MaskPair, looks.mask_pair(references))
    grid = from_plain(MaskGrid, looks.mask_grid(references, MODULE, count=64))
    assert pair.names == grid.names == ("math · ready/math/lori_s", "math@1")
    drawing = figures.mask_grid(grid)
    assert "math · ready/math/lori_s / math@1" in drawing.title
    assert len({row[0] for row in drawing.rows}) == 3
    long = tuple(f"questions of our customers {n}" for n in (1, 2))
    assert len({row[0] for row in figures.mask_grid(replace(grid, names=long)).rows}) == 3


def test_a_long_B_is_pooled_to_the_kept_fractions_of_its_cells(looks):
    looks.shelf.store.save(tall(1300), "tall", "bf16")
    grid = from_plain(MaskGrid, looks.mask_grid(["store/tall@1"], "m"))
    mask = tall(1300).masks["m"]
    assert grid.step == 3 and len(grid.by_output["kept"]) == 434 <= BINS
    for cell in (0, 200, 433):  # the last one has a single output
        part = mask[3 * cell : 3 * cell + 3].float()
        assert [row[cell] for row in grid.panels["kept"]] == pytest.approx(part.mean(dim=0).tolist(), abs=1e-4)
        assert grid.by_output["kept"][cell] == pytest.approx(part.mean().item(), abs=1e-4)
    assert grid.by_rank["kept"] == pytest.approx(mask.float().mean(dim=0).tolist(), abs=1e-4)


@pytest.mark.parametrize(("first", "there"), [(0, 128), (1200, 100), (10**6, 1)])
def test_a_stretch_has_the_exact_bits(looks, first, there):
    looks.shelf.store.save(tall(1300), "tall", "bf16")
    grid = from_plain(MaskGrid, looks.mask_grid(["store/tall@1"], "m", first=first, count=128))
    assert grid.step == 1 and grid.first == min(first, 1299)
    bits = tall(1300).masks["m"][grid.first : grid.first + 128]
    assert len(bits) == there and torch.equal(torch.tensor(grid.panels["kept"]).T, bits.float())


def test_the_three_panels_of_two_masks_are_apart_and_together_either(looks):
    grid = from_plain(MaskGrid, looks.mask_grid([LEFT, RIGHT], MODULE, count=64))
    shared, left, right = (torch.tensor(grid.panels[panel]) for panel in ("shared", "left", "right"))
    one, other = (load_adapter(READY_MADE / task / "lori_s").masks[MODULE][:64].T for task in ("math", "code"))
    assert torch.equal(shared + left, one.float()) and torch.equal(shared + right, other.float())


def test_the_dense_run_is_found_beside_what_a_run_keeps(tmp_path):
    run = Run.create(tmp_path, "study", {})
    base = tiny.base()
    sparse = tiny.filled(tiny.start(base, masks=tiny.halves(base)))
    dense = tiny.filled(tiny.start(base))
    for name, adapter in {
        "single-lori_s-1-0": sparse,
        "single-lori_s_shared-1-0": sparse,
        "single-lori_s-2-0": sparse,
        "single-lori_d-1-0": dense,
        "calibrate-own-1-0-dense": dense,
        "calibrate-shared-1-0-dense": dense,
        "merged": replace(dense, record={"merge": {"method": "concat"}}),
    }.items():
        save_adapter(adapter, run.path / "adapters" / name)
    found = {folder.name: dense_beside(folder) for folder in (run.path / "adapters").iterdir()}
    names = {name: None if place is None else place.name for name, place in found.items()}
    assert names["single-lori_s-1-0"] == "calibrate-own-1-0-dense"
    assert names["single-lori_s_shared-1-0"] == "calibrate-shared-1-0-dense"
    assert names["single-lori_d-1-0"] == "single-lori_d-1-0"
    assert names["single-lori_s-2-0"] is None and names["merged"] is None


def test_what_cannot_be_shown_is_refused(looks):
    looks.shelf.store.save(tall(20), "tall", "bf16")
    with pytest.raises(AdapterError) as caught:
        looks.mask_layout("store/tall@1", 0.5)
    assert caught.value.key == "no_calibration"
    with pytest.raises(IncompatibleAdapters) as differ:
        looks.mask_pair(["store/tall@1", LEFT])
    assert differ.value.key == "modules_differ"


@pytest.mark.parametrize("language", LANGUAGES)
def test_figures_say_the_numbers_that_were_given(looks, language):
    layout = from_plain(MaskLayout, looks.mask_layout(LEFT))
    drawing = figures.mask_layout(layout, language)
    assert len(drawing.rows) == len(layout.kept) and max(layout.kept, key=lambda m: layout.kept[m]) in drawing.summary
    pair = MaskPair(("<b>", "two"), {"m.0.a": 30}, {"m.0.a": 10}, {"m.0.a": 20}, {"m.0.a": 100})
    drawing = figures.mask_pair(pair, language)
    assert "1.5" in drawing.summary and "0.500" in drawing.summary  # 30 against 40 · 50 / 100; 30 of 60
    assert drawing.rows[0][-1] == "1.50"
    for count in (None, 64):
        grid = from_plain(MaskGrid, looks.mask_grid([LEFT, RIGHT], MODULE, count=count))
        drawing = figures.mask_grid(grid, language)
        assert len(drawing.rows) == 3 * 32 and drawing.summary and "<b>" not in str(drawing.figure.to_json())


def test_a_click_names_the_module_of_its_cell(looks):
    kept = looks.mask_layout(LEFT)["kept"]
    figure = figures.mask_layout(from_plain(MaskLayout, looks.mask_layout(LEFT))).figure
    grid = figure.to_plotly_json()["data"][0]["z"]
    for module, fraction in kept.items():
        places = [(row, column) for row, cells in enumerate(grid) for column, cell in enumerate(cells)]
        (found,) = [place for place in places if figures.module_at(kept, *place) == module]
        assert grid[found[0]][found[1]] == fraction
    assert asdict(from_plain(MaskLayout, looks.mask_layout(LEFT)))["kept"] == kept


def test_the_random_mask_beside_one_keeps_as_many_in_each_module_and_shares_what_chance_gives(looks):
    pair = from_plain(MaskPair, looks.mask_pair([LEFT, "random"]))
    masks = load_adapter(READY_MADE / "math" / "lori_s").masks
    for module, mask in masks.items():
        kept = int(mask.sum())
        assert pair.shared[module] + pair.right[module] == pair.shared[module] + pair.left[module] == kept
    expected = sum(float(mask.sum()) ** 2 / mask.numel() for mask in masks.values())
    assert sum(pair.shared.values()) == pytest.approx(expected, rel=0.1)
    grid = from_plain(MaskGrid, looks.mask_grid([LEFT, "random"], MODULE))
    assert grid.names == ("math", "random") and sum(grid.by_rank["shared"] + grid.by_rank["left"]) > 0


@pytest.mark.parametrize("sparsity", [None, 0.75])
def test_the_histogram_has_every_entry_once_and_the_threshold_is_the_smallest_kept(looks, sparsity):
    found = from_plain(Magnitudes, looks.mask_magnitudes(LEFT, sparsity))
    dense = load_adapter(READY_MADE / "math" / "lori_d")
    B = torch.cat([factors.B.flatten() for factors in dense.factors.values()]).abs()
    kept = torch.cat([mask.flatten() for mask in looks._masks(LEFT, sparsity).values()])
    assert sum(found.kept) == int(kept.sum()) and sum(found.held) + found.smaller == int((~kept).sum())
    assert found.threshold == pytest.approx(B[kept].min().item())
    assert found.larger == int((B[~kept] >= found.threshold).sum()) and found.larger < 0.01 * len(B)
    assert found.smaller == int((B[~kept].double().log10() < found.edges[0]).sum())
    last = (B.double().log10() >= found.edges[-2]) & kept
    assert found.kept[-1] == int(last.sum())


def test_without_a_dense_run_there_is_no_histogram(looks):
    looks.shelf.store.save(load_adapter(READY_MADE / "math" / "lori_s"), "alone")
    with pytest.raises(AdapterError) as caught:
        looks.mask_magnitudes("store/alone@1")
    assert caught.value.key == "no_calibration"


def test_a_calibration_is_replayed_from_its_report_in_a_study_and_in_a_job(looks, tmp_path):
    made = tiny.filled(tiny.start(tiny.base(), masks=tiny.halves(tiny.base())))
    report = calibration(random.Random(0), "math")
    study, job = (Run.create(tmp_path / "runs", kind, {}) for kind in ("study", "train"))
    for run, name, place in (
        (study, "single-lori_s_conditioned-1-0", "units/calibrate-conditioned-1-0.json"),
        (job, "trained", "calibration.json"),
    ):
        save_adapter(made, run.path / "adapters" / name)
        reference = f"run/{run.path.name}/{name}"
        assert looks.mask_replay(reference) is None
        (run.path / place).parent.mkdir(exist_ok=True)
        (run.path / place).write_text(to_json(report), encoding="utf-8")
        assert from_plain(Calibration, looks.mask_replay(reference)) == report
    assert looks.mask_replay(LEFT) is None


@pytest.mark.parametrize("sparsity", [None, 0.75])
def test_the_python_that_is_copied_has_the_same_masks(looks, sparsity, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "runs", "study", {})
    shutil.copytree(READY_MADE / "math" / "lori_s", run.path / "adapters" / "single-lori_s-0-0")
    shutil.copytree(READY_MADE / "math" / "lori_d", run.path / "adapters" / "calibrate-own-0-0-dense")
    looks.shelf.store.save(load_adapter(READY_MADE / "math" / "lori_d"), "dense")
    monkeypatch.chdir(tmp_path)
    for reference in (LEFT, f"run/{run.path.name}/single-lori_s-0-0", "store/dense@1"):
        said: dict[str, Any] = {}
        exec(looks.mask_code(reference, "random", sparsity), said)
        expected = looks._masks(reference, sparsity)
        assert all(torch.equal(said["masks"][module], mask) for module, mask in expected.items())
        _, (_, beside) = looks._all([reference, "random"], sparsity)
        assert all(torch.equal(said["random"][module], mask) for module, mask in beside.items())


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_bits_of_two_masks_are_one_picture_of_three_colours(looks, language):
    grid = from_plain(MaskGrid, looks.mask_grid([LEFT, RIGHT], MODULE, count=64))
    drawing = figures.mask_grid(grid, language)
    traces: list[Any] = list(drawing.figure.data)
    (heatmap,) = (trace for trace in traces if trace.type == "heatmap")
    one, other = (load_adapter(READY_MADE / task / "lori_s").masks[MODULE][:64].T for task in ("math", "code"))
    expected = (one & ~other) + 2 * (other & ~one).int() + 3 * (one & other).int()
    assert torch.equal(torch.tensor(heatmap.z), expected.int())
    assert len({colour for _, colour in heatmap.colorscale}) == 4 and (heatmap.zmin, heatmap.zmax) == (-0.5, 3.5)
    assert "math" in heatmap.colorbar.ticktext[0] and "code" in heatmap.colorbar.ticktext[1]
    far = figures.mask_grid(replace(grid, step=2), language)
    pooled: list[Any] = list(far.figure.data)
    assert sum(trace.type == "heatmap" for trace in pooled) == 3  # cells of several entries have shares, not colours


@pytest.mark.parametrize("language", LANGUAGES)
def test_figures_of_a_calibration_say_step_threshold_and_counts(language):
    report = calibration(random.Random(0), "math")
    first, last = (figures.mask_replay(report, place, language) for place in (0, len(report.looks) - 1))
    assert "20" in first.title and str(report.looks[-1].step) in last.title and first.title != last.title
    assert f"{report.looks[-1].jaccard:.2f}" in last.summary
    found = Magnitudes("math", 0.5, (-3.0, -2.0, -1.0), (0, 3), (1, 1), 1, 0.02, 1)
    drawing = figures.magnitudes(found, language)
    assert "0.02" in drawing.summary and len(drawing.rows) == 2
    drawn: list[Any] = list(drawing.figure.data)
    assert {trace.meta: trace.y for trace in drawn} == {"held": (1, 1), "kept": (0, 3)}
    assert drawing.figure.to_dict()["layout"]["shapes"][0]["x0"] == pytest.approx(-1.69897)
