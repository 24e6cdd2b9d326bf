"""What check-served says of real servers: PEFT, llama.cpp and one over HTTP, whole and with every fault of serving."""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from openai_server import answering, openai_server
from safetensors.torch import load_file, save_file

from lori_core.assets import ASSETS
from lori_core.bases.attach import applied
from lori_core.bases.load import Base, load_base
from lori_core.bases.merged_base import export_merged_base
from lori_core.bases.merged_gguf import export_merged_gguf, write_base_gguf
from lori_core.errors import AdapterError, ConfigError, ModelError
from lori_core.method.adapter import Adapter
from lori_core.serving.check import check_served
from lori_core.serving.endpoint import _seen
from lori_core.serving.proof import PROOF_FILE, prove
from lori_core.serving.verdict import Verdict
from lori_core.storage.adapter_files import load_adapter
from lori_core.storage.gguf_lora import LORA_FILE, export_gguf_lora
from lori_core.storage.peft import export_peft

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing. is deprecated:FutureWarning"),  # PEFT asks for it
    pytest.mark.filterwarnings("ignore:Found missing adapter keys:UserWarning"),  # PEFT's only word on the faults
]
TEMPLATE = "{{ bos_token }}{% for turn in messages %}question : {{ turn.content }}{{ eos_token }}\n{% endfor %}so :"
TURN = "[{{ turn.role }}] {{ turn.content }}{{ eos_token }} ; "
OTHER_TEMPLATE = "{{ bos_token }}{% for turn in messages %}" + TURN + "{% endfor %}answer ="


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Base:
    """The embedded base with a chat template, as a folder."""
    folder = tmp_path_factory.mktemp("base") / "base"
    shutil.copytree(ASSETS / "base", folder)
    made = load_base(str(folder), device="cpu", dtype="fp32")
    made.tokenizer.chat_template = TEMPLATE
    made.tokenizer.save_pretrained(folder)
    return made


@pytest.fixture(scope="module")
def adapter(base) -> Adapter:
    made = load_adapter(ASSETS / "adapters" / "math" / "lori_s")
    return replace(made, record=made.record | {"base": base.record})


@pytest.fixture(scope="module")
def beside(base, adapter) -> dict[str, str]:
    return {PROOF_FILE: prove(base, adapter).model_dump_json()}


@pytest.fixture(scope="module")
def exported(base, adapter, beside, tmp_path_factory) -> Path:
    """Of each format a folder."""
    root = tmp_path_factory.mktemp("exports")
    export_peft(adapter, root / "peft", beside=beside)
    export_gguf_lora(adapter, base.model.config, root / "gguf-lora", beside=beside)
    export_merged_base(base, adapter, root / "base", ["a"], beside=beside)
    export_merged_gguf(base, adapter, root / "gguf", ["a"], beside=beside)
    write_base_gguf(base, root / "base.gguf")
    return root


def other_base(base: Base, folder: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> str:
    """The base with other weights in its layers."""
    model = copy.deepcopy(base.model)
    for name, parameter in model.named_parameters():
        if "proj" in name:
            parameter.data = change(parameter.data)
    model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    return str(folder)


def noisy(weight: torch.Tensor) -> torch.Tensor:
    return weight + 0.5 * weight.std() * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))


# --- whole


@pytest.mark.parametrize("form", ["peft", "base"])
def test_a_folder_as_it_was_exported_is_active(form, exported):
    _, verdict = check_served(str(exported / form))
    assert verdict.active, verdict


def test_a_gguf_as_it_was_exported_is_active(exported):
    pytest.importorskip("xllamacpp")
    _, merged = check_served(str(exported / "gguf" / "model.gguf"))
    _, lora = check_served(str(exported / "gguf-lora" / LORA_FILE), base=str(exported / "base.gguf"))
    assert merged.active and lora.active, (merged, lora)
    assert merged.off < 0.02 and lora.off < 0.02


# --- PEFT, with a fault in the folder


