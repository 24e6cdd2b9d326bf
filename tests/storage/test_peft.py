"""Beside real PEFT: what it opens computes what ours computes, and what it wrote is what we read."""

import copy
import json
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from lori_core.bases.attach import applied
from lori_core.config import AdapterConfig
from lori_core.errors import AdapterError, StorageError
from lori_core.method.adapter import Adapter, dense_factors
from lori_core.method.merge import merge
from lori_core.storage.peft import _PATTERN, _globs, _matching, export_peft, export_served_peft, import_peft


def qwen(seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True}
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=257, eos_token_id=tiny.END, **sizes, **heads))
    return model.eval().requires_grad_(False)


pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing. is deprecated:FutureWarning"),  # PEFT asks for it
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False but the target module is .Conv1D."),
]
MODELS = {"llama": tiny.llama, "gpt2": tiny.gpt2, "qwen": qwen}
TOLERANCES = [(torch.float32, 1e-5), (torch.float64, 1e-10)]


def sparse(model: PreTrainedModel, seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any) -> Adapter:
    base = tiny.base(model)
    config = tiny.CONFIG.changed(**changes)
    return tiny.filled(tiny.start(base, config, masks=tiny.halves(base, config, seed)), seed, dtype)


def of_many_ranks(model: PreTrainedModel, dtype: torch.dtype = torch.float32) -> Adapter:
    """Another rank and another scaling in each module, one of them with nothing kept."""
    adapter = sparse(model, dtype=dtype)
    factors = {}
    for number, (module, f) in enumerate(adapter.factors.items()):
        rank = 1 + number % f.rank
        mask = f.mask[:, :rank] & (number > 0)
        factors[module] = replace(f, A=f.A[:rank], mask=mask, values=f.B[:, :rank][mask], scaling=0.5 + 0.7 * number)
    return replace(adapter, factors=factors)


