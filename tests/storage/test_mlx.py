"""MLX's adapter format, read by mlx-lm's own rules: names inside a layer, factors transposed, one scale."""

import json

import pytest
import tiny
import torch
from safetensors.torch import load_file

from lori_core.config import AdapterConfig
from lori_core.errors import AdapterError
from lori_core.method.adapter import Adapter, dense_factors
from lori_core.storage.mlx import export_mlx


def test_what_mlx_lm_computes_with_the_folder_is_the_update(tmp_path):
    model = tiny.llama()
    base = tiny.base(model)
    adapter = tiny.filled(tiny.start(base, tiny.CONFIG.changed(scaling=3.0), masks=tiny.halves(base)))
    export_mlx(adapter, model.config, tmp_path / "out")
    settings = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    tensors = load_file(tmp_path / "out" / "adapters.safetensors")
    lora = settings["lora_parameters"]
    assert settings["fine_tune_type"] == "lora" and settings["num_layers"] == model.config.num_hidden_layers
    for module, factors in adapter.factors.items():
        a, b = tensors.pop(f"{module}.lora_a"), tensors.pop(f"{module}.lora_b")
        assert a.shape[1] == b.shape[0] == lora["rank"]
        torch.testing.assert_close(lora["scale"] * (a @ b).T, factors.update, rtol=1e-5, atol=1e-6)
    assert not tensors
    # mlx-lm wraps what it finds under these keys in every layer, and drops any other tensor without a word.
    layers = [layer for name, layer in model.named_modules() if name in ("model.layers.0", "model.layers.1")]
    assert all(layer.get_submodule(key) is not None for layer in layers for key in lora["keys"])


def test_a_module_outside_of_the_layers_is_refused_by_name(tmp_path):
    adapter = Adapter(
        "gpt2",
        AdapterConfig(rank=2),
        {"transformer.h.0.attn.c_attn": dense_factors(torch.randn(2, 2), torch.randn(2, 2))},
    )
    with pytest.raises(AdapterError) as caught:
        export_mlx(adapter, tiny.llama().config, tmp_path / "out")
    assert caught.value.key == "mlx_module" and "transformer.h.0" in str(caught.value)
