"""Footprints of a job: measured or given, kept beside the run, and the same when it goes on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from lori_core.bases.load import load_base
from lori_core.config import AdapterConfig
from lori_core.errors import LoRIError
from lori_core.method.conditioned import Conditions, conditioned
from lori_core.results import MergeTrial, from_json
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.storage.footprint_files import load_footprint, save_footprint
from lori_core.study.jobs import execute
from lori_core.study.runs import Run
from lori_core.study.specs import StudyConfig
from lori_core.study.study import open_study
from lori_core.tasks.registry import load_task
from lori_core.training.footprints import task_footprint

CONDITIONED = AdapterConfig(rank=4, sparsity=0.75, projection="conditioned")


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> dict[str, Any]:
    """A base and two tasks on disk, and settings of training short enough for a test."""
    folder = tmp_path_factory.mktemp("given")
    tiny.saved_base(folder / "base")
    for name, step in (("after", 1), ("before", -1)):
        rows = [(f"{name} {a}{b}:", chr(ord(b) + step)) for a in "abcd" for b in "bcdefghijk"]
        text = "".join(json.dumps({"prompt": prompt, "response": text}) + "\n" for prompt, text in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    train = {method: config.model_dump() for method, config in tiny.by_method(steps=4, checkpoint_every=2).items()}
    few = {"validation_examples": 2, "test_examples": 2}
    return {"base": str(folder / "base"), "precision": "fp32", "device": "cpu", "train": train, **few}


def spec(given: dict[str, Any], name: str) -> str:
    return f"{name}={Path(given['base']).parent / name}.jsonl"


def stored(
    given: dict[str, Any], folder: Path, name: str = "before", change: Callable[[Any], Any] = lambda x: x
) -> str:
    """The footprint of a task on a base, as `lori footprint` leaves it."""
    base = load_base(given["base"], device="cpu", dtype="fp32")
    save_footprint(change(task_footprint(base, load_task(spec(given, name)))), folder)
    return str(folder)


def train_job(given: dict[str, Any], **more: Any) -> dict[str, Any]:
    return given | {"task": spec(given, "after"), "adapter": CONDITIONED.model_dump(), "method": "lori_d"} | more


def refused(run: Run) -> str:
    with pytest.raises(LoRIError) as caught:
        execute(run)
    assert caught.value.in_language("en") != caught.value.in_language("ja")
    return caught.value.key


@pytest.mark.parametrize("method", ["lori_d", "lori_s"])
def test_an_adapter_is_trained_against_a_task_under_the_A_that_the_kept_footprints_give(given, tmp_path, method):
    run = Run.create(tmp_path, "train", train_job(given, method=method, against=[spec(given, "before")]))
    folder = execute(run)
    assert folder is not None
    own, other = (load_footprint(run.path / "footprints" / name) for name in ("0", "1"))
    assert (own.name, other.name) == ("after", "before")
    adapter = load_adapter(folder)
    expected = conditioned(Conditions(own, [other]), adapter.factors, 4, CONDITIONED.ridge)
    assert all(torch.equal(factors.A, expected[module]) for module, factors in adapter.factors.items())
    sources = adapter.record["conditioned"]
    assert [each["id"] for each in (sources["own"], *sources["others"])] == [own.record["id"], other.record["id"]]
    assert adapter.config.method == method


def test_a_footprint_that_was_measured_earlier_gives_the_same_A_and_a_copy_stays_beside_the_run(given, tmp_path):
    earlier = stored(given, tmp_path / "before")
    runs = [
        Run.create(tmp_path / "runs", "train", train_job(given, **against))
        for against in ({"against": [spec(given, "before")]}, {"footprints": [earlier]})
    ]
    left, right = (load_adapter(str(execute(run))) for run in runs)
    assert all(torch.equal(factors.A, right.factors[module].A) for module, factors in left.factors.items())
    assert load_footprint(runs[1].path / "footprints" / "given-0").name == "before"


def test_a_run_that_goes_on_reads_the_footprints_that_it_kept(given, tmp_path):
    earlier = stored(given, tmp_path / "before")
    run = Run.create(tmp_path / "runs", "train", train_job(given, footprints=[earlier]))
    execute(run)
    kept = {path: path.read_bytes() for path in (run.path / "footprints").rglob("*") if path.is_file()}
    weights = (run.path / "adapters" / "trained" / "lori.safetensors").read_bytes()
    (run.path / "result.json").unlink()
    (run.path / "events.jsonl").unlink()
    shutil.rmtree(earlier)
    execute(Run.open(run.path))
    assert {path: path.read_bytes() for path in kept} == kept
    assert (run.path / "adapters" / "trained" / "lori.safetensors").read_bytes() == weights


def test_an_A_that_cannot_be_conditioned_is_refused_before_the_base_is_loaded(given, tmp_path):
    drawn = AdapterConfig(rank=4, sparsity=0.75).model_dump()
    wrong = {
        "conditioned_needs_footprints": train_job(given, base="/no/such/base"),
        "footprints_without_use": train_job(given, base="/no/such/base", adapter=drawn, against=["math"]),
    }
    for key, job in wrong.items():
        assert refused(Run.create(tmp_path, "train", job)) == key


def study_of(given: dict[str, Any], adapter: AdapterConfig, *methods: str, **more: Any) -> StudyConfig:
    tasks = [spec(given, name) for name in ("after", "before")]
    return StudyConfig(**given | {"tasks": tasks, "methods": methods, "adapter": adapter} | more)


def test_a_study_whose_one_A_is_to_be_conditioned_is_refused_before_the_base_is_scored(given, tmp_path):
    job = study_of(given, CONDITIONED, "lori_d").model_dump(mode="json")
    run = Run.create(tmp_path, "study", job)
    assert refused(run) == "conditioned_is_a_method"
    assert {event["kind"] for event in run.events()} == {"state"}


def test_removal_is_refused_before_training_where_footprints_cannot_know_what_an_A_reads(given, tmp_path):
    """Of 1040 inputs they hold 256 random directions, in whose span no A lies that was not made of them."""
    config = AutoConfig.from_pretrained(given["base"])
    config.intermediate_size = 1040
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "wide")
    tiny.byte_tokenizer().save_pretrained(tmp_path / "wide")
    on_wide: dict[str, Any] = {"base": str(tmp_path / "wide"), "merge_methods": ["concat", "removal"]}
    drawn = AdapterConfig(rank=4, sparsity=0.75)
    for method in ("lora", "lori_d", "lori_s"):
        job = study_of(given, drawn, method, "lori_d_conditioned", **on_wide)
        run = Run.create(tmp_path / "runs", "study", job.model_dump(mode="json"))
        assert refused(run) == "removal_of_wide_input"
        assert {event["kind"] for event in run.events()} <= {"state", "base"}
    possible = [
        study_of(given, drawn, "lori_s_conditioned", **on_wide),
        study_of(given, drawn.changed(directions=1040), "lori_d", **on_wide),
        study_of(given, drawn.changed(target_modules=("q_proj",)), "lori_d", **on_wide),
        study_of(given, drawn, "lori_d", **on_wide | {"tasks": [spec(given, "after")]}),
        study_of(given, drawn, "lori_d", **on_wide | {"merge_methods": ["concat"]}),
    ]
    for study in possible:
        open_study(study, tmp_path / "open")


def test_what_it_shall_not_read_must_be_another_task_of_this_base(given, tmp_path):
    def of_another_base(measured: Any) -> Any:
        measured.record["base"] = measured.record["base"] | {"fingerprint": "0" * 64}
        return measured

    other = stored(given, tmp_path / "other", change=of_another_base)
    wrong = {
        "same_task_twice": {"against": [spec(given, "after")]},
        "footprint_of_other_base": {"footprints": [other]},
        "no_footprint": {"footprints": [str(tmp_path)]},
    }
    for key, against in wrong.items():
        assert refused(Run.create(tmp_path / "runs", "train", train_job(given, **against))) == key


@pytest.fixture
def pair(given, tmp_path) -> list[str]:
    """Folders of two adapters of the two tasks."""
    base, folders = load_base(given["base"], device="cpu", dtype="fp32"), []
    for seed, name in enumerate(("after", "before")):
        folders.append(str(tmp_path / name))
        save_adapter(tiny.strong(base, seed, name), folders[-1])
    return folders


def test_a_merge_by_removal_takes_a_footprint_of_each_task(given, pair, tmp_path):
    footprints = [stored(given, tmp_path / f"{name}-footprint", name) for name in ("after", "before")]
    job = {"adapters": pair, "method": "removal", "weights": [1, 1], "options": {"ridge": 0.001}}
    run = Run.create(tmp_path / "runs", "merge", job | {"footprints": footprints})
    folder = execute(run)
    assert folder is not None
    said = load_adapter(folder).record["merge"]
    assert [each["name"] for each in said["footprints"]] == ["after", "before"]
    assert said["options"] == {"ridge": 0.001}
    assert refused(Run.create(tmp_path / "runs", "merge", job)) == "needs_footprints"
    assert refused(Run.create(tmp_path / "runs", "merge", job | {"footprints": footprints[:1]})) == "footprints_count"


def test_a_trial_of_removal_measures_its_tasks_where_no_footprints_are_given(given, pair, tmp_path):
    merge = {"adapters": pair, "method": "removal", "weights": [1, 1]}
    where = {key: given[key] for key in ("base", "precision", "device", "validation_examples", "test_examples")}
    job = where | {"merge": merge, "tasks": [spec(given, name) for name in ("after", "before")]}
    run = Run.create(tmp_path / "runs", "merge_trial", job)
    folder = execute(run)
    assert folder is not None
    ids = [load_footprint(run.path / "footprints" / name).record["id"] for name in ("0", "1")]
    assert [each["id"] for each in load_adapter(folder).record["merge"]["footprints"]] == ids
    assert from_json(MergeTrial, run.result()).merge == "removal"
