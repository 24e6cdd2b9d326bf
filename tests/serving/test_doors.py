"""Folders that PEFT cannot open are refused with the reason, whatever it raises."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from lori_core.bases.load import Base
from lori_core.errors import AdapterError, ConfigError, ModelError
from lori_core.serving.doors import folder_door
from lori_core.storage.peft import export_peft

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing. is deprecated:FutureWarning")  # PEFT asks


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Base:
    return tiny.saved_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def exported(base, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "peft"
    export_peft(tiny.strong(base, 0), folder)
    return folder


@pytest.fixture
def folder(exported, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(exported, tmp_path / "peft"))


def narrow() -> PreTrainedModel:
    """As tiny.llama() with vectors of half the length."""
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    return LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=2, vocab_size=257))


def set_up(folder: Path, **changes: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(("other", "reason"), [(narrow, "size mismatch"), (tiny.gpt2, "Target modules")])
def test_an_adapter_that_does_not_fit_its_base_is_refused_with_both_names(other, reason, exported, tmp_path):
    other().save_pretrained(tmp_path)
    tiny.byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError) as caught:
        folder_door(exported, str(tmp_path))
    assert caught.value.key == "served_peft"
    assert all(part in str(caught.value) for part in (str(exported), str(tmp_path), reason))


@pytest.mark.parametrize("changes", [{"peft_type": "NOPE"}, {"r": 0}, {"target_modules": 5}], ids=str)
def test_settings_that_PEFT_does_not_take_are_refused_with_what_it_says(changes, folder):
    set_up(folder, **changes)
    with pytest.raises(ModelError) as caught:
        folder_door(folder, None)
    assert caught.value.key == "served_peft"


def test_weights_that_are_cut_off_are_refused_with_what_PEFT_says(folder):
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError) as caught:
        folder_door(folder, None)
    assert caught.value.key == "served_peft"


@pytest.mark.parametrize("content", ["{", "[]", "5"])
@pytest.mark.parametrize("named", [True, False], ids=["base named", "base in the settings"])
def test_settings_that_are_no_JSON_object_are_refused(named, content, base, folder):
    (folder / "adapter_config.json").write_text(content)
    with pytest.raises(AdapterError) as caught:
        folder_door(folder, base.name if named else None)
    assert caught.value.key == "adapter_unreadable"


@pytest.mark.parametrize("name", [5, "", None])
def test_settings_that_name_no_base_are_refused(name, folder):
    set_up(folder, base_model_name_or_path=name)
    with pytest.raises(ConfigError) as caught:
        folder_door(folder, None)
    assert caught.value.key == "served_base"


def test_an_adapter_without_its_weights_is_refused_and_not_looked_for_on_the_hub(folder, monkeypatch):
    """PEFT takes a folder without weights for the name of a repository."""
    monkeypatch.setattr("peft.utils.save_and_load.file_exists", lambda **asked: pytest.fail(f"asked for {asked}"))
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(AdapterError) as caught:
        folder_door(folder, None)
    assert caught.value.key == "no_peft_adapter"
