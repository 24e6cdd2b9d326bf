import math
import re

import architectures
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lori_core.bases.targets import TARGETS, check_rank, target_modules
from lori_core.errors import ConfigError, ModelError

# --- which modules to adapt


def reference_shapes(model: PreTrainedModel) -> dict[str, tuple[int, int]]:
    """(out, in) of the linear maps inside the repeated layers, measured by what goes in and out of them."""
    shapes = {}

    def note(name):
        return lambda module, inputs, output: shapes.__setitem__(name, (output.shape[-1], inputs[0].shape[-1]))

    for name, module in model.named_modules():
        one_number = name.endswith("shared_expert_gate")  # no rank fits into it
        if isinstance(module, nn.Linear | Conv1D) and re.search(r"\.\d+\.", name) and not one_number:
            module.register_forward_hook(note(name))
    model.eval()(torch.arange(5)[None])
    return shapes


@pytest.mark.parametrize("architecture", list(architectures.CONFIGS))
def test_every_linear_map_of_the_layers_is_adapted_and_no_other(architecture):
    model = architectures.model(architecture)
    assert target_modules(model) == reference_shapes(model)


def test_every_architecture_of_the_table_is_tested():
    assert TARGETS.keys() == architectures.CONFIGS.keys()


def test_modules_come_in_the_model_s_order_whatever_the_order_of_their_names():
    model = architectures.model("llama")
    order = [name for name, _ in model.named_modules()]
    found = list(target_modules(model, ("down_proj", "self_attn.q_proj")))
    assert found == sorted(found, key=order.index)
    assert found == [f"model.layers.{i}.{end}" for i in (0, 1) for end in ("self_attn.q_proj", "mlp.down_proj")]


def test_a_name_stands_for_whole_parts_of_a_module_s_name():
    with pytest.raises(ModelError):
        target_modules(architectures.model("llama"), ("proj",))


def test_a_pattern_is_of_whole_names():
    model = architectures.model("llama")
    mlps = [f"model.layers.0.mlp.{end}" for end in ("gate_proj", "up_proj", "down_proj")]
    assert list(target_modules(model, ("*.0.mlp.*",))) == mlps
    assert list(target_modules(model, ("*.layers.[1-9].*.[qv]_proj",))) == [
        f"model.layers.1.self_attn.{end}" for end in ("q_proj", "v_proj")
    ]
    with pytest.raises(ModelError):
        target_modules(model, ("mlp.*",))


@pytest.mark.parametrize("name", ["gate_up_proj", "experts.down_proj", "*.experts.*"])
def test_experts_that_share_one_parameter_are_refused_by_name(name):
    with pytest.raises(ModelError, match="experts") as caught:
        target_modules(architectures.model("mixtral"), ("q_proj", name))
    assert caught.value.key == "fused_experts"


@pytest.mark.parametrize("name", ["query", "lm_head", "embed_tokens", ""])
def test_a_name_that_fits_no_adaptable_module_is_refused_with_those_there_are(name):
    with pytest.raises(ModelError, match=r"model\.layers\.\*\.self_attn\.q_proj") as caught:
        target_modules(architectures.model("llama"), ("q_proj", name))
    assert caught.value.key == "no_linear_module"
    assert "lm_head" not in str(caught.value.values["known"])


def test_an_unknown_architecture_asks_for_names_and_takes_them(monkeypatch):
    model = architectures.model("llama")
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


@pytest.mark.parametrize(
    ("config", "rank", "counts", "percentages"),
    [
        (architectures.LLAMA_3_8B, 32, (83_886_080, 44_040_192, 4_404_019), (1.03, 0.54, 0.05)),
        (architectures.LLAMA_3_8B, 64, (167_772_160, 88_080_384, 8_808_038), (2.05, 1.07, 0.11)),
        (architectures.MISTRAL_7B, 32, (83_886_080, 44_040_192, 4_404_019), (1.15, 0.60, 0.06)),
        (architectures.MISTRAL_7B, 64, (167_772_160, 88_080_384, 8_808_038), (2.26, 1.19, 0.12)),
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
