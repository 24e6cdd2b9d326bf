import copy
import json
import re
from importlib.util import find_spec

import architectures
import huggingface_hub.constants
import pytest
import tiny
import torch
from architectures import save
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
)

from lori_core.bases.fingerprint import vectors_fingerprint
from lori_core.bases.load import DTYPES, default_precision, fingerprint, load_base, open_base, target_modules
from lori_core.config import BaseConfig
from lori_core.errors import ConfigError, ModelError

pytestmark = pytest.mark.usefixtures("processor")


# --- loading


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen2", "gpt_neox", "opt"])
def test_a_saved_folder_loads_as_the_model_it_was_frozen_and_with_its_tokenizer(tmp_path, architecture):
    model = architectures.model(architecture).eval()
    base = load_base(save(model, tmp_path), device="cpu")
    tokens = torch.arange(8)[None]
    rounded = {name: weight.to(base.model.dtype).float() for name, weight in model.state_dict().items()}
    expected = copy.deepcopy(model)
    expected.load_state_dict(rounded)
    torch.testing.assert_close(base.model.float()(tokens).logits, expected(tokens).logits)
    assert not any(parameter.requires_grad for parameter in base.model.parameters())
    assert not base.model.training
    assert base.tokenizer.convert_tokens_to_ids(["c", "d"]) == [2, 3]
    assert (base.name, base.revision, base.fingerprint) == (str(tmp_path), None, fingerprint(model))


def test_a_tokenizer_without_a_padding_token_pads_with_its_end_token(tmp_path):
    tokenizer = load_base(save(architectures.model("llama"), tmp_path), device="cpu").tokenizer
    assert tokenizer(["c", "c d"], padding=True).input_ids == [[2, 1], [2, 3]]


def test_the_dtype_is_the_one_asked_for(tmp_path):
    name = save(architectures.model("llama"), tmp_path)
    for asked, expected in DTYPES.items():
        weights = load_base(name, device="cpu", dtype=asked).model.parameters()
        assert {parameter.dtype for parameter in weights} == {expected}


@pytest.mark.parametrize("known", [{}, {"avx2": True, "amx_bf16": False}, {"amx_bf16": True}, {"bf16": True}])
def test_bf16_is_the_usual_precision_only_where_the_device_computes_in_it(known, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    computes = known.get("amx_bf16") or known.get("bf16")
    assert default_precision("cpu", "some/base") == ("bf16" if computes else "fp32")
    assert default_precision("cuda:1", "some/base") == default_precision("cuda:1", "embedded") == "bf16"
    assert default_precision("cpu", "embedded") == "fp32"


def test_a_folder_that_holds_no_model_is_refused(tmp_path):
    for name in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ModelError, match=re.escape(str(name))) as caught:
            load_base(str(name))
        assert caught.value.key == "no_model_folder"


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json"])
def test_a_folder_without_weights_or_tokenizer_is_refused(tmp_path, missing):
    name = save(architectures.model("llama"), tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ModelError) as caught:
        load_base(name)
    assert caught.value.key == "folder_not_loadable"