def close(got: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    """Relative to the largest entry."""
    assert (got - expected).abs().max() <= tolerance * expected.abs().max()


def opened_by_peft(model: PreTrainedModel, folder: Path) -> Any:
    return PeftModel.from_pretrained(copy.deepcopy(model), str(folder)).eval()


# --- out


@pytest.mark.parametrize("make", [sparse, of_many_ranks])
@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("architecture", MODELS)
def test_PEFT_opens_an_export_and_computes_what_we_compute_also_merged(architecture, dtype, tolerance, make, tmp_path):
    model = MODELS[architecture]().to(dtype)
    adapter = make(model, dtype=dtype)
    plain = tiny.logits(model)
    export_peft(adapter, tmp_path / "out")
    with applied(model, adapter):
        ours = tiny.logits(model)
    assert (ours - plain).abs().max() > 1e-2
    theirs = opened_by_peft(model, tmp_path / "out")
    close(tiny.logits(theirs), ours, tolerance)
    close(tiny.logits(theirs.merge_and_unload()), ours, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
def test_merged_adapters_of_other_ranks_and_scalings_go_out_as_one(dtype, tolerance, tmp_path):
    model = tiny.llama().to(dtype)
    parts = [sparse(model, 0, dtype, rank=3, scaling=1.7), sparse(model, 1, dtype, rank=5, scaling=0.3)]
    merged = merge(parts, "concat", [0.4, -1.2], "both")
    export_peft(merged, tmp_path / "out")
    theirs = opened_by_peft(model, tmp_path / "out")
    with applied(model, merged):
        close(tiny.logits(theirs), tiny.logits(model), tolerance)
    config: Any = LoraConfig.from_pretrained(str(tmp_path / "out"))
    assert config.r == 8


def test_an_export_keeps_to_what_every_reader_of_the_format_has(tmp_path):
    adapter = of_many_ranks(tiny.llama())
    export_peft(replace(adapter, record={"base": {"name": "org/model", "revision": "abc"}}), tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    config: Any = LoraConfig.from_pretrained(str(tmp_path / "out"))
    assert config.r == config.lora_alpha == 4
    assert not (config.rank_pattern or config.alpha_pattern or config.use_rslora or config.modules_to_save)
    assert (config.base_model_name_or_path, config.revision) == ("org/model", "abc")
    tensors = load_file(tmp_path / "out" / "adapter_model.safetensors")
    expected = {f"base_model.model.{m}.lora_{letter}.weight" for m in adapter.factors for letter in "AB"}
    assert tensors.keys() == expected
    assert {tensor.shape[0 if ".lora_A." in name else 1] for name, tensor in tensors.items()} == {4}


def test_an_A_that_modules_share_or_that_lies_across_memory_goes_out_all_the_same(tmp_path):
    across = torch.randn(3, 2).T
    factors = {name: dense_factors(across, torch.randn(4, 2)) for name in ("q", "k")}
    export_peft(Adapter("shared", AdapterConfig(rank=2), factors), tmp_path / "out")
    for name, each in import_peft(tmp_path / "out").factors.items():
        assert torch.equal(each.A, across) and torch.equal(each.B, factors[name].B)


def test_an_export_never_replaces_anything(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(StorageError) as caught:
        export_peft(sparse(tiny.llama()), tmp_path / "out")
    assert caught.value.key == "path_taken"
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]


# --- in


def written_by_peft(model: PreTrainedModel, folder: Path, seed: int = 0, **changes: Any) -> Any:
    """A PEFT model with random factors, saved to the folder."""
    options: dict[str, Any] = {"r": 4, "lora_alpha": 12, "target_modules": ["q_proj", "down_proj"]}
    peft: Any = get_peft_model(copy.deepcopy(model), LoraConfig(**(options | changes)), autocast_adapter_dtype=False)
    torch.manual_seed(seed)
    for name, parameter in peft.named_parameters():
        if "lora_" in name:
            parameter.data = 0.1 * torch.randn_like(parameter)
    peft.save_pretrained(folder)
    return peft.eval()


def updates_of(peft: Any) -> dict[str, torch.Tensor]:
    """module -> dW, as real PEFT computes it."""
    return {
        name.removeprefix("base_model.model."): module.get_delta_weight("default").detach()
        for name, module in peft.named_modules()
        if hasattr(module, "get_delta_weight")
    }


PLAIN = {
    "alpha": {},
    "rsLoRA": {"use_rslora": True},
    "patterns": {"rank_pattern": {"down_proj": 2}, "alpha_pattern": {r"layers\.1\..*_proj": 5, "q_proj": 7.5}},
    "rsLoRA and patterns": {
        "use_rslora": True,
        "rank_pattern": {"model.layers.0.self_attn.q_proj": 1, "q_proj": 8},
        "alpha_pattern": {"^model.layers.1.mlp.down_proj": 3},
    },
    "one layer": {"layers_to_transform": [1]},
}


@pytest.mark.parametrize("settings", PLAIN)
def test_an_adapter_that_PEFT_wrote_has_the_same_updates_here(settings, tmp_path):
    model = tiny.llama()
    expected = updates_of(written_by_peft(model, tmp_path / "math", **PLAIN[settings]))
    adapter = import_peft(tmp_path / "math")
    assert adapter.name == "math" and adapter.config.train_projection
    assert adapter.factors.keys() == expected.keys()
    for module, factors in adapter.factors.items():
        assert torch.linalg.norm(factors.update - expected[module]) <= 1e-6 * torch.linalg.norm(expected[module])


def test_an_adapter_of_Conv1D_modules_computes_here_what_PEFT_computes(tmp_path):
    model = tiny.gpt2()
    peft = written_by_peft(model, tmp_path / "in", target_modules=["c_attn", "mlp.c_proj"], fan_in_fan_out=True)
    with applied(model, import_peft(tmp_path / "in")):
        close(tiny.logits(model), tiny.logits(peft), 1e-5)


@pytest.mark.parametrize("settings", PLAIN)
def test_in_and_out_again_is_the_same_update(settings, tmp_path):
    model = tiny.llama()
    expected = updates_of(written_by_peft(model, tmp_path / "in", **PLAIN[settings]))
    export_peft(import_peft(tmp_path / "in"), tmp_path / "out")
    got = updates_of(opened_by_peft(model, tmp_path / "out"))
    assert got.keys() == expected.keys()
    for module, update in got.items():
        assert torch.linalg.norm(update - expected[module]) <= 1e-6 * torch.linalg.norm(expected[module])


def test_modules_come_in_layer_by_layer(tmp_path):
    names = [f"layers.{number}.{end}" for number in range(12) for end in ("down", "q")]
    factors = {name: dense_factors(torch.randn(1, 3), torch.randn(2, 1)) for name in names}
    export_peft(Adapter("any", AdapterConfig(rank=1), factors), tmp_path / "in")
    assert list(import_peft(tmp_path / "in").factors) == names


def test_out_and_in_again_is_the_same_update_whatever_the_ranks(tmp_path):
    adapter = of_many_ranks(tiny.llama())
    export_peft(adapter, tmp_path / "out")
    for module, factors in import_peft(tmp_path / "out").factors.items():
        torch.testing.assert_close(factors.update, adapter.factors[module].update, rtol=1e-5, atol=1e-7)


def test_the_base_that_PEFT_names_is_recorded(tmp_path):
    changed(tmp_path, config={"base_model_name_or_path": "org/model", "revision": "main"})
    assert import_peft(tmp_path / "in").record["base"] == {"name": "org/model", "revision": "main"}


# --- refused


def refused(folder: Path, key: str, *words: str) -> None:
    with pytest.raises(AdapterError) as caught:
        import_peft(folder)
    assert caught.value.key == key, caught.value
    for word in (str(folder), *words):
        assert word in str(caught.value)


VARIANTS = {
    "use_dora": {"use_dora": True},
    "bias": {"bias": "lora_only"},
    "lora_bias": {"lora_bias": True},
    "modules_to_save": {"modules_to_save": ["lm_head"]},
    "trainable_token_indices": {"trainable_token_indices": [1]},
    "layer_replication": {"layer_replication": [[0, 2], [1, 2]]},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_PEFT_writes_beyond_plain_LoRA_is_refused_by_name(variant, tmp_path):
    written_by_peft(tiny.llama(), tmp_path / "in", **VARIANTS[variant])
    refused(tmp_path / "in", "peft_unsupported", variant)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"peft_type": "LOKR"}, ["LOKR"]),
        ({"init_lora_weights": "pissa_niter_4"}, ["pissa_niter_4"]),
        ({"init_lora_weights": "olora"}, ["olora"]),
        ({"a_setting_of_tomorrow": {"on": True}}, ["a_setting_of_tomorrow"]),
    ],
)
def test_settings_that_mean_another_update_are_refused_by_name(change, words, tmp_path):
    changed(tmp_path, config=change)
    refused(tmp_path / "in", "peft_unsupported", *words)


