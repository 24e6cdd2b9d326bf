"""The benchmark of masks: what its cheap scores add up."""

import pytest

from benchmarks import masks
from benchmarks.masks import CHEAP, KINDS, together
from benchmarks.record import RESULTS, results_of
from lori_core.method.masks import kept_count, sparsity_of
from lori_core.translate import LANGUAGES, translate


@pytest.mark.parametrize("kind", CHEAP)
def test_a_cheap_mask_keeps_as_many_entries_as_the_own_one(kind: str):
    found = masks.masks_of("math", 0, kind)
    entries = sum(mask.numel() for mask in found.values())
    assert sum(int(mask.sum()) for mask in found.values()) == kept_count(entries, 0.9)
    assert sparsity_of(found) == pytest.approx(0.9, abs=1e-4)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_form_says_what_short_calibrations_were_measured_to_lose(language: str):
    lost = results_of(RESULTS / "masks.json")["scores"]
    said = translate("app.advanced.calibration_info", language)
    assert all(f"{100 * lost[kind]['less_than_own']['mean']:.1f}" in said for kind in ("early", "one_pass"))


def test_the_parts_of_a_mask_s_gain_add_up_to_the_whole():
    scores = {kind: 0.9 - 0.01 * place for place, kind in enumerate(KINDS)}
    rows = {
        (task, seed, kind): {"score": scores[kind] + 0.001 * seed, "jaccard": 0.5}
        for task in masks.TASKS
        for seed in (0, 1)
        for kind in KINDS
    }
    gain = together(rows, (0, 1))["gain"]
    parts = gain["density"]["mean"] + gain["position"]["mean"]
    assert gain["whole"]["mean"] == pytest.approx(parts) == pytest.approx(scores["own"] - scores["random"])
