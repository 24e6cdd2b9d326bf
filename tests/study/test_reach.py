"""What settings from outside may name: every field of every job, links and odd names resolved."""

import os
from pathlib import Path
from typing import Any

import pytest

from lori_core.assets import ASSETS
from lori_core.config import BaseConfig, Config
from lori_core.errors import LoRIError
from lori_core.storage.store import AdapterStore
from lori_core.study.reach import CHECKS, Reach
from lori_core.study.specs import JOBS, EvaluateJob, ExportJob, MergeJob, StudyConfig, TrainJob

# Texts of settings that are names, not places: choices, and what is looked up among names.
NAMES = {
    "attention", "calibration", "choice_length", "continual", "granularity", "later_masks", "merge_methods", "method",
    "methods", "metric", "name", "overlap", "precision", "projection", "quantization", "schedule", "split",
    "target_modules", "train", "options", "groups",
}  # fmt: skip


@pytest.fixture
def reach(tmp_path) -> Reach:
    for folder in ("own/store", "own/runs", "own/data", "other/store/a/1", "models/tiny"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "own/data/rows.csv").touch()
    (tmp_path / "other/rows.csv").touch()
    return Reach(tuple(tmp_path / "own" / name for name in ("store", "runs", "data")), (tmp_path / "models",))


def refused(reach: Reach, config: Config) -> str:
    with pytest.raises(LoRIError) as caught:
        reach.check(config)
    return caught.value.key


def fields_with_text(model: type[Config]) -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Config):
            found |= fields_with_text(kind)
        elif "str" in str(kind) or "Literal" in str(kind):
            found.add(name)
    return found


@pytest.mark.parametrize("kind", JOBS)
def test_each_setting_that_holds_a_text_is_checked_or_known_to_be_a_name(kind):
    assert fields_with_text(JOBS[kind]) <= CHECKS.keys() | NAMES


def outside(root: Path) -> list[str]:
    """Ways to write a folder that is another's."""
    links = [root / "own/data/link", root / "own/data/folder/link"]
    links[1].parent.mkdir()
    for link in links:
        link.symlink_to(root / "other/store/a/1")
    (root / "own/data/loop").symlink_to(root / "own/data/loop")
    other = f"{root}/other/store/a/1"
    texts = [other, f"{root}/own/store/../../other/store/a/1", f"{root}/own", str(links[0]), f"{root}/own/data/loop"]
    return [*texts, str(links[1].parent), os.path.relpath(other), "~", "~nobody-here/x", "\0", "", "/", "x" * 5000]


def test_adapters_and_masks_of_others_are_out_of_reach_however_they_are_written(reach, tmp_path):
    for path in outside(tmp_path):
        assert refused(reach, EvaluateJob(tasks=("math",), adapter=path)) == "path_out_of_reach", path
        assert refused(reach, ExportJob(adapter=path)) == "path_out_of_reach", path
        assert refused(reach, TrainJob(task="math", mask=path)) == "path_out_of_reach", path
        assert refused(reach, MergeJob(adapters=(path,), weights=(1.0,))) == "path_out_of_reach", path
        assert refused(reach, TrainJob(task="math", footprints=(path,))) == "path_out_of_reach", path
        assert refused(reach, MergeJob(adapters=(), weights=(), footprints=(path,))) == "path_out_of_reach", path


def test_nothing_is_written_outside_nor_into_what_ships(reach, tmp_path):
    for path in (f"{tmp_path}/other/store", str(ASSETS), f"{tmp_path}/own/store/../../other", "store"):
        assert refused(reach, TrainJob(task="math", store=path)) == "path_out_of_reach"


def test_a_merge_in_a_trial_is_looked_through_too(reach, tmp_path):
    merge = MergeJob(adapters=(f"{tmp_path}/other/store/a/1",), weights=(1.0,))
    trial = JOBS["merge_trial"](merge=merge, tasks=("math",))
    assert refused(reach, trial) == "path_out_of_reach"


def test_rows_of_others_are_out_of_reach_in_each_place_of_a_task(reach, tmp_path):
    own, other = tmp_path / "own/data/rows.csv", tmp_path / "other/rows.csv"
    for spec in (
        f"mine={other}",
        f"mine={str(other).replace('/', '%2F')}",
        f"mine={own}?test={other}",
        f"mine={own}?test={own}&test={other}",
        f"gsm8k?test={other}",
        f"mine=hf:{other}",
        f"mine=hf:{tmp_path.name}/../x",
        f"mine={own}?test=hf:..",
        "mine=hf:openai/gsm8k#../../x",
        "mine=hf:text",
        "mine=hf:csv@default#main",
        f"mine={own}?test=hf:json",
    ):
        assert refused(reach, StudyConfig(tasks=("math", spec), continual=None)) == "path_out_of_reach", spec
        assert refused(reach, TrainJob(task="math", against=("code", spec))) == "path_out_of_reach", spec
    reach.check(StudyConfig(tasks=("math?level=3", "gsm8k", f"mine={own}?test={own}", "x=hf:openai/gsm8k@main")))


def test_a_folder_where_the_lab_works_is_no_set_of_the_hub_under_any_config_or_revision(reach, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("other", "other/store"):
        for end in ("", "@main", "#main", "@main#main"):
            assert not reach.has_task(f"mine=hf:{name}{end}"), name + end
    assert reach.has_task("mine=hf:nothing/here@main#main")


def test_a_name_that_is_too_long_for_a_disk_is_looked_at_like_any_other(reach):
    assert reach.has_base("x" * 300) and reach.has_task(f"mine=hf:{'x' * 300}")  # the hub has to say that it has none
    assert not reach.has_base("./" + "x" * 300) and not reach.has_task(f"mine=./{'x' * 300}.csv")


def test_a_folder_is_no_base_unless_it_was_allowed(reach, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for base in (f"{tmp_path}/other", "other", "./other", "../x/y", "~", "/etc", "models/../other"):
        assert refused(reach, BaseConfig(base=base)) == "base_out_of_reach", base
    for base in (
        "embedded",
        "smollm2",
        "org/model-1",
        "gpt2",
        f"{tmp_path}/models/tiny",
        f"{tmp_path}/own/runs/x/model",
    ):
        reach.check(BaseConfig(base=base))
    assert refused(reach, BaseConfig(base="gpt2", revision="../../x")) == "path_out_of_reach"
    reach.check(BaseConfig(base="gpt2", revision="refs/pr/1"))


@pytest.mark.parametrize("device", ["meta", "privateuseone", "cpu:-1", "cuda:999", "cuda:0 ", "CPU", "xla\n", ""])
def test_a_device_is_one_of_a_list(reach, device):
    assert refused(reach, BaseConfig(device=device)) == "device_out_of_reach"
    for known in (None, "cpu", "cpu:1", "mps", "cuda", "cuda:3"):
        reach.check(BaseConfig(device=known))


def test_what_is_ones_own_or_ships_is_in_reach(reach, tmp_path):
    store = str(AdapterStore(tmp_path / "own/store").root)
    ready = str(ASSETS / "adapters" / "math" / "lori_s")
    own: dict[str, Any] = {"adapters": (ready, f"{store}/a/1", f"{tmp_path}/own/runs/x/adapters/trained")}
    reach.check(MergeJob(weights=(1.0,), store=store, **own))