def changed(tmp_path: Path, config: dict[str, Any] | None = None, tensors: dict[str, Any] | None = None) -> Path:
    """A folder of PEFT's with some settings and tensors replaced; a tensor of None is removed."""
    folder = tmp_path / "in"
    written_by_peft(tiny.llama(), folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | (config or {})))
    found = load_file(folder / "adapter_model.safetensors") | (tensors or {})
    save_file(
        {name: tensor for name, tensor in found.items() if tensor is not None}, folder / "adapter_model.safetensors"
    )
    return folder


Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("tensors", "key", "words"),
    [
        ({f"{Q}.lora_B.weight": None}, "peft_half", ["q_proj", "lora_A"]),
        ({f"{Q}.lora_A.weight": torch.zeros(3, 32)}, "peft_rank", ["q_proj", "(3, 32)", "rank 4"]),
        ({f"{Q}.lora_B.weight": torch.zeros(32, 5)}, "peft_rank", ["q_proj", "(32, 5)", "rank 4"]),
        ({f"{Q}.lora_A.weight": torch.zeros(4, 32, 1)}, "peft_tensor", ["lora_A", "(4, 32, 1)"]),
        ({f"{Q}.lora_A.weight": torch.zeros(4, 32, dtype=torch.int8)}, "peft_tensor", ["lora_A", "int8"]),
        ({f"{Q}.lora_magnitude_vector.weight": torch.zeros(32)}, "peft_tensor", ["lora_magnitude_vector"]),
        ({f"{Q}.lora_A.weight": torch.full((4, 32), torch.nan)}, "peft_not_finite", ["q_proj"]),
    ],
)
def test_tensors_that_make_no_update_are_refused(tensors, key, words, tmp_path):
    refused(changed(tmp_path, tensors=tensors), key, *words)


