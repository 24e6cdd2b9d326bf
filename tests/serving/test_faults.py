"""The states of a proof are what servers in effect compute with."""

import architectures
import pytest
import tiny
import torch
from llama_cpp import lively

from lori_core.method.adapter import Adapter
from lori_core.serving.faults import ACTIVE, UNPERMUTED, served_states
from lori_core.storage.gguf_files import gguf_names, in_gguf_order


def states(architecture: str = "llama") -> tuple[Adapter, dict[str, Adapter]]:
    base = lively(architecture)
    adapter = tiny.filled(tiny.start(base, tiny.CONFIG.changed(scaling=3.0)))
    return adapter, dict(served_states(adapter, base.model.config))


def test_each_state_leaves_out_or_scales_what_its_name_says():
    adapter, found = states()
    assert next(iter(found)) == ACTIVE and found[ACTIVE] is adapter
    for module, factors in adapter.factors.items():
        layer, kind = module.split(".", 3)[2:]
        for state, served in found.items():
            gone = state in (f"without {kind}", f"without layer {layer}", f"without {module}")
            assert (module in served.factors) is not gone
        torch.testing.assert_close(found["scale 0.5"].factors[module].update, 0.5 * factors.update)
    lost = {state for state in found if state.startswith("scale")}  # alpha / rank = 3, rank = 4, either lost or doubled
    assert lost == {f"scale {scale:g}" for scale in (0.25, 0.5, 2.0, 4.0, 3.0, 1 / 3)}


def test_a_base_with_many_modules_has_kinds_and_layers_alone(monkeypatch):
    monkeypatch.setattr("lori_core.serving.faults._MOST_SINGLE", 13)
    _, found = states()  # 14 modules
    parts = [state.removeprefix("without ") for state in found if state.startswith("without")]
    assert len(parts) == 7 + 2 and "layer 1" in parts and "self_attn.q_proj" in parts


def test_unpermuted_rows_come_back_to_transformers_order_only_where_llama_cpp_moves_them():
    adapter, found = states()
    name_of = gguf_names(lively("llama").model.config)
    config = lively("llama").model.config
    for module, factors in found[UNPERMUTED].factors.items():
        moved = in_gguf_order(config, name_of(f"{module}.weight") or "", factors.B)
        assert torch.equal(moved, adapter.factors[module].B)
    assert UNPERMUTED not in states("qwen2")[1]


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "phi3"])
def test_every_architecture_has_states(architecture):
    model = architectures.model(architecture)
    base = tiny.base(model)
    found = dict(served_states(tiny.filled(tiny.start(base)), model.config))
    assert "without layer 0" in found and UNPERMUTED not in found
