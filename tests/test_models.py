import copy
import math
import re
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForSequenceClassification,
    BloomConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    OPTConfig,
    Phi3Config,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.pytorch_utils import Conv1D

from lori_core.errors import ConfigError, ModelError
from lori_core.models import TARGETS, check_rank, fingerprint, load_base, target_modules

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 16,
    "pad_token_id": 0,
}
CONFIGS = {
    "llama": LlamaConfig(**SIZES, num_key_value_heads=2),
    "mistral": MistralConfig(**SIZES, num_key_value_heads=2),
    "qwen2": Qwen2Config(**SIZES, num_key_value_heads=2),
    "qwen3": Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=8),
    "gemma": GemmaConfig(**SIZES, num_key_value_heads=2, head_dim=8),
    "gemma2": Gemma2Config(**SIZES, num_key_value_heads=2, head_dim=8),
    "gemma3_text": Gemma3TextConfig(**SIZES, num_key_value_heads=2, head_dim=8),
    "olmo2": Olmo2Config(**SIZES, num_key_value_heads=2),
    "phi3": Phi3Config(**SIZES, num_key_value_heads=2),
    "gpt2": GPT2Config(n_embd=32, n_inner=48, n_layer=2, n_head=4, vocab_size=16, bos_token_id=0, eos_token_id=0),
    "gpt_neox": GPTNeoXConfig(**SIZES),
    "opt": OPTConfig(**SIZES, ffn_dim=48, word_embed_proj_dim=16),
    "falcon": FalconConfig(**SIZES, bos_token_id=0, eos_token_id=0),
    "bloom": BloomConfig(**SIZES, n_layer=2, n_head=4),
    "bert": BertConfig(**SIZES, is_decoder=True),
}


def tiny(architecture: str) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIGS[architecture])


def save(model: PreTrainedModel, folder) -> str:
    """A checkpoint folder with a tokenizer of one-letter words."""
    model.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate("abcdefghijklmnop")}, unk_token="a"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[reportAttributeAccessIssue]
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="b", unk_token="a").save_pretrained(folder)
    return str(folder)


# --- loading


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen2", "gpt_neox", "opt"])
def test_a_saved_folder_loads_as_the_model_it_was_frozen_and_with_its_tokenizer(tmp_path, architecture):
    model = tiny(architecture).eval()
    base = load_base(save(model, tmp_path), device="cpu")
    tokens = torch.arange(8)[None]
    torch.testing.assert_close(base.model(tokens).logits, model(tokens).logits)
    assert not any(parameter.requires_grad for parameter in base.model.parameters())
    assert not base.model.training
    assert base.tokenizer.convert_tokens_to_ids(["c", "d"]) == [2, 3]
    assert (base.name, base.revision, base.fingerprint) == (str(tmp_path), None, fingerprint(model))


def test_a_tokenizer_without_a_padding_token_pads_with_its_end_token(tmp_path):
    tokenizer = load_base(save(tiny("llama"), tmp_path), device="cpu").tokenizer
    assert tokenizer(["c", "c d"], padding=True).input_ids == [[2, 1], [2, 3]]


def test_the_dtype_is_the_one_asked_for(tmp_path):
    name = save(tiny("llama"), tmp_path)
    for dtype, expected in [(None, torch.float32), ("fp32", torch.float32), ("bf16", torch.bfloat16)]:
        weights = load_base(name, device="cpu", dtype=dtype).model.parameters()
        assert {parameter.dtype for parameter in weights} == {expected}


def test_a_folder_that_holds_no_model_is_refused(tmp_path):
    for name in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ModelError, match=re.escape(str(name))) as caught:
            load_base(str(name))
        assert caught.value.key == "no_model_folder"


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json"])
def test_a_folder_without_weights_or_tokenizer_is_refused(tmp_path, missing):
    name = save(tiny("llama"), tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ModelError) as caught:
        load_base(name)
    assert caught.value.key == "folder_not_loadable"