@pytest.mark.parametrize(
    "config",
    [
        {"r": 0},
        {"r": "four"},
        {"lora_alpha": 0},
        {"lora_alpha": float("nan")},
        {"rank_pattern": [1]},
    ],
)
def test_settings_out_of_range_are_refused(config, tmp_path):
    refused(changed(tmp_path, config=config), "adapter_unreadable", "adapter_config.json")


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_truncated_or_missing_file_is_refused(name, tmp_path):
    folder = changed(tmp_path)
    data = (folder / name).read_bytes()
    for length in (0, 1, 9, len(data) // 2, len(data) - 1):
        (folder / name).write_bytes(data[:length])
        refused(folder, "adapter_unreadable", name)
    (folder / name).unlink()
    refused(folder, "no_peft_adapter")
    refused(tmp_path / "nowhere", "no_peft_adapter")


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "executed")


def test_a_pickle_is_refused_and_what_it_holds_does_not_run(tmp_path):
    folder = changed(tmp_path)
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "trace")))
    refused(folder, "peft_pickle")
    (folder / "adapter_model.bin").rename(folder / "adapter_model.safetensors")  # under a name that promises safety
    refused(folder, "adapter_unreadable")
    assert not (tmp_path / "trace").exists()
    pickle.loads(pickle.dumps(Trap(tmp_path / "trace")))
    assert (tmp_path / "trace").exists()  # the trap works


# --- kinds, masks, spellings