def settings(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def tensors(change: Callable[[str, torch.Tensor], tuple[str, torch.Tensor] | None]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        pairs = [change(name, tensor) for name, tensor in load_file(path).items()]
        save_file(dict(pair for pair in pairs if pair), path)

    return rewrite


def without(part: str) -> Callable[[Path], None]:
    return tensors(lambda name, tensor: None if part in name else (name, tensor))


def renamed(old: str, new: str) -> Callable[[Path], None]:
    return tensors(lambda name, tensor: (name.replace(old, new), tensor))


def unscaled(factor: float) -> Callable[[Path], None]:
    return tensors(lambda name, tensor: (name, tensor * (factor if "lora_B" in name else 1.0)))


FAULTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "alpha halved": (settings(lora_alpha=16), "scale", "0.5"),
    "alpha doubled": (settings(lora_alpha=64), "scale", "2"),
    "alpha not divided by the rank": (settings(lora_alpha=32 * 32), "scale", "32"),
    "the scaling that was to be in B lost": (unscaled(0.5), "scale", "0.5"),
    "a scale that nobody thought of": (unscaled(0.75), "scale", "0.75"),
    "no v_proj": (without(".v_proj."), "module", "self_attn.v_proj"),
    "no q_proj": (without(".q_proj."), "module", "self_attn.q_proj"),
    "no MLP down": (without(".down_proj."), "module", "mlp.down_proj"),
    "no layer 2": (without(".layers.2."), "module", "layer 2"),
    "one module missing": (without(".1.self_attn.v_proj."), "module", "model.layers.1.self_attn.v_proj"),
    "another prefix": (renamed("base_model.model.model.", "base_model.model."), "no_op", ""),
    "another name of every module": (renamed("_proj.lora", "_projection.lora"), "no_op", ""),
    "B all zeros": (unscaled(0.0), "no_op", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_PEFT_folder_is_told_by_name(fault, exported, tmp_path):
    break_it, finding, detail = FAULTS[fault]
    shutil.copytree(exported / "peft", tmp_path / "out")
    break_it(tmp_path / "out")
    _, verdict = check_served(str(tmp_path / "out"))
    assert verdict.finding == finding, verdict
    if finding == "scale":  # this processor may compute in bf16
        assert float(verdict.detail) == pytest.approx(float(detail), rel=0.02), verdict
    else:
        assert verdict.detail == detail, verdict


@pytest.mark.parametrize("change", [noisy, lambda weight: weight.flip(0)], ids=["noisy", "flipped"])
def test_another_base_is_told(change, base, exported, tmp_path):
    _, verdict = check_served(str(exported / "peft"), base=other_base(base, tmp_path / "other", change))
    assert verdict.finding == "wrong_base", verdict


def test_another_chat_template_is_told(base, exported, tmp_path):
    shutil.copytree(base.name, tmp_path / "other")
    tokenizer = copy.deepcopy(base.tokenizer)
    tokenizer.chat_template = OTHER_TEMPLATE
    tokenizer.save_pretrained(tmp_path / "other")
    _, verdict = check_served(str(exported / "peft"), base=str(tmp_path / "other"))
    assert verdict.finding == "template", verdict


def test_another_precision_of_the_same_base_is_no_fault(exported, monkeypatch):
    monkeypatch.setattr("lori_core.bases.load.default_precision", lambda device, name: "bf16")
    _, verdict = check_served(str(exported / "peft"))
    assert verdict.active and verdict.off > 0.01, verdict


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0"])
def test_a_base_that_is_served_in_few_bits_is_no_fault_whether_or_not_it_can_be_asked_alone(
    kind, base, adapter, exported, tmp_path
):
    def packed(weight: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(dequantize(quantize(weight.numpy(), form), form).copy())

    form = GGMLQuantizationType[kind]
    rounded = load_base(other_base(base, tmp_path / "other", packed), device="cpu", dtype="fp32")
    for parent in ("base", None):
        verdict = served(rounded, adapter, exported, parent=parent)
        assert verdict.active and verdict.off > 0.02, verdict


def test_a_base_that_is_near_the_right_one_is_told_where_it_can_be_asked_alone(base, adapter, exported, tmp_path):
    near = other_base(base, tmp_path / "other", lambda weight: weight + 0.7 * (noisy(weight) - weight))
    assert served(load_base(near, device="cpu"), adapter, exported, parent="base").finding == "wrong_base"


# --- llama.cpp


def test_rows_that_were_not_moved_are_told(base, adapter, beside, exported, tmp_path, monkeypatch):
    pytest.importorskip("xllamacpp")
    monkeypatch.setattr("lori_core.storage.gguf_lora.in_gguf_order", lambda config, name, rows: rows)
    export_gguf_lora(adapter, base.model.config, tmp_path / "out", beside=beside)
    _, verdict = check_served(str(tmp_path / "out" / LORA_FILE), base=str(exported / "base.gguf"))
    assert verdict.finding == "rows", verdict


def test_a_LoRA_on_the_merged_model_is_on_the_wrong_base(exported):
    pytest.importorskip("xllamacpp")
    merged = str(exported / "gguf" / "model.gguf")
    _, verdict = check_served(str(exported / "gguf-lora" / LORA_FILE), base=merged)
    assert verdict.finding == "wrong_base", verdict


def test_a_bare_gguf_is_a_no_op(exported):
    pytest.importorskip("xllamacpp")
    _, verdict = check_served(str(exported / "base.gguf"), proof=exported / "gguf")
    assert verdict.finding == "no_op", verdict


# --- over HTTP


def served(base: Base, adapter: Adapter, exported: Path, **options: Any) -> Verdict:
    """The verdict on a server of the base and an adapter on it."""
    other = copy.deepcopy(base.model)
    with applied(other, adapter):
        models = {"base": answering(base.model), "math": answering(other)}
        with openai_server(options.pop("tokenizer", base.tokenizer), models, **options) as address:
            return check_served(address, proof=exported / "peft")[1]


@pytest.mark.parametrize("options", [{"parent": "base"}, {}, {"most": 5}], ids=["as vLLM", "no parent", "few"])
def test_an_adapter_over_HTTP_is_active(options, base, adapter, exported):
    verdict = served(base, adapter, exported, **options)
    assert verdict.active and verdict.off < 1e-3, verdict


def parts(adapter: Adapter, part: str) -> Adapter:
    return replace(adapter, factors={name: f for name, f in adapter.factors.items() if part not in name})


def scaled(adapter: Adapter, scale: float) -> Adapter:
    return replace(adapter, factors={m: replace(f, scaling=scale * f.scaling) for m, f in adapter.factors.items()})


@pytest.mark.parametrize("parent", ["base", None])
@pytest.mark.parametrize(
    ("fault", "finding", "detail"),
    [
        (lambda adapter: scaled(adapter, 0.5), "scale", "0.5"),
        (lambda adapter: scaled(adapter, 0.0), "no_op", ""),
        (lambda adapter: parts(adapter, "v_proj"), "module", "self_attn.v_proj"),
        (lambda adapter: parts(adapter, "layers.0."), "module", "layer 0"),
    ],
    ids=["scale", "no-op", "kind", "layer"],
)
def test_a_fault_over_HTTP_is_told_by_name(fault, finding, detail, parent, base, adapter, exported):
    verdict = served(base, fault(adapter), exported, parent=parent)
    assert (verdict.finding, verdict.detail) == (finding, detail), verdict


def test_another_base_over_HTTP_is_told_whether_or_not_it_can_be_asked_alone(base, adapter, exported, tmp_path):
    other = load_base(other_base(base, tmp_path / "other", noisy), device="cpu", dtype="fp32")
    for parent in ("base", None):
        assert served(other, adapter, exported, parent=parent).finding == "wrong_base"


def test_another_chat_template_over_HTTP_is_told(base, adapter, exported):
    tokenizer = copy.deepcopy(base.tokenizer)
    tokenizer.chat_template = OTHER_TEMPLATE
    assert served(base, adapter, exported, tokenizer=tokenizer).finding == "template"
    tokenizer.chat_template = None  # a server without chat has no template that differs
    assert served(base, adapter, exported, tokenizer=tokenizer).active


def test_llama_cpp_s_own_server_is_asked_like_any_other(base, exported):
    pytest.importorskip("xllamacpp")
    from llama_cpp import LlamaCpp

    lora = LlamaCpp(exported / "base.gguf", exported / "gguf-lora" / LORA_FILE)
    _, verdict = check_served(lora.address + "/v1", proof=exported / "gguf-lora" / PROOF_FILE)
    assert verdict.active, verdict


# --- what cannot be checked


def test_what_cannot_be_checked_is_refused_with_what_to_do(exported, tmp_path):
    def key(kind: type[Exception], *arguments: Any, **options: Any) -> str:
        with pytest.raises(kind) as caught:
            check_served(*arguments, **options)
        return caught.value.key  # type: ignore[reportAttributeAccessIssue]

    peft = exported / "peft"
    assert key(AdapterError, "http://127.0.0.1:9/v1") == "served_proof"
    assert key(ModelError, "http://127.0.0.1:9/v1", proof=peft) == "served_unreachable"
    assert key(ModelError, "ftp://127.0.0.1:9/v1", proof=peft) == "served_unreachable"
    assert key(AdapterError, str(tmp_path)) == "no_proof"
    assert key(AdapterError, str(tmp_path), proof=peft) == "served_nothing"
    (tmp_path / "adapters.safetensors").touch()
    assert key(AdapterError, str(tmp_path), proof=peft) == "served_mlx"
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    if pytest.importorskip("xllamacpp"):
        assert key(AdapterError, str(tmp_path / "broken.gguf"), proof=peft) == "served_nothing"
        assert key(ConfigError, str(exported / "gguf-lora" / LORA_FILE)) == "served_base"


def test_of_several_models_the_one_to_check_is_named(base, adapter, exported):
    with applied(base.model, adapter):
        models = {name: answering(base.model) for name in ("one", "two")}
        with openai_server(base.tokenizer, models) as address:
            with pytest.raises(ModelError) as caught:
                check_served(address, proof=exported / "peft")
            assert caught.value.key == "served_models" and "one, two" in str(caught.value)
            assert check_served(address, proof=exported / "peft", model="two")[1].active


def test_of_a_first_character_of_several_tokens_nothing_is_told():
    """As llama.cpp answers: the character's bytes, and the likeliest tokens in the place of its last one."""
    half = {"id": 241, "token": "\ufffd", "bytes": [151], "logprob": 0.0}
    first = {"id": 241, "token": "洗", "bytes": [230, 180, 151], "logprob": 0.0, "top_logprobs": [half]}
    assert _seen({"choices": [{"logprobs": {"content": [first]}}]}) is None
    whole = {"id": 9, "token": "a", "bytes": [97], "logprob": -0.5}
    told = _seen({"choices": [{"logprobs": {"content": [whole | {"top_logprobs": [whole]}]}}]})
    assert told is not None and told.tokens == {9: -0.5}