def test_pickled_weights_are_not_read(tmp_path):
    model = tiny("llama")
    name = save(model, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_base(name)


def test_a_truncated_checkpoint_is_refused(tmp_path):
    name = save(tiny("llama"), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError) as caught:
        load_base(name)
    assert caught.value.key == "folder_not_loadable"


def test_weights_of_another_shape_than_the_config_says_are_refused(tmp_path):
    name = save(tiny("llama"), tmp_path)
    config = copy.deepcopy(CONFIGS["llama"])
    config.intermediate_size = 64
    config.save_pretrained(tmp_path)
    with pytest.raises(ModelError) as caught:
        load_base(name)
    assert caught.value.key == "folder_not_loadable"


def test_a_checkpoint_that_lacks_weights_is_not_filled_up_with_random_ones(tmp_path):
    name = save(BertForSequenceClassification(CONFIGS["bert"]), tmp_path)
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


# --- fingerprint


def test_a_fingerprint_is_of_the_weights_in_whichever_dtype_they_were_loaded():
    model = tiny("llama")
    first = fingerprint(model)
    assert fingerprint(tiny("llama")) == first
    assert fingerprint(tiny("llama").bfloat16()) == first
    with torch.no_grad():
        model.get_parameter("model.layers.1.mlp.down_proj.weight")[-1, -1] += 1
    assert fingerprint(model) != first


def test_names_and_shapes_count_in_a_fingerprint():
    seen = set()
    for name, shape in [("a", (2, 3)), ("a", (3, 2)), ("b", (2, 3))]:
        model = nn.Module()
        model.register_parameter(name, nn.Parameter(torch.zeros(shape)))
        seen.add(fingerprint(model))
    assert len(seen) == 3


def test_a_large_parameter_is_sampled_evenly():
    model = nn.Module()
    model.weight = nn.Parameter(torch.zeros(3, 65_536))
    first = fingerprint(model)
    changed = []
    for position in range(6):
        with torch.no_grad():
            model.weight.zero_()
            model.weight.view(-1)[position] = 1.0
        changed.append(fingerprint(model) != first)
    assert changed == [True, False, False, True, False, False]


# --- which modules to adapt


def reference_shapes(model: PreTrainedModel) -> dict[str, tuple[int, int]]:
    """(out, in) of the linear maps inside the repeated layers, measured by what goes in and out of them."""
    shapes = {}

    def note(name):
        return lambda module, inputs, output: shapes.__setitem__(name, (output.shape[-1], inputs[0].shape[-1]))

    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D) and re.search(r"\.\d+\.", name):
            module.register_forward_hook(note(name))
    model.eval()(torch.arange(5)[None])
    return shapes


@pytest.mark.parametrize("architecture", list(CONFIGS))
def test_every_linear_map_of_the_layers_is_adapted_and_no_other(architecture):
    model = tiny(architecture)
    assert target_modules(model) == reference_shapes(model)


def test_every_architecture_of_the_table_is_tested():
    assert TARGETS.keys() == CONFIGS.keys()


def test_modules_come_in_the_model_s_order_whatever_the_order_of_their_names():
    model = tiny("llama")
    order = [name for name, _ in model.named_modules()]
    found = list(target_modules(model, ("down_proj", "self_attn.q_proj")))
    assert found == sorted(found, key=order.index)
    assert found == [f"model.layers.{i}.{end}" for i in (0, 1) for end in ("self_attn.q_proj", "mlp.down_proj")]


def test_a_name_stands_for_whole_parts_of_a_module_s_name():
    with pytest.raises(ModelError):
        target_modules(tiny("llama"), ("proj",))


@pytest.mark.parametrize("name", ["query", "lm_head", "embed_tokens", ""])
def test_a_name_that_fits_no_adaptable_module_is_refused_with_those_there_are(name):
    with pytest.raises(ModelError, match=r"model\.layers\.\*\.self_attn\.q_proj") as caught:
        target_modules(tiny("llama"), ("q_proj", name))
    assert caught.value.key == "no_linear_module"
    assert "lm_head" not in str(caught.value.values["known"])


def test_an_unknown_architecture_asks_for_names_and_takes_them(monkeypatch):
    model = tiny("llama")
    monkeypatch.setattr(type(model.config), "model_type", "brand_new")
    with pytest.raises(ModelError, match="target_modules") as caught:
        target_modules(model)
    assert caught.value.key == "unknown_architecture"
    assert target_modules(model, ("up_proj",)) == {f"model.layers.{i}.mlp.up_proj": (48, 32) for i in (0, 1)}


def test_a_rank_up_to_the_smaller_side_of_every_module_is_allowed():
    shapes = {"wide": (8, 64), "tall": (64, 9)}
    check_rank(shapes, 8)
    with pytest.raises(ConfigError, match="wide") as caught:
        check_rank(shapes, 9)
    assert caught.value.values["largest"] == 8


# --- the paper's models

LLAMA_3_8B = LlamaConfig(
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    vocab_size=128256,
)
MISTRAL_7B = MistralConfig(
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    vocab_size=32000,
)


@pytest.mark.parametrize(
    ("config", "rank", "counts", "percentages"),
    [
        (LLAMA_3_8B, 32, (83_886_080, 44_040_192, 4_404_019), (1.03, 0.54, 0.05)),
        (LLAMA_3_8B, 64, (167_772_160, 88_080_384, 8_808_038), (2.05, 1.07, 0.11)),
        (MISTRAL_7B, 32, (83_886_080, 44_040_192, 4_404_019), (1.15, 0.60, 0.06)),
        (MISTRAL_7B, 64, (167_772_160, 88_080_384, 8_808_038), (2.26, 1.19, 0.12)),
    ],
)
def test_the_paper_s_models_have_the_paper_s_trained_parameters(config, rank, counts, percentages):
    """Percentages are of all parameters, base, A and B, as PEFT prints them."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    shapes = target_modules(model)
    dense = sum(rank * out_features for out_features, _ in shapes.values())
    lora = dense + sum(rank * in_features for _, in_features in shapes.values())
    assert (lora, dense, round((1 - 0.9) * dense)) == counts
    everything = sum(parameter.numel() for parameter in model.parameters()) + lora
    for count, percentage in zip(counts, percentages, strict=True):
        assert math.isclose(100 * count / everything, percentage, abs_tol=0.005)