OTHER_KINDS = {
    "LOHA": peft.LoHaConfig(target_modules=["q_proj"]),
    "LOKR": peft.LoKrConfig(target_modules=["q_proj"]),
    "IA3": peft.IA3Config(target_modules=["q_proj"], feedforward_modules=[]),
    "VERA": peft.VeraConfig(target_modules=["q_proj"], r=4),
    "RANDLORA": peft.RandLoraConfig(target_modules=["q_proj"], r=4),
    "OFT": peft.OFTConfig(target_modules=["q_proj"], oft_block_size=4),
    "ADALORA": peft.AdaLoraConfig(target_modules=["q_proj"], total_step=10),
    "BOFT": peft.BOFTConfig(target_modules=["q_proj"], boft_block_size=4),
    "FOURIERFT": peft.FourierFTConfig(target_modules=["q_proj"], n_frequency=4),
    "HRA": peft.HRAConfig(target_modules=["q_proj"], r=4),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_what_PEFT_writes_of_another_kind_is_refused_by_its_name_whatever_settings_it_lacks(kind, tmp_path):
    model: Any = get_peft_model(copy.deepcopy(tiny.llama()), OTHER_KINDS[kind])
    model.save_pretrained(tmp_path / "in")
    refused(tmp_path / "in", "peft_unsupported", f"peft_type = '{kind}'")


def written_by_the_official_code(folder: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """As it trains LoRI-S: the mask, in fp32, a parameter beside B; B zero where the mask is. module -> mask too."""
    model: Any = get_peft_model(copy.deepcopy(tiny.llama()), LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"]))
    torch.manual_seed(0)
    masks = {}
    for name, module in model.named_modules():
        if name.endswith(".lora_B"):
            B = module["default"].weight
            mask = (torch.rand_like(B) < 0.3).float()
            B.data = 0.1 * torch.randn_like(B) * mask
            B.data.view(-1)[mask.view(-1).nonzero()[0]] = 0.0  # an entry that may move and did not
            module.mask = torch.nn.Parameter(mask, requires_grad=False)
            masks[name.removeprefix("base_model.model.").removesuffix(".lora_B")] = mask.bool()
    model.save_pretrained(folder)
    return model.eval(), masks


def test_an_adapter_with_the_official_codes_mask_in_it_has_the_update_that_PEFT_has_and_that_mask(tmp_path):
    theirs, masks = written_by_the_official_code(tmp_path / "in")
    assert any(name.endswith(".lora_B.mask") for name in load_file(tmp_path / "in" / "adapter_model.safetensors"))
    adapter = import_peft(tmp_path / "in")
    expected = updates_of(theirs)
    assert adapter.factors.keys() == expected.keys()
    for module, factors in adapter.factors.items():
        torch.testing.assert_close(factors.update, expected[module])
        assert torch.equal(factors.mask, masks[module])


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_a_mask_that_keeps_less_than_B_holds_loses_nothing_of_it(dtype, tmp_path):
    folder = changed(tmp_path, tensors={f"{Q}.lora_B.mask": torch.zeros(32, 4, dtype=dtype)})
    factors = import_peft(folder).factors["model.layers.0.self_attn.q_proj"]
    stored_B = load_file(folder / "adapter_model.safetensors")[f"{Q}.lora_B.weight"]
    assert torch.equal(factors.B, stored_B)


@pytest.mark.parametrize("mask", [torch.ones(32, 5), torch.full((32, 4), 0.5), torch.full((32, 4), torch.nan)])
def test_a_mask_that_is_none_is_refused(mask, tmp_path):
    refused(changed(tmp_path, tensors={f"{Q}.lora_B.mask": mask}), "peft_mask", "q_proj", "(32, 4)")


def test_two_spellings_of_one_tensor_are_refused(tmp_path):
    again = {f"{Q}.lora_B.default.weight": torch.ones(32, 4)}
    refused(changed(tmp_path, tensors=again), "peft_twice", "q_proj", "lora_B")


# --- patterns and sizes


@given(
    st.lists(st.sampled_from(["a", "b1", "_", ".", ".*", r"\.", r"\d", "layers."]), max_size=6).map("".join),
    st.booleans(),
    st.booleans(),
    st.lists(st.sampled_from(["a", "b1", "1", "_", ".", "layers."]), min_size=1, max_size=6).map("".join),
)
def test_a_pattern_means_what_it_means_to_PEFT(pattern, starts, ends, module):
    key = "^" * starts + pattern + "$" * ends
    if not _PATTERN.fullmatch(key):  # ".*" that meets another "*", a class of characters
        return
    (globs,) = _globs(Path("any"), {key: 1}, 1)
    assert (_matching([globs], module, 0) == 1) == (re.match(rf"(.*\.)?({key})$", module) is not None)


EVIL = ["(a+)+b", "a**", "[a-z]+", "q_proj|k_proj", "(", "a{1,100000}", "x" * 257, "a\n"]
CLASSES = [r"layers\.\d\.q_proj", r"layers.\d+.q_proj", r"layers\.\w\.q_proj", r"\bq_proj", "q_proj\\"]


@pytest.mark.parametrize("key", EVIL)
@pytest.mark.parametrize("setting", ["rank_pattern", "alpha_pattern"])
def test_a_pattern_that_would_need_a_search_is_refused_by_name(key, setting, tmp_path):
    refused(changed(tmp_path, config={setting: {key: 1}}), "peft_pattern", key[:20].strip())


@pytest.mark.parametrize("key", CLASSES)
@pytest.mark.parametrize("setting", ["rank_pattern", "alpha_pattern"])
def test_a_class_of_characters_is_refused_and_not_taken_for_a_letter_that_fits_no_module(key, setting, tmp_path):
    refused(changed(tmp_path, config={setting: {key: 1}}), "peft_pattern", "proj")


def test_a_pattern_of_many_wildcards_is_compared_in_one_pass(tmp_path):
    """Python's own engine would take some 10^20 steps for this one."""
    config = {"alpha_pattern": {".*a" * 60 + "z": 1}}
    folder = changed(tmp_path, config=config)
    tensors = load_file(folder / "adapter_model.safetensors")
    long = {name.replace("layers.0.", "a" * 500 + "."): tensor for name, tensor in tensors.items()}
    save_file(long, folder / "adapter_model.safetensors")
    assert {factors.scaling for factors in import_peft(folder).factors.values()} == {3.0}


def test_more_patterns_than_can_be_compared_are_refused(tmp_path):
    many = {f"m{number}": 1 for number in range(2**18 + 1)}  # for four modules
    folder = tmp_path / "in"
    written_by_peft(tiny.llama(), folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"alpha_pattern": many}))
    refused(folder, "peft_patterns", "262,145")


def test_a_rank_that_no_comparison_could_hold_is_refused(tmp_path):
    wide = {f"{Q}.lora_A.weight": torch.zeros(60_000, 1), f"{Q}.lora_B.weight": torch.zeros(1, 60_000)}
    folder = changed(tmp_path, config={"rank_pattern": {"q_proj": 60_000}}, tensors=wide)
    refused(folder, "adapter_unreadable", "60000", "4096")


def test_a_config_of_300_megabytes_is_not_read(tmp_path):
    folder = changed(tmp_path)
    with open(folder / "adapter_config.json", "r+b") as file:
        file.truncate(300_000_000)  # zeros that take no place
    refused(folder, "adapter_unreadable", "300,000,000 bytes")


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_plain_file_is_not_opened(name, make, tmp_path):
    folder = changed(tmp_path)
    (folder / name).unlink()
    make(folder / name)
    refused(folder, "adapter_unreadable", name)


def test_a_dtype_that_torch_has_not_is_refused(tmp_path):
    folder = changed(tmp_path)
    path = folder / "adapter_model.safetensors"
    header = json.dumps({f"{Q}.lora_A.weight": {"dtype": "F4", "shape": [2, 2], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"ab")
    refused(folder, "adapter_unreadable", "F4")


# --- to vLLM and SGLang


def refused_by_vllm(folder: Path, model: PreTrainedModel, max_lora_rank: int) -> list[str]:
    """What vLLM's peft_helper and its reading of the tensors have against an adapter, by their rules."""
    config = json.loads((folder / "adapter_config.json").read_text())
    found = [f"{key} is missing" for key in ("r", "lora_alpha", "target_modules") if key not in config]
    found += [f"{key} is set" for key in ("modules_to_save", "use_dora") if config.get(key)]
    if config.get("bias", "none") != "none":
        found.append("bias")
    if config["r"] > max_lora_rank:
        found.append(f"rank {config['r']} is above {max_lora_rank}")
    known = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    for name, tensor in load_file(folder / "adapter_model.safetensors").items():
        parsed = re.fullmatch(r"base_model\.model\.(.+)\.lora_([AB])\.weight", name)
        if parsed is None or parsed[1].rpartition(".")[2] not in known:
            found.append(f"{name} is unexpected")
        elif tensor.shape[0 if parsed[2] == "A" else 1] != config["r"]:
            found.append(f"{name} has another rank")
    return found


@pytest.mark.parametrize(("rank", "served"), [(1, 1), (3, 8), (8, 8), (9, 16), (17, 32)])
def test_vLLM_takes_an_export_whose_rank_was_filled_up_with_zeros(rank, served, tmp_path):
    model = tiny.llama()
    adapter = sparse(model, rank=rank)
    export_served_peft(adapter, tmp_path / "out")
    assert refused_by_vllm(tmp_path / "out", model, served) == []
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["r"] == served
    with applied(model, adapter):
        ours = tiny.logits(model)
    close(tiny.logits(opened_by_peft(model, tmp_path / "out")), ours, 1e-5)


def test_the_rules_of_vLLM_refuse_what_it_refuses(tmp_path):
    model = tiny.llama()
    written_by_peft(model, tmp_path / "dora", r=20, use_dora=True, modules_to_save=["lm_head"])
    found = refused_by_vllm(tmp_path / "dora", model, 16)
    assert {"modules_to_save is set", "use_dora is set", "rank 20 is above 16"} <= set(found)


def test_a_rank_that_vLLM_never_serves_is_refused(tmp_path):
    adapter = Adapter(
        "wide", AdapterConfig(rank=600), {"q_proj": dense_factors(torch.randn(600, 8), torch.randn(8, 600))}
    )
    with pytest.raises(AdapterError) as caught:
        export_served_peft(adapter, tmp_path / "out")
    assert caught.value.key == "rank_too_large_to_serve" and not (tmp_path / "out").exists()
