"""benchmarks/gpu.py on a tiny model, as a machine runs it that has no more than training needs; one part failing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from benchmarks import gpu, gpu_parts
from benchmarks.subjects import floor, lori, peft_lora, put_in, step
from lori_core.bases.layer import LoRILinear

ABSENT = ("datasets", "gradio", "plotly", "rich", "typer")
REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is_gradient_checkpointing. is deprecated:FutureWarning"
)  # PEFT asks for it


def test_it_runs_without_what_only_the_command_line_and_reports_need(tmp_path):
    start = "runpy.run_module('benchmarks.gpu', run_name='__main__')"
    code = f"import sys, runpy; sys.modules |= dict.fromkeys({ABSENT}); {start}"
    command = [sys.executable, "-c", code, "--tiny", "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    results = json.loads((tmp_path / "gpu.json").read_text())["results"]
    assert results.keys() == {"base", *gpu.parts_of(gpu.TINY)}
    assert not [name for name, found in results.items() if "error" in found or "skipped" in found]
    cases = [found for name, found in results.items() if name.startswith("steps")]
    assert len(cases) == len(gpu.TINY.cases)
    for case in cases:
        del case["part_seconds"]
        assert case.keys() == {"floor", "peft", "lori_d", "lori_s"}
        assert all(subject["fits"] and len(subject["each"]) == 8 for subject in case.values())
        assert case["lori_s"]["estimate_fits"]
        assert case["lori_s"]["estimate"]["trained"] < case["lori_d"]["estimate"]["trained"]
    assert results["threshold"]["kept"] == round(0.1 * results["threshold"]["entries"])


def test_a_part_that_fails_says_why_and_the_others_stay(tmp_path, monkeypatch: pytest.MonkeyPatch):
    def fails(bench: gpu_parts.Bench) -> dict[str, Any]:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(gpu, "parts_of", lambda size: {"first": fails, "threshold": gpu_parts.threshold})
    results = json.loads(gpu.measure(gpu.TINY, "cpu", tmp_path).read_text())["results"]
    assert results["first"]["error"] == "RuntimeError: out of luck"
    assert results["threshold"]["kept"] > 0
    monkeypatch.setattr(gpu, "BUDGET", 0)
    results = json.loads(gpu.measure(gpu.TINY, "cpu", tmp_path).read_text())["results"]
    assert "skipped" in results["threshold"]


def test_a_subject_trains_what_is_its_own_and_leaves_the_base_as_it_was():
    model = tiny.llama().train()
    config = tiny.CONFIG.changed(sparsity=0)
    subjects = [floor(), peft_lora(model, "peft", config), lori(model, "lori_d", config)]
    before, ids = tiny.weights(model), torch.arange(12).view(2, 6)
    for subject in subjects:
        trained = [p for layer in subject.layers.values() for p in layer.parameters() if p.requires_grad]
        start = [parameter.clone() for parameter in trained]
        with put_in(model, subject):
            step(model, ids, subject.optimizer)
        moved = [not torch.equal(a, b) for a, b in zip(start, trained, strict=True)]
        assert any(moved) is (subject.optimizer is not None)
        assert tiny.same_tensors(tiny.weights(model), before)
    assert not any(isinstance(module, LoRILinear) for module in model.modules())


def test_own_bytes_are_the_factors_and_their_moments():
    model = tiny.llama().train()
    subject = lori(model, "lori_d", tiny.CONFIG.changed(sparsity=0))
    with put_in(model, subject):
        step(model, torch.arange(12).view(2, 6), subject.optimizer)
    layers = [layer for layer in subject.layers.values() if isinstance(layer, LoRILinear)]
    A, B = sum(layer.A.numel() for layer in layers), sum(layer.shape.numel() for layer in layers)
    assert subject.own_bytes == 4 * A + 3 * 4 * B  # all of B moves: there is no index
