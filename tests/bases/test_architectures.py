"""Every architecture the whole way: attach, train, save, load, merge, export to PEFT; each against dense weights."""

import copy

import architectures
import pytest
import tiny
import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from lori_core.bases.attach import applied
from lori_core.bases.load import target_modules
from lori_core.method.adapter import Adapter
from lori_core.method.merge import merge
from lori_core.storage.adapter_files import load_adapter, save_adapter
from lori_core.storage.peft import export_peft
from lori_core.training.learn import fit


def with_updates(model: PreTrainedModel, adapter: Adapter) -> PreTrainedModel:
    """A copy whose weights hold the adapter's updates, added in full: the reference."""
    changed = copy.deepcopy(model)
    for module, factors in adapter.factors.items():
        linear = changed.get_submodule(module)
        update = factors.update
        linear.get_parameter("weight").data += update if isinstance(linear, nn.Linear) else update.T
    return changed


def difference(left: Tensor, right: Tensor) -> float:
    """Largest, relative to the largest logit."""
    return ((left - right).abs().max() / right.abs().max()).item()


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing. is deprecated:FutureWarning")  # PEFT asks for it
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False but the target module is .Conv1D.")
@pytest.mark.parametrize("architecture", architectures.CONFIGS)
def test_the_whole_way(architecture, tmp_path):
    base = tiny.base(architectures.model(architecture).eval())
    before, plain = tiny.weights(base.model), tiny.logits(base.model)
    adapters = []
    for name in ("after", "before"):
        start = tiny.start(base, name=name, masks=tiny.halves(base))
        learned, training = fit(base, tiny.task(name), start, tiny.settings(steps=3, batch_size=16))
        assert training.losses[-1] < training.losses[0]
        save_adapter(learned, tmp_path / name)
        adapters.append(load_adapter(tmp_path / name))
        assert all(factors.values.any() for factors in adapters[-1].factors.values())
    assert tiny.same_tensors(tiny.weights(base.model), before)
    merged = merge(adapters, "concat", (0.7, 0.5), "merged")
    for adapter in (*adapters, merged):
        assert adapter.factors.keys() == target_modules(base.model).keys()
        with applied(base.model, adapter):
            ours = tiny.logits(base.model)
        assert difference(ours, plain) > 1e-3
        assert difference(ours, tiny.logits(with_updates(base.model, adapter))) < 1e-5
        export_peft(adapter, tmp_path / "peft" / adapter.name)
        exported = PeftModel.from_pretrained(copy.deepcopy(base.model), str(tmp_path / "peft" / adapter.name)).eval()
        assert difference(tiny.logits(exported), ours) < 1e-5  # type: ignore
    assert torch.equal(tiny.logits(base.model), plain)
