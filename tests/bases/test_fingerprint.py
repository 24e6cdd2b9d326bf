"""A fingerprint is one of the checkpoint: the same in every dtype, and where weights are packed."""

import architectures
import pytest
import tiny
import torch
from torch import nn

from lori_core.bases.fingerprint import fingerprint, weight_files


def test_a_fingerprint_is_of_the_weights_in_whichever_dtype_they_were_loaded():
    model = architectures.model("llama")
    first = fingerprint(model)
    assert fingerprint(architectures.model("llama")) == first
    assert fingerprint(architectures.model("llama").bfloat16()) == first
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


def pack(module: nn.Module) -> None:
    """As bitsandbytes leaves a weight: other numbers, another shape, no floats."""
    packed = torch.arange(7, dtype=torch.uint8)
    module.weight = nn.Parameter(packed, requires_grad=False)


@pytest.mark.parametrize("shard", ["1GB", "20KB"])
def test_packed_weights_count_as_the_files_have_them(tmp_path, shard):
    model = tiny.llama()
    whole = fingerprint(model)
    model.save_pretrained(tmp_path, max_shard_size=shard)
    files = weight_files(tmp_path, None)
    assert len(files) == len(list(tmp_path.glob("*.safetensors"))) and (len(files) > 1) is (shard == "20KB")
    for module in ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"):
        pack(model.get_submodule(module))
    assert fingerprint(model, files) == whole != fingerprint(model)
    with torch.no_grad():
        model.get_parameter("model.layers.1.mlp.up_proj.weight")[0, 0] += 1  # not packed: as it was loaded
    assert fingerprint(model, files) != whole


def test_packed_weights_are_found_where_the_files_leave_out_the_inner_model_s_name(tmp_path):
    model = tiny.gpt2()
    whole = fingerprint(model)
    model.get_submodule("transformer").save_pretrained(tmp_path)  # pyright: ignore[reportCallIssue]
    pack(model.get_submodule("transformer.h.1.attn.c_attn"))
    assert fingerprint(model, weight_files(tmp_path, None)) == whole


def test_a_packed_weight_that_no_file_has_counts_as_it_is(tmp_path):
    model = tiny.llama()
    tiny.gpt2().save_pretrained(tmp_path)
    pack(model.get_submodule("model.layers.0.self_attn.q_proj"))
    assert fingerprint(model, weight_files(tmp_path, None)) == fingerprint(model)
