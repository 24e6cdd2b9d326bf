"""What a spec names is done in the run's folder, and a run that was interrupted ends in the same bytes."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from rich.console import Console

from lori_core.commands.tables import result_table
from lori_core.config import AdapterConfig
from lori_core.errors import ConfigError, IncompatibleAdapters, LoRIError, RunError, Stopped, StorageError
from lori_core.results import Calibration, ContinualResult, MergeTrial, SingleResult, from_json
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.storage.header import read_header
from lori_core.storage.mask_files import load_mask
from lori_core.storage.store import AdapterStore
from lori_core.study.jobs import execute
from lori_core.study.runs import Run
from lori_core.study.specs import TrainJob
from lori_core.training.hooks import Hooks

pytestmark = pytest.mark.usefixtures("processor")


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> dict[str, Any]:
    """A base on disk, and settings of training short enough for a test."""
    folder = tmp_path_factory.mktemp("given")
    tiny.llama().save_pretrained(folder / "base")
    tiny.byte_tokenizer().save_pretrained(folder / "base")
    for name in ("after", "before"):
        write_task(folder / f"{name}.jsonl", name)
    train = {method: config.model_dump() for method, config in tiny.by_method(steps=6, checkpoint_every=2).items()}
    adapter = AdapterConfig(rank=4, sparsity=0.75).model_dump()
    return {"base": str(folder / "base"), "precision": "fp32", "train": train, "adapter": adapter}


def write_task(path: Path, name: str) -> None:
    step = 1 if name == "after" else -1
    rows = [(f"{name} {a}{b}:", chr(ord(b) + step)) for a in "abcdefgh" for b in "bcdefghijk"]
    path.write_text("".join(json.dumps({"prompt": prompt, "response": text}) + "\n" for prompt, text in rows))


def spec(given: dict[str, Any], name: str) -> str:
    return f"{name}={Path(given['base']).parent / name}.jsonl"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def stop_at_step_3(run: Run, stage: str) -> None:
    seen: list[dict[str, Any]] = []
    hooks = Hooks(seen.append, lambda: any(e.get("stage") == stage and e.get("step") == 3 for e in seen))
    with pytest.raises(Stopped):
        execute(run, hooks)


def test_calibrate_leaves_the_dense_adapter_and_the_same_one_pruned_to_its_mask(given, tmp_path):
    run = Run.create(tmp_path, "calibrate", given | {"task": spec(given, "after")})
    assert execute(run) == run.path / "adapters" / "mask"
    dense, pruned = (load_adapter(run.path / "adapters" / name) for name in ("dense", "mask"))
    assert tiny.same_bits(pruned, dense.with_masks(pruned.masks))
    entries = sum(mask.numel() for mask in pruned.masks.values())
    assert pruned.trained_parameters == round(0.25 * entries)
    assert from_json(Calibration, run.result()).training.steps == 6
    assert run.state() == "finished"


def test_a_mask_made_earlier_gives_the_adapter_that_calibrating_here_gives(given, tmp_path):
    job = given | {"task": spec(given, "after")}
    calibrated, whole = Run.create(tmp_path, "calibrate", job), Run.create(tmp_path, "train", job)
    mask = execute(calibrated)
    used = Run.create(tmp_path, "train", job | {"mask": str(mask)})
    assert contents(execute(whole)) == contents(execute(used))  # type: ignore[reportArgumentType]
    single = from_json(SingleResult, whole.result())
    assert single.calibration and not from_json(SingleResult, used.result()).calibration
    assert 0 <= single.score.value <= 1


def test_a_mask_file_gives_the_adapter_that_calibrating_here_gives_and_names_its_id(given, tmp_path):
    job = given | {"task": spec(given, "after")}
    whole = Run.create(tmp_path, "train", job)
    expected = execute(whole)
    mask = load_mask(whole.path / "mask.safetensors")
    assert mask.record["task"] == "after" and mask.record["steps"] == 6 and mask.sparsity == pytest.approx(0.75)
    made = execute(Run.create(tmp_path, "train", job | {"mask": str(whole.path / "mask.safetensors")}))
    assert made and expected
    assert contents(made) == contents(expected)
    assert read_header(made)[0].mask == mask.id


def test_trained_adapters_and_their_merge_are_kept_in_a_store_with_scores_data_and_parents(given, tmp_path):
    where = {"store": str(tmp_path / "store")}
    for name in ("after", "before"):
        job = given | where | {"task": spec(given, name), "test_examples": 3, "validation_examples": 1, "seed": 1}
        execute(Run.create(tmp_path, "train", job))
    store = AdapterStore(tmp_path / "store")
    record = store.show("after").record
    assert [(score["split"], score["n"], score["seed"]) for score in record["scores"]] == [
        ("test", 3, 1),
        ("validation", 1, 1),
    ]
    assert record["base"]["fingerprint"] == tiny.base().fingerprint
    fingerprints = {store.show(name).record["data"]["fingerprint"] for name in ("after", "before")}
    assert len(fingerprints) == 2
    folders = [str(store.folder(name)) for name in ("after", "before")]
    execute(Run.create(tmp_path, "merge", where | {"adapters": folders, "weights": [0.5, 0.5]}))
    parents = store.show("merged").record["parents"]
    assert [parent["id"] for parent in parents] == [store.load(name).record["id"] for name in ("after", "before")]


def test_each_step_of_a_sequence_is_a_version_that_names_the_one_before(given, tmp_path):
    tasks = {"tasks": [spec(given, "after"), spec(given, "before")], "test_examples": 2}
    run = Run.create(tmp_path, "continual", given | tasks | {"store": str(tmp_path / "store")})
    execute(run)
    store = AdapterStore(tmp_path / "store")
    assert [version.reference for version in store.versions()] == ["after@1", "after+before@1"]
    (parent,) = store.show("after+before").record["parents"]
    assert parent == {"name": "after", "version": "after@1", "id": store.load("after").record["id"]}
    assert len(store.show("after+before").record["scores"]) == 2
    header = read_header(run.path / "adapters" / "after-1")[0]  # its A is drawn again, for the first task's name
    assert all(module.drawn for module in header.modules.values())
    assert [drawing.task for drawing in header.drawn_from] == ["after"]


@pytest.mark.parametrize("kind", ["train", "merge", "continual"])
def test_a_run_that_ends_between_its_version_and_its_result_stores_nothing_twice(given, tmp_path, kind):
    store = AdapterStore(tmp_path / "store")
    if kind == "merge":
        save_adapter(tiny.filled(tiny.start(tiny.base())), tmp_path / "part")
        job: dict[str, Any] = {"adapters": [str(tmp_path / "part")], "weights": [1.0]}
    elif kind == "train":
        job = given | {"task": spec(given, "after"), "method": "lori_d"}
    else:
        job = given | {"tasks": [spec(given, "after"), spec(given, "before")], "method": "lori_d"}
    run = Run.create(tmp_path, kind, job | {"store": str(store.root)})
    (run.path / "result.json").mkdir()  # the result cannot be written, as where the process was killed before it
    with pytest.raises(StorageError):
        execute(run)
    kept = {version.reference: store.load(version.reference).record["id"] for version in store.versions()}
    assert kept
    (run.path / "result.json").rmdir()
    execute(run)
    assert {version.reference: store.load(version.reference).record["id"] for version in store.versions()} == kept


def test_runs_that_go_on_from_inside_their_folders_are_told_apart_in_the_store(tmp_path, monkeypatch):
    store, kept = AdapterStore(tmp_path / "store"), []
    for seed in range(2):
        save_adapter(tiny.filled(tiny.start(tiny.base()), seed), tmp_path / str(seed))
        job = {"adapters": [str(tmp_path / str(seed))], "weights": [1.0], "store": str(store.root)}
        monkeypatch.chdir(Run.create(tmp_path, "merge", job).path)
        execute(Run.open("."))
        kept.append(store.load("merged"))
    assert [version.reference for version in store.versions()] == ["merged@1", "merged@2"]
    assert not tiny.same_bits(*kept)


@pytest.mark.parametrize("stage", ["calibrate", "train"])
def test_a_run_whose_data_changed_is_refused_by_the_task_s_name_and_goes_on_with_the_file_as_it_was(
    given, tmp_path, stage
):
    write_task(tmp_path / "mine.jsonl", "after")
    before = (tmp_path / "mine.jsonl").read_bytes()
    job = given | {"task": f"mine={tmp_path / 'mine.jsonl'}", "test_examples": 2, "validation_examples": 2}
    run, whole = (Run.create(tmp_path, "train", job) for _ in range(2))
    expected = execute(whole)
    stop_at_step_3(run, stage)
    write_task(tmp_path / "mine.jsonl", "before")
    with pytest.raises(RunError, match=r"'mine' .* new run") as caught:
        execute(run)
    assert caught.value.key == "run_of_other_data"
    assert sum(event["kind"] == "base" for event in run.events()) == 1  # no base was loaded for it
    (tmp_path / "mine.jsonl").write_bytes(before)
    assert contents(execute(run)) == contents(expected)  # type: ignore[reportArgumentType]


@pytest.mark.parametrize("text", [None, "", "[]", '{"after": 1}', '{"other": {"test": "x"}}'])
def test_a_run_that_says_nothing_of_its_data_as_those_from_before_goes_on(given, tmp_path, text):
    where = {key: given[key] for key in ("base", "precision")}
    run = Run.create(tmp_path, "evaluate", where | {"tasks": [spec(given, "after")], "limit": 2})
    if text is not None:
        (run.path / "data.json").write_text(text)
    execute(run)
    assert run.state() == "finished"


def test_a_calibration_that_cannot_be_read_is_told(given, tmp_path):
    run = Run.create(tmp_path, "calibrate", given | {"task": spec(given, "after")})
    for text in ('{"task":', "[]", "null", "\x00"):
        (run.path / "calibration.json").write_text(text)
        with pytest.raises(RunError) as caught:
            execute(run)
        assert caught.value.key == "damaged_unit" and "calibration.json" in str(caught.value)
    (run.path / "calibration.json").unlink()
    execute(run)
    assert run.state() == "finished"


def test_a_name_that_the_store_cannot_take_is_refused_before_any_work(given, tmp_path):
    job = {"adapters": ["nowhere"], "weights": [1.0], "name": "../out", "store": str(tmp_path / "store")}
    with pytest.raises(StorageError) as caught:
        execute(Run.create(tmp_path / "lab", "merge", job))
    assert caught.value.key == "bad_store_name"
    assert [path.name for path in tmp_path.iterdir()] == ["lab"]


def test_an_adapter_of_another_base_is_refused(given, tmp_path):
    other = tmp_path / "other"
    tiny.llama(seed=1).save_pretrained(other)
    tiny.byte_tokenizer().save_pretrained(other)
    made = execute(Run.create(tmp_path, "train", given | {"task": spec(given, "after"), "method": "lori_d"}))
    job = {"base": str(other), "precision": "fp32", "tasks": [spec(given, "after")], "adapter": str(made)}
    with pytest.raises(IncompatibleAdapters) as caught:
        execute(Run.create(tmp_path, "evaluate", job))
    assert caught.value.key == "wrong_base" and str(other) in str(caught.value)


def test_a_mask_of_another_rank_is_refused(given, tmp_path):
    job = given | {"task": spec(given, "after")}
    mask = execute(Run.create(tmp_path, "calibrate", job))
    other = TrainJob(**job).adapter.changed(rank=2).model_dump()
    with pytest.raises(ConfigError) as caught:
        execute(Run.create(tmp_path, "train", job | {"mask": str(mask), "adapter": other}))
    assert caught.value.key == "mask_does_not_fit"


@pytest.mark.parametrize("stage", ["calibrate", "train"])
def test_a_training_that_was_stopped_goes_on_to_the_same_bytes(given, tmp_path, stage):
    job = given | {"task": spec(given, "after")}
    whole, stopped = (Run.create(tmp_path, "train", job) for _ in range(2))
    expected = execute(whole)
    stop_at_step_3(stopped, stage)
    assert stopped.state() == "stopped"
    made = execute(stopped)
    assert contents(made) == contents(expected)  # type: ignore[reportArgumentType]
    steps = [e["step"] for e in stopped.events() if e["kind"] == "step" and e["stage"] == stage]
    assert steps == [1, 2, 3, 4, 5, 6]  # none was done twice
    before, after = (from_json(SingleResult, run.result()) for run in (whole, stopped))
    assert before.score.outcomes == after.score.outcomes and before.training.losses == after.training.losses


def test_merge_adds_updates_and_evaluate_scores_the_result(given, tmp_path):
    folders = [
        execute(Run.create(tmp_path, "train", given | {"task": spec(given, name), "method": "lori_d"}))
        for name in ("after", "before")
    ]
    merged_run = Run.create(tmp_path, "merge", {"adapters": [str(f) for f in folders], "weights": [0.5, 0.25]})
    made = execute(merged_run)
    assert made == merged_run.path / "adapters" / "merged"
    merged, *parts = (load_adapter(folder) for folder in (made, *folders) if folder)
    for module, factors in merged.factors.items():
        expected = 0.5 * parts[0].factors[module].update + 0.25 * parts[1].factors[module].update
        assert (factors.update - expected).norm() <= 0.01 * expected.norm()  # bf16
    assert json.loads(merged_run.result())["merge"]["weights"] == [0.5, 0.25]

    where = {key: given[key] for key in ("base", "precision")}
    scoring = Run.create(
        tmp_path, "evaluate", where | {"tasks": [spec(given, "after")], "adapter": str(made), "limit": 2}
    )
    assert execute(scoring) is None
    assert json.loads(scoring.result())["by_task"]["after"]["score"]["n"] == 2


def test_a_merge_is_scored_before_and_after_and_kept_and_goes_into_a_whole_model(given, tmp_path):
    names, where = ("after", "before"), {key: given[key] for key in ("base", "precision")}
    folders = [
        execute(Run.create(tmp_path, "train", given | {"task": spec(given, name), "method": "lori_d"}))
        for name in names
    ]
    merge = {"adapters": [str(folder) for folder in folders], "weights": [1, 1], "store": str(tmp_path / "store")}
    few = {"tasks": [spec(given, name) for name in names], "validation_examples": 2, "test_examples": 2}
    search = {"scales": [0.5, 1.0], "groups": "model", "budget": 1}
    run = Run.create(tmp_path, "merge_trial", where | few | {"merge": merge} | search)
    made = execute(run)
    trial = from_json(MergeTrial, run.result())
    assert made == run.path / "adapters" / "merged" and trial.tasks == names and set(trial.validation) == {"0.5", "1"}
    assert trial.tried == 1 and trial.groups.keys() == {"model"}
    kept = AdapterStore(tmp_path / "store").show("merged")
    assert [score["value"] for score in kept.record["scores"]] == [trial.after[name].value for name in names]
    assert all("seed" not in score for score in kept.record["scores"])

    export = Run.create(tmp_path, "export", where | {"adapter": str(made)})
    assert execute(export) == export.path / "model"
    assert (export.path / "model" / "model.safetensors").exists()
    for each, word in ((run, "single adapter"), (export, "Drift")):
        console = Console(record=True, file=io.StringIO())
        console.print(result_table(each, "en"))
        assert word in console.export_text()


NEWER = ("later_rate", "later_masks", "learning_rate")  # fields of a ContinualResult that older files have not


def test_continual_keeps_the_adapter_after_each_task(given, tmp_path):
    tasks = {"tasks": [spec(given, "after"), spec(given, "before")], "test_examples": 4}
    run = Run.create(tmp_path, "continual", given | tasks | {"later_rate": 0.5, "later_masks": "own_run"})
    assert execute(run) == run.path / "adapters" / "after-1"
    first, second = (load_adapter(run.path / "adapters" / f"after-{number}") for number in range(2))
    assert all((second.masks[module] | ~mask).all() for module, mask in first.masks.items())  # held entries stay held
    result = from_json(ContinualResult, run.result())
    assert result.order == ("after", "before") and len(result.matrix) == 2
    assert (result.later_rate, result.later_masks) == (0.5, "own_run")
    older = {key: value for key, value in json.loads(run.result()).items() if key not in NEWER}
    opened = from_json(ContinualResult, json.dumps(older))
    assert replace(opened, **{key: getattr(result, key) for key in NEWER}) == result
    assert (opened.later_rate, opened.later_masks, opened.learning_rate) == (1.0, "continued", None)


def test_a_sequence_under_a_conditioned_A_adds_factors_beside_the_earlier_ones(given, tmp_path):
    tasks = {"tasks": [spec(given, "after"), spec(given, "before")], "test_examples": 4, "method": "lori_d"}
    adapter = given["adapter"] | {"projection": "conditioned", "sparsity": 0.0}
    run = Run.create(tmp_path, "continual", given | tasks | {"adapter": adapter})
    execute(run)
    first, second = (load_adapter(run.path / "adapters" / f"after-{number}") for number in range(2))
    assert all(second.factors[module].rank == 2 * factors.rank for module, factors in first.factors.items())
    result = from_json(ContinualResult, run.result())
    assert result.beside and result.method == "lori_d_conditioned"


def test_every_event_goes_to_the_folder_and_to_the_hooks(given, tmp_path):
    where = {key: given[key] for key in ("base", "precision")}
    run = Run.create(tmp_path, "evaluate", where | {"tasks": [spec(given, "after")]})
    seen: list[dict[str, Any]] = []
    execute(run, Hooks(seen.append))
    kept = [{key: value for key, value in e.items() if key != "time"} for e in run.events() if e["kind"] != "state"]
    assert seen and kept == seen


def refused_untrained(run: Run) -> str:
    with pytest.raises(LoRIError) as caught:
        execute(run)
    assert caught.value.in_language("en") != caught.value.in_language("ja")
    assert {event["kind"] for event in run.events()} <= {"state", "base", "left_out"}
    return caught.value.key


@pytest.mark.parametrize("kind", ["study", "calibrate", "train", "continual"])
def test_a_mask_that_would_keep_nothing_is_refused_before_anything_is_trained(given, tmp_path, kind):
    job = given | {"adapter": given["adapter"] | {"sparsity": 0.99999999}}
    tasks = [spec(given, "after"), spec(given, "before")]
    job |= {"task": tasks[0]} if kind in ("calibrate", "train") else {"tasks": tasks}
    assert refused_untrained(Run.create(tmp_path, kind, job)) == "mask_keeps_nothing"


def test_a_sequence_is_refused_whose_first_task_has_a_name_that_no_store_takes(given, tmp_path):
    path = Path(given["base"]).parent / "after.jsonl"
    job = given | {"tasks": [f"x.={path}", spec(given, "before")], "store": str(tmp_path / "store")}
    assert refused_untrained(Run.create(tmp_path, "continual", job)) == "bad_store_name"
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("method", ["lori_d", "lora"])
def test_a_mask_is_refused_by_a_method_that_has_none(given, tmp_path, method):
    job = given | {"task": spec(given, "after"), "method": method, "mask": str(tmp_path / "mask.safetensors")}
    assert refused_untrained(Run.create(tmp_path, "train", job)) == "mask_without_use"


def test_a_request_made_before_its_turn_stops_a_run_before_any_work(given, tmp_path):
    run = Run.create(tmp_path, "train", given | {"task": spec(given, "after")})
    run.request_stop()
    with pytest.raises(Stopped):
        execute(run)
    assert {event["kind"] for event in run.events()} == {"state"}


def test_a_finished_run_is_not_executed_again(tmp_path):
    run = Run.create(tmp_path, "train", {})
    with run.start():
        pass
    with pytest.raises(RunError) as caught:
        execute(run)
    assert caught.value.key == "run_finished"


@pytest.mark.parametrize(
    ("kind", "config", "key"),
    [
        ("bake", {}, "unknown_run_kind"),
        ("train", {"task": "after", "oven": 1}, "unknown_field"),
        ("train", {"task": "after", "adapter": {"sparsity": 1.0}}, "bad_field"),
    ],
)
def test_a_spec_that_says_nonsense_fails_with_a_message(tmp_path, kind, config, key):
    run = Run.create(tmp_path, kind, config)
    with pytest.raises(LoRIError) as caught:
        execute(run)
    assert caught.value.key == key
    assert run.state() == "failed"
