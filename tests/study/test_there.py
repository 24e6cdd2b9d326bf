"""What settings name is there, or they are refused before a run waits for its turn."""

import huggingface_hub
import pytest

from lori_core.config import AdapterConfig, Config, StudyMethod
from lori_core.errors import LoRIError
from lori_core.study.specs import ContinualJob, StudyConfig
from lori_core.study.there import check_there

ROWS = "question,answer\n" + "".join(f"{n} + 1?,{n + 1}\n" for n in range(40))


def key_of(config: Config) -> str:
    with pytest.raises(LoRIError) as caught:
        check_there(config)
    return caught.value.key


def test_a_misspelt_task_is_refused():
    assert key_of(StudyConfig(tasks=("math", "mahts"))) == "unknown_mini_task"
    assert key_of(ContinualJob(tasks=("math", "nlu?level=9"))) == "unknown_mini_level"


def test_a_file_without_the_column_is_refused_and_one_with_it_is_not(tmp_path):
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    spec = f"mine={tmp_path}/rows.csv?prompt=question&response="
    check_there(StudyConfig(tasks=(spec + "answer",)))
    assert key_of(StudyConfig(tasks=(spec + "answr",))) == "missing_column"
    assert key_of(StudyConfig(tasks=(spec.replace("rows", "row") + "answer",))) == "no_such_path"


def test_a_base_that_is_nowhere_is_refused_and_the_hub_is_asked_once(tmp_path, monkeypatch):
    asked = []

    def ask(url: str, **options: object) -> None:
        asked.append(url)
        raise ConnectionError("no network")

    monkeypatch.setattr("lori_core.bases.source.get_hf_file_metadata", ask)
    assert key_of(StudyConfig(base="embeded")) == "hub_not_loadable" and len(asked) == 1
    assert key_of(StudyConfig(base=str(tmp_path))) == "no_model_folder" and len(asked) == 1


def test_a_base_in_the_cache_needs_no_network(tmp_path, monkeypatch):
    commit = "1" * 40
    for path, text in ((f"snapshots/{commit}/config.json", "{}"), ("refs/main", commit)):
        (tmp_path / "models--org--model" / path).parent.mkdir(parents=True)
        (tmp_path / "models--org--model" / path).write_text(text)
    for name, value in {"HF_HUB_OFFLINE": True, "HF_HUB_CACHE": str(tmp_path)}.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    check_there(StudyConfig(base="org/model"))
    assert key_of(StudyConfig(base="org/other")) == "hub_not_loadable"


def test_a_study_has_a_conditioned_A_by_its_methods_alone():
    """The table of results would show it as the paper's LoRI, and LoRA has none."""
    wanted = AdapterConfig(projection="conditioned")
    refused: list[tuple[StudyMethod, ...]] = [("lora",), ("lori_d",), ("lori_s", "lori_s_conditioned")]
    for methods in refused:
        assert key_of(StudyConfig(methods=methods, adapter=wanted)) == "conditioned_is_a_method"
    check_there(StudyConfig(methods=("lori_s_conditioned", "full"), adapter=wanted))
    check_there(ContinualJob(tasks=("math", "nlu"), adapter=wanted))


def test_what_lies_at_the_hub_is_not_asked_for_before_the_run():
    check_there(StudyConfig(tasks=("gsm8k",)))
