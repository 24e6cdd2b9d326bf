"""benchmarks/real.py on a tiny base: every unit, going on after a stop, and the summary."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import tiny

from benchmarks import real, real_parts
from benchmarks.real_parts import Bench, Settings, units
from benchmarks.record import record

SETTINGS = Settings("tiny", "float32", 4, 0.75, steps=2, batch_size=4, max_length=32, validation=4, test=5)
TASKS = {name: replace(tiny.task("after" if name in ("nlu", "code") else "before"), name=name) for name in real.SPECS}


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Bench:
    bench = Bench(SETTINGS, tiny.base(), TASKS, tmp_path_factory.mktemp("real"))
    for unit in units(bench, (0, 1)).values():
        unit()
    return bench


def test_every_unit_is_kept_under_its_name_and_made_once(done, capsys):
    planned = units(done, (0, 1))
    assert {path.stem for path in done.folder.glob("*.json")} == planned.keys()
    before = {path: path.stat().st_mtime_ns for path in done.folder.glob("*.json")}
    for unit in planned.values():
        unit()
    assert {path: path.stat().st_mtime_ns for path in done.folder.glob("*.json")} == before
    assert capsys.readouterr().out == ""


def test_one_unit_alone_makes_what_it_needs_and_that_is_gone_on_with(done, tmp_path):
    bench = replace(done, folder=tmp_path)
    alone = units(bench, (0, 1))["merged-lori_s-1"]()
    whole = json.loads((done.folder / "merged-lori_s-1.json").read_text())
    assert alone["whole"]["loss_retention"] == whole["whole"]["loss_retention"]
    assert not (tmp_path / "single-lora-1-nlu.json").exists()


def test_what_a_merge_keeps_is_of_the_losses_that_its_units_hold(done):
    results = real.results_in(done.folder)
    merge, loss = results["merged-lora-0"]["whole"], {}
    for task in TASKS:
        base, alone = results[f"base-{task}"], results[f"single-lora-0-{task}"]
        ends = [each["test"]["loss"]["value"] for each in (base, alone)]
        loss[task] = (ends[0] - merge["scores"][task]["loss"]["value"]) / (ends[0] - ends[1])
    assert merge["loss_retention"] == pytest.approx({task: loss[task] for task in merge["loss_retention"]})


def summaries(folder: Path) -> dict[int, dict[str, Any]]:
    return {seed: real.summary(real.results_in(folder), seed) for seed in (0, 1)}


def test_the_summary_says_the_mean_and_the_worst_task_of_each_seed(done):
    for seed, found in summaries(done.folder).items():
        kept = real.results_in(done.folder)[f"merged-lori_d-{seed}"]["searched"]["loss_retention"].values()
        assert found.keys() == real_parts.VARIANTS.keys()
        assert found["lori_d"]["searched"] == pytest.approx({"mean": fmean(kept), "worst": min(kept)})


def test_what_several_seeds_have_is_said_over_seeds_and_what_one_has_is_not(done):
    by_seed = summaries(done.folder)
    del by_seed[1]["lora"]["removal"]
    found = real.together(by_seed)
    whole = [found_of_seed["lori_d"]["whole"]["mean"] for found_of_seed in by_seed.values()]
    assert found["lori_d"]["whole_mean"]["seeds"] == whole and found["lori_d"]["whole_mean"]["mean"] == fmean(whole)
    assert "removal_mean" not in found["lora"] and "removal_mean" in found["lori_s"]


def test_a_conditioned_A_is_compared_with_the_better_of_lora_and_lori_s_of_the_same_seed(done):
    by_seed = summaries(done.folder)
    found = real.more_than_rivals(by_seed)
    assert found.keys() == {"lori_d_conditioned", "lori_s_conditioned"}
    expected = [
        of["lori_s_conditioned"]["whole"]["mean"] - max(of[each]["searched"]["mean"] for each in ("lora", "lori_s"))
        for of in by_seed.values()
    ]
    assert found["lori_s_conditioned"]["seeds"] == pytest.approx(expected)


def test_masks_of_short_runs_and_drawn_ones_are_measured_beside_the_dense_runs(done):
    results = real.results_in(done.folder)
    found = real.masks_found(results)
    assert found.keys() == set(real_parts.MASK_TASKS)
    for task, kinds in found.items():
        assert kinds.keys() == set(real_parts.MASK_KINDS)
        short, own = (
            fmean(results[f"{name}-{seed}-{task}"]["test"]["loss"]["value"] for seed in (0, 1))
            for name in ("mask-early", "single-lori_s")
        )
        assert kinds["early"]["more_loss"]["mean"] == pytest.approx(short - own)


def test_units_of_earlier_runs_are_kept_and_their_intervals_too(done, tmp_path, monkeypatch):
    here = real.results_in(done.folder)
    monkeypatch.setattr(real, "SEEDS", (0, 1))
    content = {"units": {"single-lora-2-nlu": {"kept": True}}, "intervals": {"2": {"of_lora": {}}}}
    record("real", asdict(SETTINGS), content, tmp_path)
    found = real.results(here, real.earlier(tmp_path, SETTINGS))
    assert found["units"].keys() == {*here, "single-lora-2-nlu"}
    assert found["intervals"].keys() == {"0", "1", "2"}
    record("real", asdict(replace(SETTINGS, steps=3)), content, tmp_path)
    alone = real.results(here, real.earlier(tmp_path, SETTINGS))
    assert alone["units"].keys() == here.keys() and alone["intervals"].keys() == {"0", "1"}


def test_the_intervals_hold_the_means_and_those_of_lora_beside_itself_have_no_width(done):
    results = real.results_in(done.folder)
    found = real.intervals(results, 0)
    assert found["of_lora"]["lora"] == pytest.approx([1.0, 1.0])
    kept = results["merged-lori_d-0"]["whole"]["scores"]
    base, alone = (
        {task: results[f"{unit}-{task}"]["test"]["loss"]["value"] for task in kept}
        for unit in ("base", "single-lori_d-0")
    )
    shares = [(base[task] - kept[task]["loss"]["value"]) / (base[task] - alone[task]) for task in kept]
    low, high = found["kept"]["merged-lori_d-0 whole"]["mean"]
    assert low < fmean(shares) < high
    assert found["above_random"].keys() == {"lori_d_conditioned", "lori_s_conditioned"}


def test_of_a_sequence_is_said_what_old_tasks_keep_of_what_they_had_and_new_ones_gain_of_loras(done):
    results = real.results_in(done.folder)
    run, found, ends = results["sequence-lori_d-0"], real.summary(results, 0), real.intervals(results, 0)["sequence"]
    base = [results[f"base-{task}"]["test"]["loss"]["value"] for task in run["order"]]
    lora = [results[f"single-lora-0-{task}"]["test"]["loss"]["value"] for task in run["order"]]
    loss = [[score["loss"]["value"] for score in row] for row in run["scores"]]
    kept = [(base[i] - loss[3][i]) / (base[i] - loss[i][i]) for i in range(3)]
    new = [(base[i] - loss[i][i]) / (base[i] - lora[i]) for i in range(1, 4)]
    expected = {"old_kept": fmean(kept), "worst": min(kept), "new_learned": fmean(new)}
    assert found["lori_d"]["sequence"] == pytest.approx(expected)
    assert ends.keys() == real_parts.VARIANTS.keys()
    assert all(low <= high for each in ends.values() for low, high in each.values())


def test_the_merged_file_holds_nothing_of_single_examples(done):
    text = json.dumps(real.without_examples(real.results_in(done.folder)))
    assert not any(f'"{name}"' in text for name in real.BY_EXAMPLE)


def test_the_rate_is_the_smallest_whose_loss_is_as_good_as_the_best(done, tmp_path):
    bench = replace(done, folder=tmp_path)
    losses = {3e-4: (2.0, 0.01), 1e-3: (1.52, 0.5), 3e-3: (1.5, 0.5)}
    for rate, (value, half) in losses.items():
        for task in real_parts.RATE_TASKS:
            loss = {"value": value, "low": value - half, "high": value + half}
            path = tmp_path / f"rate-lora-{rate:g}-{task}.json"
            path.write_text(json.dumps({"validation": {"loss": loss}}))
    assert real_parts.best_rate(bench, "lora") == 1e-3


def test_units_of_other_settings_are_not_mixed(monkeypatch, tmp_path):
    base = tiny.saved_base(tmp_path / "base").name
    monkeypatch.setattr(real, "SPECS", {})
    monkeypatch.setenv("LORI_DATA", str(tmp_path))
    for steps, refused in ((2, False), (2, False), (3, True)):
        monkeypatch.setattr(
            "sys.argv", ["real", "--base", base, "--device", "cpu", "--steps", str(steps), "--out", str(tmp_path / "o")]
        )
        if refused:
            with pytest.raises(SystemExit, match="other settings"):
                real.opened(real.arguments())
        else:
            assert real.opened(real.arguments()).settings.steps == steps


def test_the_tasks_are_real_rows_with_a_response_each():
    if "LORI_DATA" not in os.environ:
        pytest.skip("LORI_DATA names no folder of real rows")
    for name, spec in real.SPECS.items():
        task = real.load_task(f"{name}={Path(os.environ['LORI_DATA']) / spec}")
        assert all(task.examples(split)[0].response for split in ("train", "validation", "test"))
        assert task.scorer == ("choice" if name == "nlu" else "likelihood")