def test_pickled_weights_are_not_read(tmp_path):
    model = architectures.model("llama")
    name = save(model, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_base(name)


def test_a_truncated_checkpoint_is_refused(tmp_path):
    name = save(architectures.model("llama"), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError) as caught:
        load_base(name)
    assert caught.value.key == "folder_not_loadable"


def test_weights_of_another_shape_than_the_config_says_are_refused(tmp_path):
    name = save(architectures.model("llama"), tmp_path)
    config = copy.deepcopy(architectures.CONFIGS["llama"])
    config.intermediate_size = 64
    config.save_pretrained(tmp_path)
    with pytest.raises(ModelError) as caught:
        load_base(name)
    assert caught.value.key == "folder_not_loadable"


def test_a_checkpoint_that_lacks_weights_is_not_filled_up_with_random_ones(tmp_path):
    name = save(BertForSequenceClassification(architectures.CONFIGS["bert"]), tmp_path)
    with pytest.raises(ModelError, match=r"cls\.predictions") as caught:
        load_base(name)
    assert caught.value.key == "weights_missing"


def test_a_model_that_is_no_causal_language_model_is_refused(tmp_path):
    model = T5ForConditionalGeneration(T5Config(d_model=16, d_ff=16, d_kv=4, num_layers=1, num_heads=2, vocab_size=16))
    with pytest.raises(ModelError, match="t5") as caught:
        load_base(save(model, tmp_path))
    assert caught.value.key == "not_causal"


def test_an_id_that_cannot_be_had_says_what_to_check(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE") as caught:
        load_base("nobody/such-a-model")
    assert caught.value.key == "hub_not_loadable"


def test_a_hub_id_s_commit_is_recorded_and_everything_comes_from_it(monkeypatch, tmp_path):
    """In a cache laid out as the hub's client does, whose "main" has moved on from the commit that "v1" names."""
    folder = tmp_path / "models--org--model"
    commits = {"v1": "1" * 40, "main": "2" * 40}
    for seed, (branch, commit) in enumerate(commits.items()):
        save(tiny.llama(seed), folder / "snapshots" / commit)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / branch).write_text(commit)
    for name, value in {"HF_HUB_OFFLINE": True, "HF_HUB_CACHE": str(tmp_path)}.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    for seed, (branch, commit) in enumerate(commits.items()):
        base = load_base("org/model", revision=branch, device="cpu")
        known = {"fingerprint": fingerprint(tiny.llama(seed)), "vectors": vectors_fingerprint(tiny.llama(seed))}
        assert base.record == {"name": "org/model", "revision": commit, **known}
    assert load_base("org/model", device="cpu").revision == commits["main"]


def test_python_that_comes_with_a_checkpoint_is_not_run_unless_asked_for(tmp_path):
    name = save(tiny.llama(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "own", "auto_map": own}))
    ran = tmp_path / "ran"
    (tmp_path / "own.py").write_text(
        "from pathlib import Path\n"
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        f"Path({str(ran)!r}).touch()\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own'\n"
        "class OwnModel(LlamaForCausalLM):\n    config_class = OwnConfig\n"
    )
    with pytest.raises(ModelError) as caught:
        load_base(name, device="cpu")
    assert caught.value.key == "remote_code" and not ran.exists()
    base = load_base(name, device="cpu", trust_remote_code=True)
    assert ran.exists() and type(base.model).__name__ == "OwnModel"
    assert len(target_modules(base.model, ("q_proj",))) == 2


def test_an_encoder_is_refused_because_it_was_trained_to_see_what_it_should_write(tmp_path):
    bert = BertForMaskedLM(BertConfig(**architectures.SIZES))
    with pytest.raises(ModelError, match="bert") as caught:
        load_base(save(bert, tmp_path))
    assert caught.value.key == "encoder"


@pytest.mark.parametrize("device", ["cuda:99", "nonsense"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(ConfigError, match=device) as caught:
        load_base(device=device)
    assert caught.value.key == "no_such_device"


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_is_computed_as_asked_for(tmp_path, attention):
    base = load_base(save(tiny.llama(), tmp_path), device="cpu", attention=attention)
    assert base.model.config._attn_implementation == attention


@pytest.mark.parametrize(("architecture", "attention"), [("bloom", "sdpa"), ("llama", "flash_attention_2")])
def test_attention_that_cannot_be_had_is_refused_by_name(tmp_path, architecture, attention):
    if attention == "flash_attention_2" and find_spec("flash_attn"):
        pytest.skip("flash_attn is installed")
    with pytest.raises(ModelError, match=attention) as caught:
        load_base(save(architectures.model(architecture), tmp_path), device="cpu", attention=attention)
    assert caught.value.key == "attention_not_available"


def test_a_job_that_names_no_precision_gets_the_usual_one_and_one_that_does_gets_that(tmp_path):
    folder = tiny.saved_base(tmp_path / "base").name
    for asked, expected in DTYPES.items():
        assert open_base(BaseConfig(base=folder, device="cpu", precision=asked)).model.dtype == expected
    assert open_base(BaseConfig(base=folder, device="cpu")).model.dtype == DTYPES[default_precision("cpu", folder)]
